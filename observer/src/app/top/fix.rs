//! The fix of a listener as text to hand on, to the clipboard or to a file.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::app::render::{cell::Cell, text};
use observer::model::Listener;

/// Most files of one name in a directory.
const FILES: u32 = 100;

/// Findings of a listener with their fix and steps; `None` where nothing is wrong with it.
pub fn of(listener: &Listener, address: &Cell) -> Option<String> {
    if listener.findings.is_empty() {
        return None;
    }
    let mut all = String::new();
    for finding in &listener.findings {
        let line = |text: &str| text::clean(text);
        all += &format!("{}: {}\n", address.whole(), line(&finding.summary));
        all += &format!("fix: {}\n", line(&finding.fix));
        for step in &finding.steps {
            all += &format!("{}\n", line(step));
        }
        if !finding.source.is_empty() {
            all += &format!("source: {}\n", line(&finding.source));
        }
        all += "\n";
    }
    Some(all.trim_end().to_owned() + "\n")
}

/// Writes it to a file that is not there yet: `observer-fix-8080.txt`, else with a number. Returns where.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(fix: &str, port: u16, directory: &Path) -> io::Result<PathBuf> {
    for number in 1..=FILES {
        let more = if number == 1 { String::new() } else { format!("-{number}") };
        let path = directory.join(format!("observer-fix-{port}{more}.txt"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(fix.as_bytes())?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are a hundred of them already"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::{labels, table::fixtures::herd};

    #[test]
    fn a_fix_is_text_that_can_be_handed_on() {
        let mut one = herd(32).listeners.remove(0);
        one.findings[0].steps = vec!["listen 80 \u{1b}[2Jreuseport;".into()];
        let fix = of(&one, &labels::address(&one)).expect("a finding");
        assert!(fix.starts_with("127.0.0.1:8080: thundering herd: "), "{fix}");
        assert!(fix.contains("\nfix: ") && fix.contains("\nlisten 80 ?[2Jreuseport;\n"), "{fix}");
        assert!(fix.contains("\nsource: ") && fix.ends_with('\n'), "{fix}");
        one.findings.clear();
        assert_eq!(of(&one, &labels::address(&one)), None);
    }

    #[test]
    fn no_file_is_written_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = write("a\n", 80, directory.path()).expect("written");
        let second = write("b\n", 80, directory.path()).expect("written");
        assert!(
            first.ends_with("observer-fix-80.txt") && second.ends_with("observer-fix-80-2.txt")
        );
        assert_eq!(std::fs::read_to_string(first).ok().as_deref(), Some("a\n"));
    }
}
