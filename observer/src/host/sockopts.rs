//! Socket options of a listener that no dump tells, asked of a holder's descriptor.
//!
//! `pidfd_getfd` gives this process a descriptor of the holder's own socket, which is asked with
//! getsockopt and closed at once; nothing is ever set. If the holder closes the listener in those
//! few microseconds, it is our close that ends it. It is done only where the descriptor was just seen to lead to that
//! socket: to close a file of another kind may wait for ever for a file system that does not answer.

use std::{collections::HashMap, os::fd::OwnedFd, sync::Arc};

use nix::sys::socket::{GetSockOpt, getsockopt, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::{
    host::{
        holders::{Holding, Holdings},
        patience::Patience,
        proc_fds::{Target, leads_to},
    },
    model::Holder,
};

/// What was asked; `None` where the kernel gave no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// SO_REUSEPORT.
    pub reuseport: Option<bool>,
    /// TCP_DEFER_ACCEPT in seconds, 0 for off.
    pub defer_accept: Option<u32>,
    /// TCP_FASTOPEN: the limit on its queue, 0 for off.
    pub fastopen: Option<u32>,
}

mod own {
    use nix::{getsockopt_impl, libc, sockopt_impl};

    sockopt_impl!(DeferAccept, GetOnly, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, u32);
    sockopt_impl!(FastOpen, GetOnly, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, u32);
}

/// What the holders' sockets tell, by inode number; those whose first holder does not answer are left out.
#[must_use]
pub fn ask_all(holdings: &Holdings, patience: &Patience) -> HashMap<u64, Options> {
    let mut by_process = HashMap::<u32, Vec<(u64, Vec<Holding>)>>::new();
    for (inode, held) in holdings {
        if let Some(first) = held.first() {
            by_process.entry(first.holder.pid).or_default().push((*inode, held.clone()));
        }
    }
    let pids = by_process.keys().copied().collect();
    let by_process = Arc::new(by_process);
    let look = move |pid| {
        let held = by_process.get(&pid).into_iter().flatten();
        held.map(|(inode, held)| (*inode, ask(*inode, held))).collect::<Vec<_>>()
    };
    patience.each(pids, look).into_iter().filter_map(|(_, found)| found).flatten().collect()
}

/// Asks through the first holder that lets us.
///
/// A process that we may not trace, or a kernel before 5.6, tells nothing.
#[must_use]
pub fn ask(inode: u64, holdings: &[Holding]) -> Options {
    let Some(socket) = holdings.iter().find_map(|one| borrow(inode, &one.holder)) else {
        return Options::default();
    };
    Options {
        reuseport: value(&socket, sockopt::ReusePort),
        defer_accept: value(&socket, own::DeferAccept),
        fastopen: value(&socket, own::FastOpen),
    }
}

fn value<T: GetSockOpt>(socket: &OwnedFd, option: T) -> Option<T::Val> {
    getsockopt(socket, option).ok()
}

fn borrow(inode: u64, holder: &Holder) -> Option<OwnedFd> {
    if leads_to(holder.pid, holder.fd) != Some(Target::Socket(inode)) {
        return None;
    }
    let pid = Pid::from_raw(i32::try_from(holder.pid).ok()?)?;
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let socket = pidfd_getfd(&process, holder.fd, PidfdGetfdFlags::empty()).ok()?;
    // The holder may have closed it and opened something else under its number since.
    let is_it = nix::sys::stat::fstat(&socket).is_ok_and(|stat| stat.st_ino == inode);
    is_it.then_some(socket)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use socket2::{Domain, Socket, Type};

    use super::{Options, ask};
    use crate::{host::holders::Holding, model::Holder};

    #[test]
    fn a_descriptor_of_this_process_tells_its_options() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let holding = |fd| {
            let pid = std::process::id();
            let holder = Holder { pid, comm: String::new(), fd, wait: None };
            [Holding { holder, parent: 1 }]
        };
        let inode = nix::sys::stat::fstat(&socket).expect("its inode").st_ino;
        let fd = socket.as_raw_fd();
        let off = Options { reuseport: Some(false), defer_accept: Some(0), fastopen: Some(0) };
        // A process may always ask for its own (`ptrace_may_access`).
        assert_eq!(ask(inode, &holding(fd)), off);
        socket.set_reuse_port(true).expect("an option");
        assert_eq!(ask(inode, &holding(fd)), Options { reuseport: Some(true), ..off });
        // Another file under that number is not asked.
        assert_eq!(ask(inode + 1, &holding(fd)), Options::default());
    }
}
