//! What the guest tells the host: lines of the console that begin with a mark, so that the kernel's
//! own messages beside them are not taken for results.

use std::fmt;

/// The mark. Nothing else that writes to the console begins a line with it.
const MARK: &str = "@observer-vm ";

/// One line of the guest's init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The kernel, as it names itself.
    Kernel(String),
    /// A line of `observer doctor`.
    Doctor(String),
    /// A test begins.
    Begins(String),
    /// A line of the tests' standard output.
    Out(String),
    /// A line of the tests' standard error.
    Err(String),
    /// The tests ended with this exit status.
    Ended(i32),
    /// Init itself could not do what it should.
    Trouble(String),
    /// The machine is about to power off.
    Bye,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)?;
        match self {
            Self::Kernel(text) => write!(f, "kernel {text}"),
            Self::Doctor(text) => write!(f, "doctor {text}"),
            Self::Begins(name) => write!(f, "begins {name}"),
            Self::Out(text) => write!(f, "out {text}"),
            Self::Err(text) => write!(f, "err {text}"),
            Self::Ended(status) => write!(f, "ended {status}"),
            Self::Trouble(text) => write!(f, "trouble {text}"),
            Self::Bye => f.write_str("bye"),
        }
    }
}

impl Line {
    /// Reads a line of the console; `None` for what is not of the guest's init.
    pub(crate) fn read(line: &str) -> Option<Self> {
        // A message of the kernel may stand before it when the two wrote at the same time.
        let (_, said) = line.split_once(MARK)?;
        let (word, text) = said.split_once(' ').unwrap_or((said, ""));
        let text = text.to_owned();
        Some(match word {
            "kernel" => Self::Kernel(text),
            "doctor" => Self::Doctor(text),
            "begins" => Self::Begins(text),
            "out" => Self::Out(text),
            "err" => Self::Err(text),
            "ended" => Self::Ended(text.trim().parse().ok()?),
            "trouble" => Self::Trouble(text),
            "bye" => Self::Bye,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn what_is_said_is_read() {
        for line in [
            Line::Kernel("Linux 6.12".to_owned()),
            Line::Doctor(String::new()),
            Line::Begins("truth::epoll".to_owned()),
            Line::Out("test truth::epoll ... ok".to_owned()),
            Line::Err("  indented".to_owned()),
            Line::Ended(101),
            Line::Trouble("no /proc".to_owned()),
            Line::Bye,
        ] {
            assert_eq!(Line::read(&line.to_string()), Some(line));
        }
    }

    #[test]
    fn the_kernels_lines_are_not_ours() {
        assert_eq!(Line::read("[    1.0] Kernel panic - not syncing"), None);
        assert_eq!(Line::read("[    1.0] x@observer-vm bye"), Some(Line::Bye));
        assert_eq!(Line::read("@observer-vm ended soon"), None);
    }
}
