//! What the holders of a listener do instead of accepting: state, system call and kernel function of their
//! tasks, frozen control groups, descriptors used of the limit.
//!
//! Some ten reads of /proc for a task. They are made only where a listener has trouble, of no more than some
//! hundreds of tasks for a report, and given up where a process does not answer ([`Patience`]). None of these files
//! takes a lock that a server needs to go on: `fd` is asked for its size and not read, where the kernel gives the
//! count as that (Linux 6.2, `proc_fd_getattr`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::MetadataExt as _,
};

use crate::{
    host::{
        call_names,
        patience::Patience,
        proc_fds,
        proc_stat::{self, Stat},
    },
    model::{HolderState, Listener},
};

/// Maximum number of tasks that are looked at for one report.
const MOST_TASKS: usize = 256;

/// Maximum number of tasks of one listener.
const MOST_OF_LISTENER: usize = 64;

/// Maximum number of tasks of one process and listener.
const MOST_OF_PROCESS: usize = 4;

/// Maximum number of descriptors that are counted one by one, where the kernel does not give their number.
const MOST_COUNTED: usize = 70_000;

/// Maximum number of processes whose first count is kept.
const MOST_FIRST: usize = 4096;

/// Nanoseconds of accept wait from which on it is asked what the workers do meanwhile.
const SLOW: u64 = 50_000_000;

/// Descriptors that processes had open when they were first looked at, by process id and the time when the process
/// began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstCounts(HashMap<(u32, u64), u64>);

impl FirstCounts {
    /// The first count of a process, which is this one where none is known.
    fn first(&mut self, process: (u32, u64), count: u64) -> Option<u64> {
        if let Some(first) = self.0.get(&process) {
            return Some(*first);
        }
        if self.0.len() >= MOST_FIRST {
            // Most of these are gone.
            self.0.clear();
        }
        self.0.insert(process, count);
        None
    }
}

/// Looks at the holders of the listeners that have trouble, and notes in each what their tasks do.
///
/// `first` has what processes had open when they were first looked at, and gets those that are new.
pub fn look<'a>(
    listeners: impl Iterator<Item = &'a mut Listener>,
    first: &mut FirstCounts,
    patience: &Patience,
) {
    look_at_all(listeners.filter(|one| has_trouble(one)), first, patience);
}

/// Looks at the holders of these listeners, whether they have trouble or not.
pub fn look_at_all<'a>(
    listeners: impl Iterator<Item = &'a mut Listener>,
    first: &mut FirstCounts,
    patience: &Patience,
) {
    let mut listeners: Vec<&mut Listener> = listeners.collect();
    let mut wanted = BTreeMap::<u32, BTreeSet<u32>>::new();
    let mut count = 0;
    for (pid, tid) in listeners.iter().flat_map(|listener| tasks(listener)) {
        if count < MOST_TASKS && wanted.entry(pid).or_default().insert(tid) {
            count += 1;
        }
    }
    let pids = wanted.keys().copied().collect();
    let of_process = move |pid| {
        let tids = wanted.get(&pid).into_iter().flatten();
        let states = tids.filter_map(|tid| of_task(pid, *tid)).collect::<Vec<_>>();
        (Stat::of(pid).map_or(0, |stat| stat.began), states)
    };
    let mut seen = HashMap::new();
    for (pid, found) in patience.each(pids, of_process) {
        let Some((began, states)) = found else { continue };
        let count = states.iter().find_map(|state| state.descriptors);
        let before = count.and_then(|count| first.first((pid, began), count));
        for mut state in states {
            state.descriptors_before = before;
            seen.insert((pid, state.tid), state);
        }
    }
    for listener in &mut listeners {
        if listener.holders.is_some() {
            let states = tasks(listener).into_iter().filter_map(|task| seen.get(&task).cloned());
            listener.holder_states = Some(states.collect());
        }
    }
}

/// Notes how many descriptors these processes have open, so that it can be told later whether they grew: of
/// some hundreds of processes at most, and only where the kernel gives their number.
pub fn note_first(pids: impl Iterator<Item = u32>, first: &mut FirstCounts) {
    let pids: BTreeSet<u32> = pids.collect();
    for pid in pids.into_iter().take(MOST_TASKS) {
        let count = fs::metadata(format!("/proc/{pid}/fd")).ok().and_then(|fd| size(&fd));
        if let (Some(count), Some(stat)) = (count, Stat::of(pid)) {
            let _is_first = first.first((pid, stat.began), count);
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

/// The tasks of a listener's holders that are looked at: those that accept from it; the main thread of a process of
/// which none is known.
fn tasks(listener: &Listener) -> Vec<(u32, u32)> {
    let holders = listener.holders.as_deref().unwrap_or_default();
    let pids: BTreeSet<u32> = holders.iter().map(|holder| holder.pid).collect();
    let of_process = |pid: u32| {
        let workers = listener.workers.iter().filter(|worker| worker.pid == Some(pid));
        let tids = workers.filter_map(|worker| worker.tid).take(MOST_OF_PROCESS);
        let tasks: Vec<(u32, u32)> = tids.map(|tid| (pid, tid)).collect();
        if tasks.is_empty() { vec![(pid, pid)] } else { tasks }
    };
    pids.into_iter().flat_map(of_process).take(MOST_OF_LISTENER).collect()
}

/// What a task does; `None` where it is gone.
fn of_task(pid: u32, tid: u32) -> Option<HolderState> {
    let task = format!("/proc/{pid}/task/{tid}");
    let Stat { comm, state, .. } = Stat::of_thread(pid, tid)?;
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
        descriptor_limit: proc_stat::open_files_limits(pid)[0],
    })
}

/// How many descriptors a process has open, and its soft limit on them. `None` where the process is gone, and where
/// the kernel does not give the number (Linux 6.2 and later do) so that they would have to be counted.
#[must_use]
pub fn open_files(pid: u32) -> Option<(u64, Option<u64>)> {
    let open = size(&fs::metadata(format!("/proc/{pid}/fd")).ok()?)?;
    Some((open, proc_stat::open_files_limits(pid)[0]))
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
    fn the_first_count_is_kept_for_as_many_processes_as_there_is_room_for() {
        let mut first = FirstCounts::default();
        assert_eq!(first.first((7, 1), 3), None);
        assert_eq!(first.first((7, 1), 9), Some(3));
        assert_eq!(first.first((7, 2), 9), None, "another process with its id");
        for pid in 8..8 + u32::try_from(MOST_FIRST).expect("few") {
            let _is_first = first.first((pid, 1), 1);
            assert!(first.0.len() <= MOST_FIRST);
        }
        let mut first = FirstCounts::default();
        note_first([std::process::id(), u32::MAX >> 2].into_iter(), &mut first);
        assert!(first.0.len() <= 1);
    }
}
