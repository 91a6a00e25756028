//! What the holders of a listener do instead of accepting: state, system call and kernel function of their
//! tasks, frozen control groups, descriptors used of the limit.
//!
//! Some ten reads of /proc for a task. They are made only where a listener has trouble, and of no more than
//! some hundreds of tasks for a report. None of these files takes a lock that a server needs to go on: `fd` is
//! asked for its size and not read, where the kernel gives the count as that (Linux 6.2, `proc_fd_getattr`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::MetadataExt as _,
};

use crate::{
    host::{call_names, proc_fds},
    model::{HolderState, Listener},
};

/// Most tasks that are looked at for one report.
const MOST_TASKS: usize = 256;

/// Most tasks of one listener.
const MOST_OF_LISTENER: usize = 64;

/// Most tasks of one process and listener.
const MOST_OF_PROCESS: usize = 4;

/// Most descriptors that are counted one by one, where the kernel does not give their number.
const MOST_COUNTED: usize = 70_000;

/// Nanoseconds of accept wait from which on it is asked what the workers do meanwhile.
const SLOW: u64 = 50_000_000;

/// Descriptors that processes had open when they were first looked at, by process id.
pub type FirstCounts = HashMap<u32, u64>;

/// Looks at the holders of the listeners that have trouble, and notes in each what their tasks do.
///
/// `first` has what processes had open when they were first looked at, and gets those that are new.
pub fn look<'a>(listeners: impl Iterator<Item = &'a mut Listener>, first: &mut FirstCounts) {
    let mut looker = Looker { first, seen: BTreeMap::new() };
    for listener in listeners.filter(|one| has_trouble(one)) {
        looker.note(listener);
    }
}

/// Looks at the holders of these listeners, whether they have trouble or not.
pub fn look_at_all<'a>(listeners: impl Iterator<Item = &'a mut Listener>) {
    let mut first = FirstCounts::new();
    let mut looker = Looker { first: &mut first, seen: BTreeMap::new() };
    for listener in listeners {
        looker.note(listener);
    }
}

/// Notes how many descriptors these processes have open, so that it can be told later whether they grew: of
/// some hundreds of processes at most, and only where the kernel gives their number.
pub fn note_first(pids: impl Iterator<Item = u32>, first: &mut FirstCounts) {
    let pids: BTreeSet<u32> = pids.collect();
    for pid in pids.into_iter().take(MOST_TASKS) {
        if let Some(count) = fs::metadata(format!("/proc/{pid}/fd")).ok().and_then(|fd| size(&fd)) {
            first.entry(pid).or_insert(count);
        }
    }
}

/// Whether the reason of something is to be asked for: connections wait, were dropped or wait long, or accept
/// fails for want of descriptors.
fn has_trouble(listener: &Listener) -> bool {
    let failed = |name| listener.accept_errors.get(name).is_some_and(|count| *count > 0);
    !listener.closed
        && (listener.accept_queue.now.unwrap_or(0) > 0
            || listener.drops.total.unwrap_or(0) > 0
            || listener.accept_wait.p99.is_some_and(|wait| wait >= SLOW)
            || failed("EMFILE")
            || failed("ENFILE"))
}

struct Looker<'a> {
    first: &'a mut FirstCounts,
    /// Tasks that were looked at for this report.
    seen: BTreeMap<(u32, u32), HolderState>,
}

impl Looker<'_> {
    fn note(&mut self, listener: &mut Listener) {
        let Some(holders) = &listener.holders else { return };
        let pids: BTreeSet<u32> = holders.iter().map(|holder| holder.pid).collect();
        let tasks = pids.into_iter().flat_map(|pid| tasks(listener, pid));
        let tasks: Vec<(u32, u32)> = tasks.take(MOST_OF_LISTENER).collect();
        let states = tasks.into_iter().filter_map(|(pid, tid)| self.state(pid, tid)).collect();
        listener.holder_states = Some(states);
    }

    fn state(&mut self, pid: u32, tid: u32) -> Option<HolderState> {
        if let Some(seen) = self.seen.get(&(pid, tid)) {
            return Some(seen.clone());
        }
        if self.seen.len() >= MOST_TASKS {
            return None;
        }
        let mut state = of_task(pid, tid)?;
        state.descriptors_before = self.first.get(&pid).copied();
        if let Some(count) = state.descriptors {
            self.first.entry(pid).or_insert(count);
        }
        self.seen.insert((pid, tid), state.clone());
        Some(state)
    }
}

/// The tasks of a process that accept from a listener; its main thread where none is known.
fn tasks(listener: &Listener, pid: u32) -> Vec<(u32, u32)> {
    let of_process = listener.workers.iter().filter(|worker| worker.pid == Some(pid));
    let tids = of_process.filter_map(|worker| worker.tid).take(MOST_OF_PROCESS);
    let tasks: Vec<(u32, u32)> = tids.map(|tid| (pid, tid)).collect();
    if tasks.is_empty() { vec![(pid, pid)] } else { tasks }
}

/// What a task does; `None` where it is gone.
fn of_task(pid: u32, tid: u32) -> Option<HolderState> {
    let task = format!("/proc/{pid}/task/{tid}");
    let stat = fs::read_to_string(format!("{task}/stat")).ok()?;
    let (comm, state) = parse_stat(&stat)?;
    let read = |name: &str| fs::read_to_string(format!("{task}/{name}")).ok();
    let wchan = read("wchan").filter(|name| !["", "0"].contains(&name.as_str()));
    Some(HolderState {
        pid,
        tid,
        comm,
        state: Some(state),
        frozen: frozen(pid),
        call: read("syscall").and_then(|text| call_names::of(&text)),
        wchan,
        descriptors: descriptors(pid).ok(),
        descriptors_before: None,
        descriptor_limit: read("limits").and_then(|text| parse_limit(&text)),
    })
}

/// Name and state letter in `/proc/PID/stat`; the name may have blanks and brackets in it (`do_task_stat`).
fn parse_stat(stat: &str) -> Option<(String, char)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, comm) = before.split_once('(')?;
    Some((comm.to_owned(), after.trim_start().chars().next()?))
}

/// The soft limit on descriptors in `/proc/PID/limits`; `None` where there is none.
fn parse_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many descriptors a process has open.
fn descriptors(pid: u32) -> io::Result<u64> {
    let metadata = fs::metadata(format!("/proc/{pid}/fd"))?;
    match size(&metadata) {
        Some(count) => Ok(count),
        None => proc_fds::count(pid, MOST_COUNTED),
    }
}

/// The number of descriptors that the kernel gives as the directory's size; older ones give 0, which no
/// process has that listens.
fn size(metadata: &fs::Metadata) -> Option<u64> {
    Some(metadata.size()).filter(|count| *count > 0)
}

/// Whether the control group of a process is frozen.
fn frozen(pid: u32) -> Option<bool> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mut known = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let read = |file: String| fs::read_to_string(file).ok();
        let told = if controllers.is_empty() {
            // Mounted alone, or beside version 1.
            ["", "/unified"].iter().find_map(|under| {
                let events = read(format!("/sys/fs/cgroup{under}{path}/cgroup.events"))?;
                parse_events(&events)
            })
        } else if controllers.split(',').any(|name| name == "freezer") {
            let state = read(format!("/sys/fs/cgroup/freezer{path}/freezer.state"));
            state.map(|state| state.trim() == "FROZEN")
        } else {
            continue;
        };
        known = match (known, told) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (known, told) => known.or(told),
        };
    }
    known
}

/// `frozen` in `cgroup.events`.
fn parse_events(events: &str) -> Option<bool> {
    let value = events.lines().find_map(|line| line.strip_prefix("frozen "))?;
    Some(value.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_anything_in_them() {
        assert_eq!(parse_stat("7 (a) b) S 1 2"), Some(("a) b".to_owned(), 'S')));
        assert_eq!(parse_stat("7 (python3) T 1"), Some(("python3".to_owned(), 'T')));
        for broken in ["", "7", "7 (a", "7 (a)"] {
            assert_eq!(parse_stat(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_soft_limit_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            64                   1048576              files\n";
        assert_eq!(parse_limit(limits), Some(64));
        assert_eq!(parse_limit("Max open files            unlimited  unlimited  files\n"), None);
        assert_eq!(parse_limit(""), None);
    }

    #[test]
    fn a_group_is_frozen_or_not_or_nobody_knows() {
        assert_eq!(parse_events("populated 1\nfrozen 1\n"), Some(true));
        assert_eq!(parse_events("populated 1\nfrozen 0\n"), Some(false));
        assert_eq!(parse_events("populated 1\n"), None);
    }

    #[test]
    fn this_process_is_seen_as_it_is() {
        let pid = std::process::id();
        let before = of_task(pid, pid).expect("this process");
        let files: Vec<_> = (0..8).map_while(|_| fs::File::open("/dev/null").ok()).collect();
        let after = of_task(pid, pid).expect("this process");
        // Other tests open and close files too.
        assert!(after.descriptors.expect("a count") >= 8 + 3, "{after:?} {files:?}");
        assert!(before.descriptor_limit.is_some(), "{before:?}");
        assert!(before.state.is_some_and(|state| "RSD".contains(state)), "{before:?}");
        assert_eq!(of_task(u32::MAX >> 2, u32::MAX >> 2), None);
    }

    #[test]
    fn a_process_that_is_stopped_is_told_so() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = child.id();
        let id = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGSTOP).expect("its own child");
        let stopped = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            of_task(pid, pid).is_some_and(|task| task.state == Some('T'))
        });
        child.kill().expect("it is there");
        child.wait().expect("it ends");
        assert!(stopped);
    }

    #[test]
    fn the_first_count_is_kept() {
        let mut first = FirstCounts::from([(std::process::id(), 3)]);
        note_first([std::process::id(), u32::MAX >> 2].into_iter(), &mut first);
        assert_eq!(first, FirstCounts::from([(std::process::id(), 3)]));
    }
}
