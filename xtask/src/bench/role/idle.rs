//! A server that stays: listeners, and workers that wait for the first of them.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    libc,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        resource::{Resource, getrlimit, setrlimit},
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, accept4, bind, getsockname,
            listen, setsockopt, socket, sockopt,
        },
    },
    unistd::pause,
};
use serde_json::json;

use super::{super::told::say, children::Children};

pub(super) fn listener() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    bind(
        socket.as_raw_fd(),
        &SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)),
    )?;
    listen(&socket, Backlog::new(511)?)?;
    Ok(socket)
}

pub(super) fn address(socket: &OwnedFd) -> Result<SocketAddr> {
    let name: SockaddrIn = getsockname(socket.as_raw_fd())?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, name.port())))
}

pub(super) fn serve(listener: BorrowedFd<'_>, exclusive: bool) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut flags = EpollFlags::EPOLLIN;
    if exclusive {
        flags |= EpollFlags::EPOLLEXCLUSIVE;
    }
    epoll.add(listener, EpollEvent::new(flags, 0))?;
    let mut events = [EpollEvent::empty()];
    loop {
        match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => bail!("epoll_wait: {errno}"),
        }
        match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: accept4 has just made this descriptor.
            Ok(connection) => drop(unsafe { OwnedFd::from_raw_fd(connection) }),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(errno) => bail!("accept4: {errno}"),
        }
    }
}

/// Connects, waits for the worker's close, and closes without leaving a TIME_WAIT behind.
pub(super) fn connect(to: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(to).context("connect")?;
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream.as_fd(), sockopt::Linger, &at_once)?;
    if stream.read(&mut [0])? != 0 {
        bail!("something else answers on {to}");
    }
    Ok(())
}

/// Listeners, as many as this process may hold.
pub(super) fn listeners(count: usize) -> Result<Vec<OwnedFd>> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    (0..count).map(|_| listener()).collect()
}

pub(super) fn idle(count: usize, workers: u32, rate: u32) -> Result<()> {
    let listeners = listeners(count)?;
    let first = listeners.first().context("no listener")?;
    let to = address(first)?;
    let mut children = Children::default();
    for _ in 0..workers {
        children.fork(|| serve(first.as_fd(), false))?;
    }
    say(&json!({"address": to.to_string()}))?;
    if rate > 0 {
        return come(to, rate);
    }
    pause();
    Ok(())
}

/// Connections at even distances, until this process is ended.
fn come(to: SocketAddr, rate: u32) -> Result<()> {
    let distance = Duration::from_secs(1) / rate;
    let mut next = Instant::now();
    loop {
        connect(to)?;
        next += distance;
        let now = Instant::now();
        if now > next + Duration::from_secs(1) {
            bail!("this machine is too slow for {rate} connections a second");
        }
        std::thread::sleep(next.saturating_duration_since(now));
    }
}
