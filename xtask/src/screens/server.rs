//! A server of a scene, and the client that comes to it.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    libc,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        prctl,
        resource::{Resource, setrlimit},
        signal::{Signal, kill},
        socket::{
            AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn, accept4, bind,
            connect, listen, recv, setsockopt, socket, sockopt,
        },
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pause},
};

/// Port of the server, which nobody else has in a machine of its own.
const PORT: u16 = 8080;

/// What a server does with a connection.
#[derive(Clone, Copy)]
pub(super) enum Work {
    /// Sleeps for so long, as one that waits for a disk or a database, and closes it.
    Closes(Duration),
    /// Keeps it.
    Keeps,
}

/// A server with level-triggered epoll.
#[derive(Clone, Copy)]
pub(super) struct Server {
    /// Name of its process.
    pub(super) comm: &'static str,
    pub(super) backlog: i32,
    /// Processes that wait for the listener; the first process itself where there are none.
    pub(super) workers: u32,
    pub(super) work: Work,
    /// Limit of its descriptors.
    pub(super) descriptors: Option<u64>,
}

/// A server that runs, until it is dropped.
pub(super) struct Running {
    pub(super) pid: Pid,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_before: nix::Result<()> = kill(self.pid, Signal::SIGKILL);
        let _gone = waitpid(self.pid, None);
    }
}

impl Server {
    /// Starts it; it listens when this returns.
    pub(super) fn start(&self) -> Result<Running> {
        let listener = self.listener()?;
        Ok(Running { pid: forked(|| self.serve(&listener))? })
    }

    fn listener(&self) -> Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        setsockopt(&listener, sockopt::ReuseAddr, &true)?;
        let at = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT));
        bind(listener.as_raw_fd(), &at).with_context(|| format!("port {PORT}"))?;
        listen(&listener, Backlog::new(self.backlog)?)?;
        Ok(listener)
    }

    fn serve(&self, listener: &OwnedFd) -> Result<()> {
        prctl::set_name(&std::ffi::CString::new(self.comm)?)?;
        if let Some(limit) = self.descriptors {
            setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
        }
        if self.workers == 0 {
            return self.wait(listener);
        }
        for _ in 0..self.workers {
            forked(|| self.wait(listener))?;
        }
        loop {
            pause();
        }
    }

    fn wait(&self, listener: &OwnedFd) -> Result<()> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let mut kept = Vec::new();
        loop {
            match epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => bail!("epoll_wait: {errno}"),
            }
            let connection = match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
                // SAFETY: accept4 has just made this descriptor.
                Ok(connection) => unsafe { OwnedFd::from_raw_fd(connection) },
                // Without descriptors it tries again at once, as loops do that were not written for that.
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED | Errno::EMFILE) => continue,
                Err(errno) => bail!("accept4: {errno}"),
            };
            match self.work {
                Work::Closes(after) if after.is_zero() => {}
                Work::Closes(after) => thread::sleep(after),
                Work::Keeps => kept.push(connection),
            }
        }
    }
}

/// A child that does this and ends with its parent.
fn forked(work: impl FnOnce() -> Result<()>) -> Result<Pid> {
    // SAFETY: there is one thread only, so that no lock is held by a thread that is not there.
    match unsafe { fork() }.context("no process can be forked")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let _unless_it_cannot = prctl::set_pdeathsig(Signal::SIGKILL);
            let failed = work().err();
            eprintln!("a server stopped: {failed:?}");
            // SAFETY: ends this process without what the parent would do at its end.
            unsafe { libc::_exit(1) }
        }
    }
}

/// What comes to a server: so many connections at once, and again after a while.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) burst: u32,
    pub(super) every: Duration,
}

/// The client that brings it.
pub(super) struct Client {
    to: SockaddrIn,
    load: Load,
    next: Instant,
    open: Vec<OwnedFd>,
}

impl Client {
    pub(super) fn new(load: Load) -> Self {
        let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT));
        Self { to, load, next: Instant::now(), open: Vec::new() }
    }

    /// Connects where it is time to, and closes what the server has closed.
    pub(super) fn go_on(&mut self) -> Result<()> {
        self.open.retain(|connection| {
            recv(connection.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) == Err(Errno::EAGAIN)
        });
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next += self.load.every;
        for _ in 0..self.load.burst {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let connection = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
            // Closed with a reset, which leaves no TIME_WAIT behind.
            let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&connection, sockopt::Linger, &at_once)?;
            match connect(connection.as_raw_fd(), &self.to) {
                Ok(()) | Err(Errno::EINPROGRESS) => self.open.push(connection),
                Err(errno) => bail!("connect: {errno}"),
            }
        }
        Ok(())
    }
}
