//! Hosts with many listeners, for `cargo xtask fleet`: all in one process, or each in a namespace of its own.

use std::{
    io::Read as _,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::{SockFlag, accept4},
    },
    unistd::{pause, pipe, write},
};
use serde_json::json;

use super::{
    super::told::say,
    children::Children,
    idle::{address, listener, listeners},
};

/// One process that serves them all: accepts, and closes.
pub(super) fn serve(count: usize) -> Result<()> {
    let listeners = listeners(count)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut ports = Vec::with_capacity(count);
    for (index, listener) in listeners.iter().enumerate() {
        epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        ports.push(address(listener)?.port());
    }
    say(&json!({ "ports": ports }))?;
    let mut events = [EpollEvent::empty()];
    loop {
        match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => bail!("epoll_wait: {errno}"),
        }
        let listener = listeners.get(usize::try_from(events[0].data())?).context("no listener")?;
        // SAFETY: accept4 has just made this descriptor.
        drop(unsafe {
            OwnedFd::from_raw_fd(accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?)
        });
    }
}

/// Processes in network namespaces of their own, each with a listener.
pub(super) fn namespaces(count: usize) -> Result<()> {
    let (ready, tell) = pipe()?;
    let mut children = Children::default();
    for _ in 0..count {
        children.fork(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let _listens = listener()?;
            write(&tell, &[0])?;
            loop {
                pause();
            }
        })?;
    }
    drop(tell);
    let mut all = vec![0; count];
    std::fs::File::from(ready).read_exact(&mut all).context("a namespace cannot be made")?;
    say(&json!({ "ports": [] }))?;
    pause();
    Ok(())
}
