//! Accepts by io_uring, one by one and by one request for many, into descriptors and into the ring's own
//! table of files.

use std::{
    net::Ipv4Addr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    thread,
};

use anyhow::{Context as _, anyhow, ensure};
use io_uring::{IoUring, opcode, types::Fd};
use socket2::Socket;

use super::server::{Tally, check, connect, listen, listener, sleeps};
use crate::{
    Need, Outcome, Test,
    shared_run::{Play, in_the_report, in_the_window},
};

const CONNECTIONS: u64 = 10;

/// How a ring accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One request for each connection.
    One,
    /// One request for all.
    Many,
    /// The same, into the ring's own table of files.
    ManyIntoTable,
}

pub fn tests() -> Vec<Test> {
    vec![
        Test::together("socket_kinds::io_uring_single", Need::Also(no_ring), || by_ring(Way::One)),
        Test::together("socket_kinds::io_uring_multishot", Need::Also(no_multishot), || {
            by_ring(Way::Many)
        }),
        Test::together(
            "socket_kinds::io_uring_multishot_into_its_table",
            Need::Also(no_multishot),
            || by_ring(Way::ManyIntoTable),
        ),
        Test::together(
            "socket_kinds::io_uring_multishot_that_finds_connections",
            Need::Also(no_multishot),
            finds_connections,
        ),
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

fn serve(socket: &Socket, way: Way) -> anyhow::Result<Tally> {
    let mut tally = Tally::new(socket)?;
    let mut ring = IoUring::new(8)?;
    let fd = Fd(socket.as_raw_fd());
    let into_table = way == Way::ManyIntoTable;
    if into_table {
        ring.submitter().register_files_sparse(u32::try_from(CONNECTIONS)?)?;
    }
    if way != Way::One {
        push(&mut ring, &opcode::AcceptMulti::new(fd).allocate_file_index(into_table).build())?;
    }
    while tally.accepted < CONNECTIONS {
        if way == Way::One {
            let accept = opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut());
            push(&mut ring, &accept.build())?;
        }
        let before = sleeps()?;
        ring.submit_and_wait(1)?;
        tally.wakeups += sleeps()? - before;
        if into_table {
            let result = ring.completion().next().context("no completion")?.result();
            let slot = u32::try_from(result).context("no connection")?;
            // Closes it, for the client that waits for that.
            ring.submitter().register_files_update(slot, &[-1])?;
        } else {
            drop(connection(&mut ring)?);
        }
        tally.accepted += 1;
    }
    Ok(tally)
}

fn by_ring(way: Way) -> anyhow::Result<Play> {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    let kept = socket.try_clone()?;
    let server = thread::spawn(move || serve(&socket, way));
    in_the_window(move || {
        for _ in 0..CONNECTIONS {
            connect(address)?;
        }
        let tally = server.join().map_err(|_| anyhow!("the server's thread panicked"))??;
        in_the_report(move |report| {
            drop(kept);
            check(report, &tally)?;
            let won = &listener(report, tally.inode)?["wakeups"]["won"];
            ensure!(*won == tally.wakeups, "won {won}: {tally:?}");
            Ok(())
        })
    })
}

/// A request that finds connections in the queue: it accepts them without having been woken.
fn finds_connections() -> anyhow::Result<Play> {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    in_the_window(move || {
        let clients = (0..CONNECTIONS).map(|_| std::net::TcpStream::connect(address));
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        let mut ring = IoUring::new(32)?;
        push(&mut ring, &opcode::AcceptMulti::new(Fd(socket.as_raw_fd())).build())?;
        ring.submit_and_wait(clients.len())?;
        for _ in &clients {
            drop(connection(&mut ring)?);
        }
        in_the_report(move |report| {
            let one = report.only_on_port(address.port())?;
            ensure!(one["accepted"] == CONNECTIONS && one["queued"] == CONNECTIONS, "{one}");
            ensure!(one["accept_wait"]["count"] == CONNECTIONS, "{}", one["accept_wait"]);
            drop((socket, clients));
            Ok(())
        })
    })
}
