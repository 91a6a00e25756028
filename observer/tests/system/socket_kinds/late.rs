//! Ports on which nobody listens yet when observer begins: its programs do as good as nothing until
//! somebody does, and the first connection is counted all the same.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::{
        atomic::{AtomicU16, Ordering::Relaxed},
        mpsc,
    },
    thread,
};

use anyhow::{Context, anyhow, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use socket2::{Protocol, Socket, Type};

use super::{
    loopback_up,
    server::{Server, Tally, check, connect, listen},
};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, number},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "socket_kinds::late_ipv4_is_counted_from_its_first_connection",
            Need::Kernel,
            ipv4,
        ),
        Test::new(
            "socket_kinds::late_ipv6_is_counted_from_its_first_connection",
            Need::Kernel,
            ipv6,
        ),
        Test::new(
            "socket_kinds::late_mptcp_is_counted_from_its_first_connection",
            Need::Also(lacking),
            mptcp,
        ),
        Test::new("socket_kinds::late_socket_that_listens_again_is_counted", Need::Kernel, again),
        Test::new("socket_kinds::late_seen_in_a_hidden_namespace_is_counted", Need::Kernel, hidden),
    ]
}

/// Why there is no MPTCP here.
fn lacking() -> Option<String> {
    let made = Socket::new(socket2::Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
    made.err().map(|error| format!("no MPTCP: {error}"))
}

/// A port that nobody listens on: below those that the kernel chooses for others meanwhile.
fn free(mut address: SocketAddr) -> anyhow::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..1_000 {
        let own = u16::try_from(std::process::id() % 10_000)?;
        address.set_port(12_000 + own + NEXT.fetch_add(1, Relaxed));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}

/// Connections of each server; the first of them come before it waits.
const CONNECTIONS: u64 = 6;

/// Serves this listener, and holds a report of `observer` against what was served.
fn serve(observer: Observer, listener: (Socket, SocketAddr)) -> Outcome {
    let (report, tally) = served(observer, listener)?;
    check(&report, &tally)
}

fn served(observer: Observer, listener: (Socket, SocketAddr)) -> anyhow::Result<(Value, Tally)> {
    let (socket, address) = listener;
    let early = (0..CONNECTIONS / 2)
        .map(|_| std::net::TcpStream::connect(address))
        .collect::<Result<Vec<_>, _>>()?;
    let server = Server::start(vec![socket], CONNECTIONS);
    for _ in 0..CONNECTIONS / 2 {
        connect(address)?;
    }
    let (tallies, listening) = server.join()?;
    let report = observer.total()?;
    drop((early, listening));
    let tally = tallies.into_iter().next().context("a tally")?;
    ensure!(tally.accepted == CONNECTIONS, "{tally:?}");
    let shown = super::server::listener(&report, tally.inode)?;
    for count in [&shown["queued"], &shown["accepted"], &shown["accept_wait"]["count"]] {
        ensure!(number(count)? == CONNECTIONS, "{count} and not {CONNECTIONS}: {shown}");
    }
    Ok((report, tally))
}

fn late(address: SocketAddr, protocol: Option<Protocol>) -> Outcome {
    let address = free(address)?;
    let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let observer = Observer::json(&["--port", &address.port().to_string()])?;
    let _of_no_interest = std::net::TcpStream::connect(stranger.local_addr()?)?;
    stranger.accept()?;
    serve(observer, listen(address, protocol, |_| Ok(()))?)
}

fn ipv4() -> Outcome {
    late((Ipv4Addr::LOCALHOST, 0).into(), None)
}

fn ipv6() -> Outcome {
    late((Ipv6Addr::LOCALHOST, 0).into(), None)
}

fn mptcp() -> Outcome {
    late((Ipv4Addr::LOCALHOST, 0).into(), Some(Protocol::MPTCP))
}

/// It had listened before, and was made a listener no more by `shutdown`.
fn again() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    socket.shutdown(std::net::Shutdown::Both)?;
    let observer = Observer::json(&["--port", &address.port().to_string()])?;
    socket.bind(&address.into()).or_else(|error| {
        // A socket that was bound to its port by name keeps it.
        if error.raw_os_error() == Some(nix::libc::EINVAL) { Ok(()) } else { Err(error) }
    })?;
    socket.listen(64)?;
    serve(observer, (socket, address))
}

/// It listened before, in a network namespace that only a thread is in: the outside view does not find
/// it, and the kernel programs see it by its connections.
fn hidden() -> Outcome {
    let (tell, told) = mpsc::channel();
    let (hand, handed) = mpsc::channel();
    let play = move || -> Outcome {
        unshare(CloneFlags::CLONE_NEWNET)?;
        loopback_up()?;
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
        tell.send(listener.1.port())?;
        // The server and the clients are in the namespace of the thread that begins them.
        let (report, tally) = served(handed.recv()?, listener)?;
        // Nor does the outside view find out who holds it.
        let shown = super::server::listener(&report, tally.inode)?;
        ensure!(number(&shown["wakeups"]["total"])? == tally.wakeups, "{tally:?}: {shown}");
        Ok(())
    };
    let played = thread::spawn(play);
    // Observer is in that of the thread that begins it.
    if let Ok(port) = told.recv() {
        let observer = Observer::json(&["--port", &port.to_string()])?;
        hand.send(observer).map_err(|_| anyhow!("the thread is gone"))?;
    }
    played.join().map_err(|_| anyhow!("the thread panicked"))?
}
