//! Who holds a descriptor to a listener.

use std::{collections::HashSet, fs, io};

use foldhash::HashMap;
use procfs::process::{Process, StatFlags};

use crate::{
    host::{
        proc_fds::{self, Target},
        proc_stat::Stat,
    },
    model::Holder,
};

/// One process that holds a descriptor to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What reports show, but for how it waits ([`crate::host::ways`]).
    pub holder: Holder,
    /// The process that started it, or that has adopted it since; 0 where that is not known.
    pub parent: u32,
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
    /// The processes that did not let this one look.
    pub refused: Vec<u32>,
}

/// Holders of these listeners among all processes, and the processes that could not be looked into.
#[must_use]
pub fn scan_and_tell(listeners: &HashSet<u64>) -> Scan {
    if listeners.is_empty() {
        return Scan::default();
    }
    let all = proc_fds::processes().unwrap_or_default();
    scan_these(all.into_iter().map(|(pid, _)| pid), listeners)
}

/// Holders of these listeners among some processes, and those that could not be looked into.
#[must_use]
pub fn scan_these(processes: impl Iterator<Item = u32>, listeners: &HashSet<u64>) -> Scan {
    let mut scan = Scan::default();
    for pid in processes {
        match scan_process(pid, listeners, &mut scan.holdings) {
            Err(error) if !is_gone(&error) && !is_kernel_thread(pid) => scan.refused.push(pid),
            Ok(()) | Err(_) => {}
        }
    }
    for holders in scan.holdings.values_mut() {
        holders.sort_by(|one, other| one.holder.cmp(&other.holder));
    }
    scan
}

/// Whether a look at a process failed because it ended meanwhile. Any other reason (no permission, no
/// descriptor left to look with) leaves it open what the process holds.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Whether a process is a thread of the kernel, which has no descriptors.
#[must_use]
pub fn is_kernel_thread(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| {
        Process::new(pid)
            .and_then(|process| process.stat())
            .is_ok_and(|stat| stat.flags().is_ok_and(|flags| flags.contains(StatFlags::PF_KTHREAD)))
    })
}

fn scan_process(pid: u32, listeners: &HashSet<u64>, holdings: &mut Holdings) -> io::Result<()> {
    let mut held = Vec::new();
    proc_fds::of(pid, |fd, target| match target {
        Target::Socket(inode) if listeners.contains(&inode) => held.push((fd, inode)),
        Target::Socket(_) | Target::Epoll | Target::Other => {}
    })?;
    if held.is_empty() {
        return Ok(());
    }
    let comm = comm(pid).unwrap_or_default();
    let parent = Stat::of(pid).map_or(0, |stat| stat.parent);
    for (fd, inode) in held {
        let holder = Holder { pid, comm: comm.clone(), fd, wait: None };
        holdings.entry(inode).or_default().push(Holding { holder, parent });
    }
    Ok(())
}

/// Whether a process holds a descriptor to a listener; `None` when the process is gone.
#[must_use]
pub fn holds(pid: u32, listener: u64) -> Option<bool> {
    let (mut any, mut found) = (false, false);
    proc_fds::of(pid, |_, target| {
        any = true;
        found |= target == Target::Socket(listener);
    })
    .ok()?;
    // A process that ends has no descriptors any more, and is as good as gone.
    any.then_some(found)
}

/// The name of a process or thread.
#[must_use]
pub fn comm(pid: u32) -> Option<String> {
    fs::read(format!("/proc/{pid}/comm"))
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, os::fd::AsRawFd as _};

    use super::{Holding, scan, scan_these};
    use crate::host::inet_diag::listening_sockets;

    /// The first process has capabilities, and a thread without any may not see where its descriptors lead,
    /// though root may list them.
    #[test]
    fn a_process_that_may_not_be_looked_into_is_told() {
        let looked = std::thread::spawn(|| {
            // These are the thread's own.
            let nothing = rustix::thread::CapabilitySet::empty();
            let sets = rustix::thread::CapabilitySets {
                effective: nothing,
                permitted: nothing,
                inheritable: nothing,
            };
            rustix::thread::set_capabilities(None, sets).expect("fewer are always allowed");
            let gone = u32::MAX >> 2;
            scan_these([1, std::process::id(), gone].into_iter(), &HashSet::from([1])).refused
        });
        let refused = looked.join().expect("the thread");
        assert!(refused.contains(&1) && !refused.contains(&(u32::MAX >> 2)), "{refused:?}");
    }

    #[test]
    fn this_process_is_found_as_a_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let all = listening_sockets().expect("a dump");
        let inode = all.iter().find(|one| one.port == port).expect("the listener").inode;
        let found = scan(&HashSet::from([inode]));
        let own = |holding: &&Holding| holding.holder.pid == std::process::id();
        let holding = found[&inode].iter().find(own).expect("this process");
        assert_eq!(holding.holder.fd, listener.as_raw_fd());
        assert_eq!(holding.parent, std::os::unix::process::parent_id());
    }
}
