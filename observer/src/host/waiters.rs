//! What tasks wait in at this moment, by `/proc/PID/task/TID/syscall`.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
};

use observer_common::calls::kind;

use crate::{
    host::{
        holders::{self, Holding},
        proc_fds::threads,
        user_memory,
        way::Way,
    },
    kernel::calls::Numbers,
};

/// A task that waits for a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The task's name.
    pub comm: String,
    /// How it waits.
    pub way: Way,
}

/// The system call that a sleeping task is in, and its first two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    number: i64,
    first: u64,
    second: u64,
}

/// A task that waits for descriptors, and which these are: listeners, or epoll instances that may watch some.
pub(super) type Wait = (Waiter, Vec<i32>);

/// The tasks of a process that wait for descriptors which are known.
pub(super) fn of_process(pid: u32) -> Vec<Wait> {
    let numbers = Numbers::of(pid);
    let wait = |tid: u32| {
        let path = format!("/proc/{pid}/task/{tid}/syscall");
        let call = parse(&fs::read_to_string(path).ok()?)?;
        let kind = numbers.kind(call.number, call.first);
        let descriptors = descriptors(pid, kind, call)?;
        let (comm, way) = (holders::comm(tid).unwrap_or_default(), Way::of(kind)?);
        Some((Waiter { pid, tid, comm, way }, descriptors))
    };
    threads(pid).into_iter().filter_map(wait).collect()
}

/// The descriptors that a call waits for. What a ring's requests are for nobody tells.
fn descriptors(pid: u32, kind: u8, call: Call) -> Option<Vec<i32>> {
    let Call { number: _, first, second } = call;
    match kind {
        kind::ACCEPT | kind::EPOLL => Some(vec![i32::try_from(first).ok()?]),
        kind::SOCKETCALL => user_memory::word(pid, second).map(|descriptor| vec![descriptor]),
        kind::POLL => user_memory::polled(pid, first, second),
        kind::SELECT => user_memory::selected(pid, first, second),
        _ => None,
    }
}

/// Whether a task sleeps in a call that waits for descriptors or accepts. `None` when the task is
/// gone; a task that runs, or that nobody may look at, does not sleep as far as is known.
#[must_use]
pub fn waits(pid: u32, tid: u32) -> Option<bool> {
    match fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")) {
        Ok(text) => Some(parse(&text).is_some_and(|call| {
            let kind = |numbers: Numbers| numbers.kind(call.number, call.first);
            kind(Numbers::Native) != 0 || kind(Numbers::Compat) != 0 && kind(Numbers::of(pid)) != 0
        })),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(false),
        Err(_) => None,
    }
}

/// Tasks that wait right now, by the listener that they wait for: in accept, poll or select on its
/// descriptor, or on an epoll instance that watches it.
#[must_use]
pub fn find<'a>(
    holdings: impl Iterator<Item = (u64, &'a [Holding])> + Clone,
) -> HashMap<u64, Vec<Waiter>> {
    let waits: Vec<Wait> = pids(holdings.clone()).into_iter().flat_map(of_process).collect();
    by_listener(holdings, waits.iter())
}

/// The processes that hold any of these listeners.
pub(super) fn pids<'a>(holdings: impl Iterator<Item = (u64, &'a [Holding])>) -> BTreeSet<u32> {
    holdings.flat_map(|(_, all)| all).map(|one| one.holder.pid).collect()
}

/// Tasks by the listener that they wait for, of the waits of processes.
pub(super) fn by_listener<'a, 'b>(
    holdings: impl Iterator<Item = (u64, &'a [Holding])>,
    waits: impl Iterator<Item = &'b Wait>,
) -> HashMap<u64, Vec<Waiter>> {
    // Most processes hold more descriptors than they wait on.
    let (mut direct, mut epolls) = (HashMap::new(), HashMap::new());
    for (waiter, descriptors) in waits {
        let by: &mut HashMap<(u32, i32), Vec<&Waiter>> = match waiter.way {
            Way::Epoll => &mut epolls,
            _ => &mut direct,
        };
        for descriptor in descriptors {
            by.entry((waiter.pid, *descriptor)).or_default().push(waiter);
        }
    }
    let mut waiters = HashMap::<u64, Vec<Waiter>>::new();
    if direct.is_empty() && epolls.is_empty() {
        return waiters;
    }
    let held = holdings.flat_map(|(id, all)| all.iter().map(move |one| (id, one)));
    for (listener, Holding { holder, epolls: watching, .. }) in held {
        let direct = direct.get(&(holder.pid, holder.fd)).into_iter();
        let watching = watching.iter().filter(|_| !epolls.is_empty());
        let polling = watching.filter_map(|epoll| epolls.get(&(holder.pid, *epoll)));
        for waiter in direct.chain(polling).flatten() {
            waiters.entry(listener).or_default().push((*waiter).clone());
        }
    }
    // Once for each listener, also where several descriptors of it are in one epoll instance.
    for waiters in waiters.values_mut() {
        waiters.sort_unstable();
        waiters.dedup();
    }
    waiters
}

/// Those of them that are in accept.
#[must_use]
pub fn in_accept<'a>(
    holdings: impl Iterator<Item = (u64, &'a [Holding])> + Clone,
) -> HashMap<u64, Vec<Waiter>> {
    let mut waiters = find(holdings);
    for waiters in waiters.values_mut() {
        waiters.retain(|waiter| waiter.way == Way::Accept);
    }
    waiters
}

/// Reads `proc_pid_syscall`: the number and the arguments of a blocked task's call, `running` for
/// one that runs, -1 for one that sleeps outside a call.
fn parse(text: &str) -> Option<Call> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    Some(Call { number, first: argument()?, second: argument()? })
}

#[cfg(test)]
mod tests {
    use super::{Call, parse, waits};

    #[test]
    fn a_blocked_call_is_read_and_a_running_task_is_none() {
        let text = "232 0x4 0x7ffd 0x40 0xffffffff 0x0 0x0 0x7ffc 0x7f00\n";
        assert_eq!(parse(text), Some(Call { number: 232, first: 4, second: 0x7ffd }));
        assert_eq!(parse("running\n"), None);
        assert_eq!(parse("-1 0x7ffc 0x7f00\n").map(|asleep| asleep.number), Some(-1));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_task_that_is_gone_is_known_as_gone() {
        assert_eq!(waits(u32::MAX >> 2, u32::MAX >> 2), None);
        assert!(waits(std::process::id(), std::process::id()).is_some());
    }
}
