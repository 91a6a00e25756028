//! A network namespace of one's own: nothing else's connections are in it.

use std::{
    fs,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
};

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

use observer::error::Failure;

/// Moves this process into a new network namespace with a working loopback interface.
pub(super) fn enter_new() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| {
        Failure::not_possible(format!(
            "a network namespace could not be made ({errno}); it needs root (CAP_SYS_ADMIN), \
             and a kernel with network namespaces"
        ))
    })?;
    loopback_up()
        .context("the new namespace's loopback interface could not be brought up; run again")
}

/// Inode number of this process's network namespace.
pub(super) fn inode() -> anyhow::Result<u64> {
    let metadata = fs::metadata("/proc/self/ns/net")
        .context("/proc/self/ns/net cannot be read; mount /proc and run again")?;
    Ok(metadata.ino())
}

fn loopback_up() -> anyhow::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: ifreq is plain old data, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes_with_nul()) {
        *to = libc::c_char::try_from(*from)?;
    }
    // SAFETY: SIOCGIFFLAGS reads and writes one ifreq, which lives until after the call.
    nix::errno::Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request)
    })?;
    // SAFETY: the kernel has just filled in this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::c_short::try_from(libc::IFF_UP)?;
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    nix::errno::Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)
    })?;
    Ok(())
}
