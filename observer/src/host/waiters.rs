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
        rest, user_memory,
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

/// What the tasks of processes waited in when they were looked at, which is what they wait in while
/// their processes have not run since.
#[derive(Debug, Default)]
pub struct Asleep(HashMap<u32, Tasks>);

#[derive(Debug)]
struct Tasks {
    /// How long the process had run, before they were looked at.
    ran: Option<u64>,
    /// Those that wait for descriptors, and for which: listeners, or epoll instances that may watch some.
    waits: Vec<(Waiter, Vec<i32>)>,
}

impl Asleep {
    /// Looks at these processes, as far as they have run, and forgets all others.
    fn look(&mut self, pids: &BTreeSet<u32>) {
        let mut before = std::mem::take(&mut self.0);
        self.0 = pids
            .iter()
            .map(|pid| {
                let ran = rest::has_run(*pid);
                let known = before.remove(pid).filter(|known| ran.is_some() && known.ran == ran);
                (*pid, known.unwrap_or_else(|| Tasks { ran, waits: waits_of(*pid) }))
            })
            .collect();
    }
}

/// The tasks of a process that wait for descriptors which are known.
fn waits_of(pid: u32) -> Vec<(Waiter, Vec<i32>)> {
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
/// descriptor, or on an epoll instance that watches it. `holders` are the processes that hold any of them.
#[must_use]
pub fn find<'a>(
    holdings: impl Iterator<Item = (u64, &'a [Holding])>,
    holders: &BTreeSet<u32>,
    asleep: &mut Asleep,
) -> HashMap<u64, Vec<Waiter>> {
    asleep.look(holders);
    // Most processes hold more descriptors than they wait on.
    let (mut direct, mut epolls) = (HashMap::new(), HashMap::new());
    for (waiter, descriptors) in asleep.0.values().flat_map(|tasks| &tasks.waits) {
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
    let holders = holdings.clone().flat_map(|(_, all)| all).map(|one| one.holder.pid).collect();
    let mut waiters = find(holdings, &holders, &mut Asleep::default());
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
