//! Who holds a descriptor to a listener, and through which epoll instances they wait for it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
};

use procfs::{
    ProcError,
    process::{FDInfo, FDTarget, Process, StatFlags, all_processes},
};

use crate::report::model::{Holder, Wait};

/// EPOLLEXCLUSIVE (uapi/linux/eventpoll.h), as fdinfo's `events` shows it.
const EPOLLEXCLUSIVE: u32 = 1 << 28;

/// One process that holds a descriptor to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What reports show.
    pub holder: Holder,
    /// The process's descriptors of epoll instances that watch the listener.
    pub epolls: Vec<i32>,
}

/// Holders by the socket inode of what they hold.
pub type Holdings = HashMap<u64, Vec<Holding>>;

/// Looks through every process that this one may look into for descriptors of `listeners`.
#[must_use]
pub fn scan(listeners: &HashSet<u64>) -> Holdings {
    scan_and_tell(listeners).holdings
}

/// What a look through every process came to.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The holders that were found.
    pub holdings: Holdings,
    /// How many processes did not let this one look.
    pub refused: usize,
}

/// The same, telling what could not be looked into.
#[must_use]
pub fn scan_and_tell(listeners: &HashSet<u64>) -> Scan {
    let mut scan = Scan::default();
    if listeners.is_empty() {
        return scan;
    }
    for process in all_processes().into_iter().flatten().flatten() {
        match process.fd() {
            Ok(descriptors) => {
                let descriptors = descriptors.flatten();
                scan_process(&process, descriptors, listeners, &mut scan.holdings);
            }
            Err(ProcError::PermissionDenied(_)) if !is_kernel_thread(&process) => scan.refused += 1,
            Err(_) => {}
        }
    }
    for holders in scan.holdings.values_mut() {
        holders.sort_by(|one, other| one.holder.cmp(&other.holder));
    }
    scan
}

/// Kernel threads have no descriptors.
fn is_kernel_thread(process: &Process) -> bool {
    process
        .stat()
        .and_then(|stat| stat.flags())
        .is_ok_and(|flags| flags.contains(StatFlags::PF_KTHREAD))
}

fn scan_process(
    process: &Process,
    descriptors: impl Iterator<Item = FDInfo>,
    listeners: &HashSet<u64>,
    holdings: &mut Holdings,
) {
    let (mut held, mut epolls) = (Vec::new(), Vec::new());
    for descriptor in descriptors {
        match descriptor.target {
            FDTarget::Socket(inode) if listeners.contains(&inode) => {
                held.push((descriptor.fd, inode));
            }
            FDTarget::AnonInode(kind) if kind.contains("eventpoll") => epolls.push(descriptor.fd),
            _ => {}
        }
    }
    if held.is_empty() {
        return;
    }
    let Ok(pid) = u32::try_from(process.pid) else { return };
    let comm = comm(pid).unwrap_or_default();
    let mut watched = BTreeMap::<u64, Vec<(i32, bool)>>::new();
    for epoll in epolls {
        let path = format!("/proc/{pid}/fdinfo/{epoll}");
        for (inode, exclusive) in parse_epoll(&fs::read_to_string(path).unwrap_or_default()) {
            watched.entry(inode).or_default().push((epoll, exclusive));
        }
    }
    for (fd, inode) in held {
        let watches = watched.get(&inode).map(Vec::as_slice).unwrap_or_default();
        let wait = match watches {
            [] => None,
            watches if watches.iter().all(|(_, exclusive)| *exclusive) => {
                Some(Wait::EpollExclusive)
            }
            _ => Some(Wait::Epoll),
        };
        holdings.entry(inode).or_default().push(Holding {
            holder: Holder { pid, comm: comm.clone(), fd, wait },
            epolls: watches.iter().map(|(epoll, _)| *epoll).collect(),
        });
    }
}

/// Whether a process holds a descriptor to a listener; `None` when the process is gone.
#[must_use]
pub fn holds(pid: u32, listener: u64) -> Option<bool> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    // A process that ends has no descriptors any more, and is as good as gone.
    let mut any = false;
    for descriptor in process.fd().ok()?.flatten() {
        any = true;
        if matches!(descriptor.target, FDTarget::Socket(inode) if inode == listener) {
            return Some(true);
        }
    }
    any.then_some(false)
}

/// The name of a process or thread.
#[must_use]
pub fn comm(pid: u32) -> Option<String> {
    fs::read(format!("/proc/{pid}/comm"))
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
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

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, os::fd::AsRawFd as _};

    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

    use super::{parse_epoll, scan};
    use crate::{listener::diag::listening_sockets, report::model::Wait};

    #[test]
    fn fdinfo_tells_what_is_watched_and_how() {
        let text = "pos:\t0\nflags:\t02000002\n\
            tfd:        5 events: 10000001 data:                0  pos:0 ino:3a sdev:8\n\
            tfd:        6 events:       19 data: ffffffffffffffff  pos:0 ino:3b sdev:8\n";
        assert_eq!(parse_epoll(text), [(0x3a, true), (0x3b, false)]);
        assert!(parse_epoll("tfd: nonsense\n").is_empty());
    }

    #[test]
    fn this_process_is_found_as_a_holder_with_its_way_of_waiting() {
        for (flags, expected) in [
            (None, None),
            (Some(EpollFlags::EPOLLIN), Some(Wait::Epoll)),
            (Some(EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE), Some(Wait::EpollExclusive)),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let port = listener.local_addr().expect("its address").port();
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll instance");
            if let Some(flags) = flags {
                epoll.add(&listener, EpollEvent::new(flags, 0)).expect("watched");
            }
            let inode = listening_sockets()
                .expect("a dump")
                .into_iter()
                .find(|socket| socket.port == port)
                .expect("the listener")
                .inode;
            let found = scan(&HashSet::from([inode]));
            let holding = found[&inode]
                .iter()
                .find(|holding| holding.holder.pid == std::process::id())
                .expect("this process");
            assert_eq!(holding.holder.fd, listener.as_raw_fd());
            assert_eq!(holding.holder.wait, expected);
        }
    }
}
