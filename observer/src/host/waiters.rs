//! Who waits for listeners, as /proc tells it: for those who may not load kernel programs.
//!
//! A sleeping task's system call and the memory that its arguments point to tell what it waits for, and an epoll
//! instance's `fdinfo` what that watches. To read the latter locks the instance while the kernel goes through it,
//! and who has it open cannot wait meanwhile; so that is done only for processes of one's own user, with few
//! descriptors.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs,
};

use observer_common::{calls::kind, watch::EPOLLEXCLUSIVE};
use rustix::process::geteuid;

use crate::{
    host::{
        holders::{self, Holding, Holdings},
        proc_fds::{self, Target, threads},
        user_memory,
        waits::{Waiter, Waits},
        way::Way,
    },
    kernel::calls::Numbers,
};

/// Maximum number of descriptors of a process whose epoll instances are looked at.
pub const MOST_DESCRIPTORS: usize = 1024;

/// The system call that a sleeping task is in, and its first two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    number: i64,
    first: u64,
    second: u64,
}

/// A task that waits for descriptors, and which these are: listeners, or epoll instances that may watch some.
type Wait = (Waiter, Vec<i32>);

/// Who waits for the listeners that these processes hold.
#[must_use]
pub fn of_proc(holdings: &Holdings) -> Waits {
    let pids: BTreeSet<u32> = holdings.values().flatten().map(|one| one.holder.pid).collect();
    let mut waits = Waits { knows_epolls: true, ..Waits::default() };
    // Listeners by the descriptor of an epoll instance that watches them.
    let mut watched = HashMap::<(u32, i32), Vec<u64>>::new();
    let own = geteuid().as_raw();
    for pid in &pids {
        let Some(items) = epoll_items(*pid, own) else {
            let held = holdings.iter().filter(|(_, all)| holds(all, *pid));
            waits.cut.extend(held.map(|(listener, _)| *listener));
            continue;
        };
        for (epoll, listener, exclusive) in items {
            if holdings.get(&listener).is_some_and(|all| holds(all, *pid)) {
                waits.watch(listener, *pid, exclusive);
                watched.entry((*pid, epoll)).or_default().push(listener);
            }
        }
    }
    let of_descriptor = |(listener, all): (&u64, &Vec<Holding>)| {
        let all = all.iter().map(|one| ((one.holder.pid, one.holder.fd), *listener));
        all.collect::<Vec<_>>()
    };
    let direct: HashMap<(u32, i32), u64> = holdings.iter().flat_map(of_descriptor).collect();
    for (waiter, descriptors) in pids.into_iter().flat_map(of_process) {
        for descriptor in descriptors {
            let key = (waiter.pid, descriptor);
            let listeners = match waiter.way {
                Way::Epoll => watched.get(&key).cloned().unwrap_or_default(),
                _ => direct.get(&key).copied().into_iter().collect(),
            };
            for listener in listeners {
                waits.add(listener, waiter.clone());
            }
        }
    }
    waits.sort();
    waits
}

fn holds(holders: &[Holding], pid: u32) -> bool {
    holders.iter().any(|one| one.holder.pid == pid)
}

/// What the epoll instances of a process watch: descriptor of the instance, inode number of what is watched, and
/// whether with EPOLLEXCLUSIVE. `None` of a process that is not the user's own, or has many descriptors.
fn epoll_items(pid: u32, own: u32) -> Option<Vec<(i32, u64, bool)>> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata(format!("/proc/{pid}")).ok()?.uid() != own {
        return None;
    }
    let (mut count, mut epolls) = (0, HashSet::new());
    let thread = proc_fds::of(pid, |fd, target| {
        count += 1;
        if target == Target::Epoll {
            epolls.insert(fd);
        }
    })
    .ok()?;
    if count > MOST_DESCRIPTORS {
        return None;
    }
    let items = |epoll: i32| {
        let path = format!("/proc/{pid}/task/{thread}/fdinfo/{epoll}");
        let text = fs::read_to_string(path).unwrap_or_default();
        parse_epoll(&text).into_iter().map(move |(inode, exclusive)| (epoll, inode, exclusive))
    };
    Some(epolls.into_iter().flat_map(items).collect())
}

/// What an epoll instance watches, by fdinfo: inode numbers of the watched files, and whether with
/// EPOLLEXCLUSIVE. Numbers are hexadecimal (`ep_show_fdinfo`).
fn parse_epoll(text: &str) -> Vec<(u64, bool)> {
    text.lines()
        .filter(|line| line.starts_with("tfd:"))
        .filter_map(|line| {
            // Some values follow their colon at once, others after blanks.
            let value = |name: &str| {
                let after = line.split_once(name)?.1;
                after.split_whitespace().next()
            };
            let inode = u64::from_str_radix(value("ino:")?, 16).ok()?;
            let events = u32::from_str_radix(value("events:")?, 16).ok()?;
            Some((inode, events & EPOLLEXCLUSIVE != 0))
        })
        .collect()
}

/// The tasks of a process that wait for descriptors which are known.
fn of_process(pid: u32) -> Vec<Wait> {
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

/// Tasks of a process that are in accept, with the descriptor of each.
#[must_use]
pub fn in_accept(pid: u32) -> Vec<(u32, i32)> {
    let all = of_process(pid).into_iter().filter(|(waiter, _)| waiter.way == Way::Accept);
    all.filter_map(|(waiter, of)| Some((waiter.tid, *of.first()?))).collect()
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
    use std::collections::HashSet;

    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

    use super::{Call, MOST_DESCRIPTORS, epoll_items, of_proc, parse, parse_epoll, waits};
    use crate::{
        host::{holders::scan, inet_diag::listening_sockets},
        model::Wait,
    };

    #[test]
    fn fdinfo_tells_what_is_watched_and_how() {
        let text = "pos:\t0\nflags:\t02000002\n\
            tfd:        5 events: 10000001 data:                0  pos:0 ino:3a sdev:8\n\
            tfd:        6 events:       19 data: ffffffffffffffff  pos:0 ino:3b sdev:8\n";
        assert_eq!(parse_epoll(text), [(0x3a, true), (0x3b, false)]);
        assert!(parse_epoll("tfd: nonsense\n").is_empty());
    }

    #[test]
    fn this_process_watches_a_listener_and_that_of_another_user_is_not_looked_at() {
        let own = rustix::process::geteuid().as_raw();
        for (flags, expected) in [
            (EpollFlags::EPOLLIN, Wait::Epoll),
            (EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE, Wait::EpollExclusive),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let port = listener.local_addr().expect("its address").port();
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll instance");
            epoll.add(&listener, EpollEvent::new(flags, 0)).expect("watched");
            let all = listening_sockets().expect("a dump");
            let inode = all.iter().find(|one| one.port == port).expect("the listener").inode;
            let holdings = scan(&HashSet::from([inode]));
            let pid = std::process::id();
            assert_eq!(of_proc(&holdings).by_epoll(inode, pid), Some(expected));
            let items = epoll_items(pid, own).expect("few descriptors");
            assert!(items.iter().any(|(_, watched, _)| *watched == inode));
            assert_eq!(epoll_items(pid, own + 1), None);
        }
    }

    #[test]
    fn a_process_with_many_descriptors_is_not_looked_at() {
        let many: Vec<_> =
            (0..=MOST_DESCRIPTORS).map_while(|_| std::fs::File::open("/dev/null").ok()).collect();
        let own = rustix::process::geteuid().as_raw();
        let items = epoll_items(std::process::id(), own);
        assert_eq!(items.is_none(), many.len() > MOST_DESCRIPTORS, "{} files", many.len());
    }

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
