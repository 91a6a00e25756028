//! CPU time of a process, which tells whether it has run. While it has not, its descriptors, the calls
//! that its tasks wait in and its network namespace are what they were: only it can change them.
//!
//! But for what it shares with other processes: a table of descriptors (`CLONE_FILES` without
//! `CLONE_THREAD`), or an epoll instance, which any process that has a descriptor of it may change.

use nix::time::ClockId;

use crate::kernel::pid_namespace;

/// The clock of a process that counts what its threads ran (`CPUCLOCK_SCHED`), beside its id.
const RAN: i32 = 2;

/// CPU time of a process in nanoseconds: of all its threads, also of those that ended. `None` where the
/// process is gone.
///
/// The kernel adds the time of a task that is running now at the next tick (`thread_group_cputime`), or
/// when it stops: what is looked at *after* this was read is as it was while this stays the same, or the
/// time grows within the tick.
#[must_use]
pub fn of_process(pid: u32) -> Option<u64> {
    // Clocks are asked for by other numbers than those of this /proc.
    if !pid_namespace::is_own() {
        return None;
    }
    let pid = i32::try_from(pid).ok()?;
    // What clock_getcpuclockid(3) makes of it, which asks the kernel first whether the process is there.
    let time = ClockId::from_raw(!pid << 3 | RAN).now().ok()?;
    let part = |value: i64| u64::try_from(value).ok();
    part(time.tv_sec())?.checked_mul(1_000_000_000)?.checked_add(part(time.tv_nsec())?)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        process::{Command, Stdio},
        thread,
        time::Duration,
    };

    use super::of_process;

    #[test]
    fn only_who_ran_has_had_more_time() {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
        let mut stdin = child.stdin.take().expect("its input");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut echo = || {
            writeln!(stdin, "a line").expect("it reads");
            lines.next().expect("a line").expect("a line");
        };
        echo();
        // Until it waits for more.
        let asleep = || {
            let path = format!("/proc/{}/stat", child.id());
            std::fs::read_to_string(path).is_ok_and(|stat| stat.contains(") S "))
        };
        while !asleep() {
            thread::sleep(Duration::from_millis(1));
        }
        let first = of_process(child.id()).expect("its time");
        assert!(first > 0);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(of_process(child.id()), Some(first));
        echo();
        while !asleep() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(of_process(child.id()).expect("its time") > first);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert_eq!(of_process(child.id()), None);
    }
}
