//! What tasks wait in at this moment, by `/proc/PID/task/TID/syscall`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
};

use crate::{
    bpf::load::{is_accept_syscall, is_epoll_syscall, is_wait_syscall},
    listener::holders::{self, Holding},
};

/// A task that waits for a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiter {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The task's name.
    pub comm: String,
}

/// The system call that a sleeping task is in, and its first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asleep {
    number: i64,
    argument: u64,
}

/// Whether a task sleeps in a call that waits for descriptors or accepts. `None` when the task is
/// gone; a task that runs, or that nobody may look at, does not sleep as far as is known.
#[must_use]
pub fn waits(pid: u32, tid: u32) -> Option<bool> {
    match fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")) {
        Ok(text) => Some(parse(&text).is_some_and(|asleep| is_wait_syscall(asleep.number))),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(false),
        Err(_) => None,
    }
}

/// Tasks that wait right now, by the listener that they wait for: in accept on its descriptor, or on
/// an epoll instance that watches it. Those in poll and select cannot be told by what they wait for.
#[must_use]
pub fn find<'a>(
    holdings: impl IntoIterator<Item = (u64, &'a [Holding])>,
) -> HashMap<u64, Vec<Waiter>> {
    find_those(holdings, true)
}

/// Those of them that are in accept.
#[must_use]
pub fn in_accept<'a>(
    holdings: impl IntoIterator<Item = (u64, &'a [Holding])>,
) -> HashMap<u64, Vec<Waiter>> {
    find_those(holdings, false)
}

/// What a process's descriptors lead to: listeners by their own descriptor, and by those of epoll
/// instances.
#[derive(Default)]
struct Descriptors {
    accepts: HashMap<i32, Vec<u64>>,
    epolls: HashMap<i32, Vec<u64>>,
}

/// Each process is looked at once, however many listeners it holds.
fn find_those<'a>(
    holdings: impl IntoIterator<Item = (u64, &'a [Holding])>,
    in_epoll_too: bool,
) -> HashMap<u64, Vec<Waiter>> {
    let mut by_process = BTreeMap::<u32, Descriptors>::new();
    for (listener, holdings) in holdings {
        for holding in holdings {
            let descriptors = by_process.entry(holding.holder.pid).or_default();
            note(&mut descriptors.accepts, holding.holder.fd, listener);
            for epoll in holding.epolls.iter().filter(|_| in_epoll_too) {
                note(&mut descriptors.epolls, *epoll, listener);
            }
        }
    }
    let mut waiters = HashMap::<u64, Vec<Waiter>>::new();
    for (pid, descriptors) in by_process {
        for tid in threads(pid) {
            let path = format!("/proc/{pid}/task/{tid}/syscall");
            let Some(asleep) = fs::read_to_string(path).ok().and_then(|text| parse(&text)) else {
                continue;
            };
            let by = match asleep.number {
                number if is_accept_syscall(number) => &descriptors.accepts,
                number if is_epoll_syscall(number) => &descriptors.epolls,
                _ => continue,
            };
            let descriptor = i32::try_from(asleep.argument).unwrap_or(-1);
            let Some(listeners) = by.get(&descriptor) else { continue };
            let comm = holders::comm(tid).unwrap_or_default();
            for listener in listeners {
                let waiter = Waiter { pid, tid, comm: comm.clone() };
                waiters.entry(*listener).or_default().push(waiter);
            }
        }
    }
    waiters
}

/// Once for each listener, also where several descriptors of it are in one epoll instance: these
/// come one after the other.
fn note(to: &mut HashMap<i32, Vec<u64>>, descriptor: i32, listener: u64) {
    let listeners = to.entry(descriptor).or_default();
    if listeners.last() != Some(&listener) {
        listeners.push(listener);
    }
}

/// The descriptors on which tasks of a process are in accept right now.
#[must_use]
pub fn accepting(pid: u32) -> HashSet<i32> {
    let calls = threads(pid).into_iter().filter_map(|tid| {
        parse(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?)
    });
    calls
        .filter(|asleep| is_accept_syscall(asleep.number))
        .filter_map(|asleep| i32::try_from(asleep.argument).ok())
        .collect()
}

fn threads(pid: u32) -> Vec<u32> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Reads `proc_pid_syscall`: the number and the arguments of a blocked task's call, `running` for
/// one that runs, -1 for one that sleeps outside a call.
fn parse(text: &str) -> Option<Asleep> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    Some(Asleep { number, argument })
}

#[cfg(test)]
mod tests {
    use super::{Asleep, parse, waits};

    #[test]
    fn a_blocked_call_is_read_and_a_running_task_is_none() {
        let text = "232 0x4 0x7ffd 0x40 0xffffffff 0x0 0x0 0x7ffc 0x7f00\n";
        assert_eq!(parse(text), Some(Asleep { number: 232, argument: 4 }));
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
