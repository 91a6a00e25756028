//! Whether every worker sleeps in its wait call, and how often each has gone to sleep.
//!
//! Deterministic, not timed: `/proc/PID/task/TID/syscall` names the system call of a task only
//! once the task is off its run queue (`task_current_syscall` uses `wait_task_inactive`), where
//! the state letter alone already shows a task that is merely about to sleep.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{blocked::Blocked, protocol::WorkerId, server::Server, strategy::Strategy};

/// How long the workers may go on without all being asleep.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a worker that is awake: long enough to leave it the CPU.
const PAUSE: Duration = Duration::from_micros(20);

/// The workers of a server, looked at through files that stay open.
pub(super) struct Watch<'a> {
    server: &'a Server,
    tasks: Vec<Task>,
}

struct Task {
    worker: WorkerId,
    status: File,
    /// `None` where this kernel has no such file.
    syscall: Option<File>,
    /// Counts sleeps for locks; only where they happen in the wait call, and where perf may be used.
    blocked: Option<Blocked>,
}

/// How often a task has gone to sleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sleeps {
    /// For any reason.
    pub(super) voluntary: u64,
    /// For a lock of the kernel, where that was asked for and could be counted.
    pub(super) blocked: Option<u64>,
}

/// Where a task sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the call that waits for a connection.
    Wait,
    /// In a futex call, for the accept mutex.
    Lock,
    /// Asleep, but the kernel does not tell where.
    Unknown,
}

impl<'a> Watch<'a> {
    /// Opens the files of each worker: up to three, for which most shells' limit of 1,024 descriptors is too low.
    pub(super) fn new(server: &'a Server) -> anyhow::Result<Self> {
        // Where it cannot be raised, what can be left out is.
        let _unchanged = getrlimit(Resource::RLIMIT_NOFILE)
            .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
        let mut tasks = server
            .workers
            .iter()
            .map(|&worker| {
                let path = format!("/proc/{}/task/{}", worker.pid, worker.tid);
                let status = File::open(format!("{path}/status"))
                    .with_context(|| format!("{path}/status cannot be read; is /proc mounted?"))?;
                let syscall = File::open(format!("{path}/syscall")).ok();
                Ok(Task { worker, status, syscall, blocked: None })
            })
            .collect::<anyhow::Result<Vec<Task>>>()?;
        if server.strategy() == Strategy::EpollShared {
            // After the files that must be there, and of all workers or of none.
            match Blocked::of_tasks(tasks.iter().map(|task| task.worker.tid)) {
                Ok(counters) => {
                    for (task, counter) in tasks.iter_mut().zip(counters) {
                        task.blocked = Some(counter);
                    }
                }
                Err(error) => log::debug!("sleeps for locks are not counted: {error}"),
            }
        }
        Ok(Self { server, tasks })
    }

    /// Waits until every worker sleeps in its wait call, and returns how often each has gone to
    /// sleep by then.
    ///
    /// Two looks that agree: one worker may have woken another between the first look at each,
    /// but that one then sleeps once more than it did, or does not sleep.
    pub(super) fn all_asleep(&self) -> anyhow::Result<Vec<Sleeps>> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = None;
        loop {
            let now = self.look()?;
            if now.is_some() && now == before {
                return Ok(now.unwrap_or_default());
            }
            if now.is_none() {
                self.server.check()?;
                if Instant::now() > deadline {
                    bail!("the workers did not come to rest within {PATIENCE:?}; run again");
                }
                thread::sleep(PAUSE);
            }
            before = now;
        }
    }

    /// One look at each worker: `None` unless all sleep where they should.
    fn look(&self) -> anyhow::Result<Option<Vec<Sleeps>>> {
        let mut places = Vec::with_capacity(self.tasks.len());
        let mut counts = Vec::with_capacity(self.tasks.len());
        for task in &self.tasks {
            let Some((place, count)) = task.look().with_context(|| {
                format!("worker {} cannot be looked at any more; run again", task.worker.tid)
            })?
            else {
                return Ok(None);
            };
            places.push(place);
            counts.push(count);
        }
        Ok(at_rest(self.server.strategy(), &places).then_some(counts))
    }
}

/// Whether these are the places in which the workers of an idle server sleep.
fn at_rest(strategy: Strategy, places: &[Place]) -> bool {
    let waiting = places.iter().filter(|&&place| place == Place::Wait).count();
    let unknown = places.iter().filter(|&&place| place == Place::Unknown).count();
    match strategy {
        // The holder of the lock waits, the others wait for the lock.
        Strategy::AcceptMutex => waiting == 1 || waiting == 0 && unknown == places.len(),
        _ => waiting + unknown == places.len(),
    }
}

impl Task {
    /// Where it sleeps, and its counts of sleeps; `None` if it does not sleep.
    fn look(&self) -> io::Result<Option<(Place, Sleeps)>> {
        let mut buffer = [0; 4096];
        let place = match &self.syscall {
            // An error is a kernel or a policy that does not let us look.
            Some(file) => match file.read_at(&mut buffer, 0) {
                Ok(length) => match place(&String::from_utf8_lossy(&buffer[..length])) {
                    Some(place) => place,
                    None => return Ok(None),
                },
                Err(_) => Place::Unknown,
            },
            None => Place::Unknown,
        };
        let length = self.status.read_at(&mut buffer, 0)?;
        let Some(voluntary) = sleeps(&String::from_utf8_lossy(&buffer[..length])) else {
            return Ok(None);
        };
        let blocked = self.blocked.as_ref().map(Blocked::count).transpose()?;
        Ok(Some((place, Sleeps { voluntary, blocked })))
    }
}

/// The place that a line of `/proc/PID/task/TID/syscall` names: `NUMBER ARGUMENT…`, or `running`.
fn place(line: &str) -> Option<Place> {
    let number: libc::c_long = line.split_whitespace().next()?.parse().ok()?;
    // `restart_syscall` is what poll goes on as after the process was stopped and continued.
    let waits = [
        libc::SYS_accept4,
        libc::SYS_epoll_pwait,
        libc::SYS_ppoll,
        libc::SYS_restart_syscall,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
    ];
    if waits.contains(&number) {
        Some(Place::Wait)
    } else {
        (number == libc::SYS_futex).then_some(Place::Lock)
    }
}

/// The count of voluntary switches in `/proc/PID/task/TID/status`, if the state is asleep.
fn sleeps(status: &str) -> Option<u64> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    if !field("State:")?.trim_start().starts_with('S') {
        return None;
    }
    field("voluntary_ctxt_switches:")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_the_number_of_the_call() {
        let line = |number| format!("{number} 0x3 0x7fff 0x1 0xffffffff 0x0 0x0 0x7ffe 0x7f00\n");
        assert_eq!(place(&line(libc::SYS_accept4)), Some(Place::Wait));
        assert_eq!(place(&line(libc::SYS_epoll_pwait)), Some(Place::Wait));
        assert_eq!(place(&line(libc::SYS_futex)), Some(Place::Lock));
        assert_eq!(place(&line(libc::SYS_close)), None);
        assert_eq!(place("running\n"), None);
        assert_eq!(place("-1 0x7ffe 0x7f00\n"), None);
        assert_eq!(place(""), None);
    }

    #[test]
    fn sleeps_are_read_from_a_sleeper_only() {
        let status = |state| {
            format!(
                "Name:\tdemo-worker\nState:\t{state}\nvoluntary_ctxt_switches:\t42\n\
                 nonvoluntary_ctxt_switches:\t7\n"
            )
        };
        assert_eq!(sleeps(&status("S (sleeping)")), Some(42));
        assert_eq!(sleeps(&status("R (running)")), None);
        assert_eq!(sleeps(&status("Z (zombie)")), None);
        assert_eq!(sleeps("State:\tS (sleeping)\n"), None);
    }

    #[test]
    fn with_the_accept_mutex_one_waits_and_the_others_sleep_on_the_lock() {
        use Place::{Lock, Unknown, Wait};
        assert!(at_rest(Strategy::AcceptMutex, &[Lock, Wait, Lock]));
        assert!(!at_rest(Strategy::AcceptMutex, &[Lock, Lock, Lock]));
        assert!(at_rest(Strategy::AcceptMutex, &[Unknown, Unknown]));
        assert!(at_rest(Strategy::Epoll, &[Wait, Wait]));
        assert!(!at_rest(Strategy::Epoll, &[Wait, Lock]));
        assert!(at_rest(Strategy::Epoll, &[Wait, Unknown]));
    }
}
