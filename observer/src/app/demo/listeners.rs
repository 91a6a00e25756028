//! The listening sockets of a workload.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use anyhow::Context;
use nix::sys::epoll::{Epoll, EpollFlags};
use socket2::{Domain, Socket, Type};

use super::{protocol::ListenerAt, strategy::Strategy, worker};

/// What the workers wait on; made before they are, so that they inherit it.
pub(super) struct Listeners {
    /// One for all workers, or one for each.
    sockets: Vec<Socket>,
    /// The epoll instance of all workers, if they share one.
    pub(super) epoll_of_all: Option<Epoll>,
    /// Where the client connects to.
    pub(super) address: SocketAddr,
}

impl Listeners {
    /// Listens on the loopback address of a family; port 0 is any.
    pub(super) fn open(
        strategy: Strategy,
        workers: usize,
        ipv6: bool,
        port: u16,
        backlog: u32,
    ) -> anyhow::Result<Self> {
        let ip: IpAddr = if ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let mut address = SocketAddr::new(ip, port);
        let count = if strategy.listener_each() { workers } else { 1 };
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = listen(strategy, address, backlog).with_context(|| {
                format!("listening on {address} failed; choose another --port or --family, or fewer --workers")
            })?;
            // The others of a group join the port that the first one got.
            address = socket
                .local_addr()?
                .as_socket()
                .context("the kernel gave a listener no address")?;
            sockets.push(socket);
        }
        let epoll_of_all = (strategy == Strategy::EpollShared)
            .then(|| worker::epoll_on(sockets[0].as_fd(), EpollFlags::EPOLLIN))
            .transpose()
            .context("making the shared epoll instance failed")?;
        Ok(Self { sockets, epoll_of_all, address })
    }

    /// The listener of a worker.
    pub(super) fn of_worker(&self, index: usize) -> BorrowedFd<'_> {
        self.sockets[index % self.sockets.len()].as_fd()
    }

    /// Closes the listeners of all other workers, so that each belongs to one process only.
    pub(super) fn keep_only_that_of(&mut self, index: usize) {
        if self.sockets.len() > 1 {
            self.sockets = vec![self.sockets.swap_remove(index)];
        }
    }

    /// Closes the listeners that each belong to one worker. A shared one stays open, as a
    /// server's master process keeps it.
    pub(super) fn leave_to_workers(&mut self) {
        if self.sockets.len() > 1 {
            self.sockets.clear();
        }
    }

    /// Where they are.
    pub(super) fn describe(&self) -> anyhow::Result<Vec<ListenerAt>> {
        self.sockets
            .iter()
            .map(|socket| {
                let inode = nix::sys::stat::fstat(socket)
                    .context("the inode of a listener cannot be read")?
                    .st_ino;
                let (address, port) = (self.address.ip().to_string(), self.address.port());
                Ok(ListenerAt { address, port, inode })
            })
            .collect()
    }
}

fn listen(strategy: Strategy, address: SocketAddr, backlog: u32) -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if strategy.listener_each() {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog)?)?;
    socket.set_nonblocking(strategy != Strategy::Blocking)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reuseport_has_a_listener_for_each_worker() {
        for &strategy in Strategy::all() {
            let listeners = Listeners::open(strategy, 3, false, 0, 16).expect("a free port");
            let described = listeners.describe().expect("open sockets");
            let expected = if strategy == Strategy::Reuseport { 3 } else { 1 };
            assert_eq!(described.len(), expected, "{}", strategy.name());
            assert!(described.iter().all(|at| at.port == listeners.address.port() && at.port > 0));
            assert_eq!(listeners.epoll_of_all.is_some(), strategy == Strategy::EpollShared);
        }
    }
}
