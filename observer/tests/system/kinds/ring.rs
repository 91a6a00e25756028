//! Accepts by io_uring, one by one and by one request for many.
//!
//! They are no system calls: the tracepoints do not see them, and show what entered the queue and who
//! was woken.

use std::{
    net::Ipv4Addr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    thread,
};

use anyhow::{anyhow, ensure};
use io_uring::{IoUring, opcode, types::Fd};
use socket2::Socket;

use super::server::{Tally, check, connect, listen, sleeps};
use crate::{
    Need, Outcome, Test,
    together::{Play, in_the_report, in_the_window},
};

const CONNECTIONS: u64 = 10;

pub fn tests() -> Vec<Test> {
    vec![
        Test::together("kinds::io_uring_single", Need::Also(no_ring), || by_ring(false)),
        Test::together("kinds::io_uring_multishot", Need::Also(no_multishot), || by_ring(true)),
    ]
}

/// Why there is no io_uring here.
pub fn no_ring() -> Option<String> {
    IoUring::new(2).err().map(|error| format!("no io_uring: {error}"))
}

/// Why one request cannot accept many connections here: the kernel refuses such a request.
pub fn no_multishot() -> Option<String> {
    no_ring().or_else(|| match try_multishot() {
        Ok(()) => None,
        Err(error) => Some(format!("no multishot accept: {error:#}")),
    })
}

fn try_multishot() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    let _client = std::net::TcpStream::connect(address)?;
    let mut ring = IoUring::new(2)?;
    push(&mut ring, &opcode::AcceptMulti::new(Fd(socket.as_raw_fd())).build())?;
    ring.submit_and_wait(1)?;
    drop(connection(&mut ring)?);
    Ok(())
}

/// Puts a request into the ring.
pub fn push(ring: &mut IoUring, request: &io_uring::squeue::Entry) -> Outcome {
    // SAFETY: an accept request without an address points to nothing.
    unsafe { ring.submission().push(request) }.map_err(|_| anyhow!("the ring is full"))
}

/// The connection of the next completion.
pub fn connection(ring: &mut IoUring) -> anyhow::Result<OwnedFd> {
    let completion = ring.completion().next().ok_or_else(|| anyhow!("no completion"))?;
    let result = completion.result();
    ensure!(result >= 0, "{}", nix::errno::Errno::from_raw(-result));
    // SAFETY: the kernel has just made this descriptor for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

fn serve(socket: &Socket, multishot: bool) -> anyhow::Result<Tally> {
    let mut tally = Tally::new(socket)?;
    let mut ring = IoUring::new(8)?;
    let fd = Fd(socket.as_raw_fd());
    if multishot {
        push(&mut ring, &opcode::AcceptMulti::new(fd).build())?;
    }
    while tally.accepted < CONNECTIONS {
        if !multishot {
            let accept = opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut());
            push(&mut ring, &accept.build())?;
        }
        let before = sleeps()?;
        ring.submit_and_wait(1)?;
        tally.wakeups += sleeps()? - before;
        drop(connection(&mut ring)?);
        tally.accepted += 1;
    }
    Ok(tally)
}

fn by_ring(multishot: bool) -> anyhow::Result<Play> {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    let kept = socket.try_clone()?;
    let server = thread::spawn(move || serve(&socket, multishot));
    in_the_window(move || {
        for _ in 0..CONNECTIONS {
            connect(address)?;
        }
        let tally = server.join().map_err(|_| anyhow!("the server's thread panicked"))??;
        in_the_report(move |report| {
            drop(kept);
            if report["providers"]["accepts"]["via"] != "tracepoint" {
                return check(report, &tally);
            }
            let seen = report.with(tally.inode, |one| {
                ensure!(
                    one["accepted"] == 0 && one["herd_ratio"].is_null(),
                    "seen after all: {one}"
                );
                one["accepted"] = tally.accepted.into();
                Ok(())
            });
            check(&seen?, &tally)
        })
    })
}
