//! What became of the command. Pure.

use std::time::Duration;

use nix::sys::signal::Signal;
use observer::units;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It could not be started, for this error number.
    NotStarted(i32),
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
}

/// Why observer ended the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The time of the window was over.
    TimeOver(Duration),
    /// Somebody asked twice for the end.
    Asked,
    /// The window could not go on, or the command had ended and what it started was asked to.
    Other,
}

/// What became of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The command as it was typed, safe to print.
    pub command: String,
    /// How it ended; `None` where that is not known.
    pub end: Option<End>,
    /// Why observer ended it; `None` where it ended by itself.
    pub ended: Option<Why>,
    /// Number of processes that it started and that could not be ended.
    pub left: u64,
}

impl Outcome {
    /// Exit status where the command failed by itself, as a shell has it: 126 and 127 where it could not be started,
    /// and 128 more than the number of the signal that ended it. What observer ended has not failed, unless another
    /// signal than those that it was sent ended it: then it crashed.
    pub fn failure(&self) -> Option<u8> {
        let by_observer = self.ended.is_some();
        match self.end {
            Some(End::NotStarted(libc::ENOENT)) => Some(127),
            Some(End::NotStarted(_)) => Some(126),
            Some(End::Exited(0)) => None,
            Some(End::Exited(_) | End::Signalled(libc::SIGTERM | libc::SIGKILL)) if by_observer => {
                None
            }
            Some(End::Exited(code)) => Some(u8::try_from(code).unwrap_or(1)),
            Some(End::Signalled(signal)) => Some(u8::try_from(128 + signal).unwrap_or(255)),
            // Nobody knows that it went well.
            None if by_observer => None,
            None => Some(1),
        }
    }

    /// What became of it, in one clause: `./server exited with status 3`.
    pub fn words(&self) -> String {
        let command = &self.command;
        let how = match self.end {
            Some(End::NotStarted(errno)) => {
                let why = nix::errno::Errno::from_raw(errno).desc();
                return format!("{command} cannot be started: {why}");
            }
            Some(End::Exited(code)) => format!("exited with status {code}"),
            Some(End::Signalled(number)) => {
                let name = Signal::try_from(number)
                    .map_or_else(|_| format!("signal {number}"), |name| name.to_string());
                format!("was ended by {name}")
            }
            None => "ended, nobody knows how".to_owned(),
        };
        let left = match self.left {
            0 => String::new(),
            left => format!("; processes that cannot be ended: {left}"),
        };
        match self.ended {
            None | Some(Why::Other) => format!("{command} {how}{left}"),
            Some(Why::TimeOver(after)) => format!(
                "{command} still ran after {}: observer ended it, and it {how}{left}",
                units::seconds(after.as_secs_f64())
            ),
            Some(Why::Asked) => {
                format!(
                    "{command} still ran when it was asked for the end: observer ended it, and it {how}{left}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(end: Option<End>, ended: Option<Why>) -> Outcome {
        Outcome { command: "./server".into(), end, ended, left: 0 }
    }

    #[test]
    fn the_status_is_that_of_a_shell() {
        let by_itself = |end| outcome(Some(end), None).failure();
        assert_eq!(by_itself(End::Exited(0)), None);
        assert_eq!(by_itself(End::Exited(7)), Some(7));
        assert_eq!(by_itself(End::Signalled(libc::SIGSEGV)), Some(139));
        assert_eq!(by_itself(End::Signalled(libc::SIGINT)), Some(130));
        assert_eq!(by_itself(End::NotStarted(libc::ENOENT)), Some(127));
        assert_eq!(by_itself(End::NotStarted(libc::EACCES)), Some(126));
        assert_eq!(outcome(None, None).failure(), Some(1));
    }

    #[test]
    fn what_observer_ended_has_failed_only_where_it_crashed() {
        let ended = |end| outcome(end, Some(Why::TimeOver(Duration::from_secs(5)))).failure();
        for end in [End::Exited(0), End::Exited(143), End::Signalled(15), End::Signalled(9)] {
            assert_eq!(ended(Some(end)), None, "{end:?}");
        }
        assert_eq!(ended(None), None);
        assert_eq!(ended(Some(End::Signalled(libc::SIGABRT))), Some(134));
    }

    #[test]
    fn it_is_told_in_one_clause() {
        assert_eq!(outcome(Some(End::Exited(3)), None).words(), "./server exited with status 3");
        assert_eq!(
            outcome(Some(End::Signalled(11)), None).words(),
            "./server was ended by SIGSEGV"
        );
        assert_eq!(
            outcome(Some(End::NotStarted(2)), None).words(),
            "./server cannot be started: No such file or directory"
        );
        let after = Some(Why::TimeOver(Duration::from_secs(5)));
        assert_eq!(
            outcome(Some(End::Signalled(15)), after).words(),
            "./server still ran after 5.0 s: observer ended it, and it was ended by SIGTERM"
        );
    }
}
