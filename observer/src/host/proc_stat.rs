//! What `/proc/PID/stat` and `/proc/PID/limits` tell of a process or a thread.

use std::{fs, io};

/// Fields of `stat` (`do_task_stat`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Name, which may have blanks and brackets in it.
    pub(super) comm: String,
    /// State, such as `R` or `T`.
    pub(super) state: char,
    /// Id of the parent.
    pub(super) parent: u32,
    /// When it began, in clock ticks since boot.
    pub(super) began: u64,
}

impl Stat {
    /// That of a process; `None` where it is gone.
    pub(super) fn of(pid: u32) -> Option<Self> {
        parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// That of a thread; `None` where it is gone.
    pub(super) fn of_thread(pid: u32, tid: u32) -> Option<Self> {
        parse(&fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?)
    }
}

fn parse(bytes: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(bytes);
    let (before, after) = text.rsplit_once(')')?;
    let (_, comm) = before.split_once('(')?;
    let mut fields = after.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    // The 20th behind the name.
    let began = fields.nth(17)?.parse().ok()?;
    Some(Stat { comm: comm.to_owned(), state, parent, began })
}

/// Soft and hard limit on open files of a process; `None` where there is none, too.
pub(super) fn open_files_limits(pid: u32) -> [Option<u64>; 2] {
    let limits: io::Result<String> = fs::read_to_string(format!("/proc/{pid}/limits"));
    parse_limits(&limits.unwrap_or_default())
}

fn parse_limits(limits: &str) -> [Option<u64>; 2] {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut values = line.unwrap_or_default().split_whitespace();
    std::array::from_fn(|_| values.next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of `stat` behind the name, but for the state and the parent.
    const REST: &str = "1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 10 11";

    #[test]
    fn names_may_have_anything_in_them() {
        let of = |head: &str| parse(format!("{head} {REST}").as_bytes());
        let one = of("7 (a) b) S 3").expect("a line");
        assert_eq!((one.comm.as_str(), one.state, one.parent, one.began), ("a) b", 'S', 3, 777));
        assert_eq!(of("7 (python3) T 1").map(|one| one.state), Some('T'));
        for broken in ["", "7", "7 (a", "7 (a)", "7 (a) S 1 2"] {
            assert_eq!(parse(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn this_process_is_told() {
        let own = std::process::id();
        let stat = Stat::of(own).expect("it is there");
        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        assert!(stat.began > 0);
        assert!(Stat::of_thread(own, own).is_some_and(|one| one.began == stat.began));
        assert_eq!(Stat::of(u32::MAX >> 2), None);
    }

    #[test]
    fn limits_are_soft_and_hard() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(parse_limits(limits), [Some(1024), Some(524_288)]);
        let unlimited = limits.replace("1024  ", "unlimited");
        assert_eq!(parse_limits(&unlimited), [None, Some(524_288)]);
        assert_eq!(parse_limits(""), [None, None]);
        let none = "Max open files            unlimited  unlimited  files\n";
        assert_eq!(parse_limits(none), [None, None]);
    }
}
