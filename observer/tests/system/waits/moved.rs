//! Connections that move to another listener of their SO_REUSEPORT group when theirs closes
//! (`tcp_migrate_req`, Linux 5.14): their wait goes on. In a network namespace of the role's own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::{
    Outcome, Skip,
    observer::number,
    role::{Actor, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
    socket_kinds::{inode, loopback_up},
};

const MIGRATE: &str = "/proc/sys/net/ipv4/tcp_migrate_req";
/// Connections: enough for both listeners of the group to have some.
const CONNECTIONS: usize = 32;

/// What the server knows.
#[derive(Debug, Deserialize, Serialize)]
struct Told {
    netns: u64,
    /// Inode number of the listener that stayed.
    stays: u64,
    /// TCPMigrateReqSuccess of the namespace, where the kernel has it.
    moved: Option<u64>,
    /// The least and the most that each connection can have waited, in nanoseconds.
    waits: Vec<(u64, u64)>,
}

pub fn moved() -> anyhow::Result<Play> {
    if !Path::new(MIGRATE).exists() {
        return Err(Skip("this kernel moves no connections (5.14 and later do)".into()).into());
    }
    let mut server = Actor::start("waits-moved")?;
    server.port()?;
    in_the_window(move || {
        server.next()?;
        let mut told: Told = serde_json::from_str(&server.line()?)?;
        in_the_report(move |report| {
            let Some(moved) = told.moved else {
                return Err(Skip("this kernel moves no connections".into()).into());
            };
            ensure!(moved > 0, "no connection moved: {told:?}");
            let all = report.all_in(told.netns)?;
            let stays = all.iter().find(|one| one["inode"] == told.stays).context("not there")?;
            let wait = &stays["accept_wait"];
            ensure!(stays["accepted"] == CONNECTIONS, "{stays}");
            ensure!(wait["count"] == CONNECTIONS, "{wait}");
            for (name, rank) in [("p50", CONNECTIONS / 2), ("max", CONNECTIONS)] {
                let seen = number(&wait[name])?;
                told.waits.sort_unstable();
                let (least, most) = told.waits[rank - 1];
                ensure!(
                    seen * 10 >= least * 9 && seen * 10 <= most * 11,
                    "{name} is {seen}, the server measured {least} to {most}"
                );
            }
            // What moves was in the queue of the listener that closed.
            let went = all.iter().find(|one| one["inode"] != told.stays).context("not there")?;
            ensure!(
                went["discarded"] == moved && stays["discarded"] == 0,
                "{moved} moved: {all:?}"
            );
            let accounted = number(&went["accepted"])? + number(&went["discarded"])?;
            ensure!(went["queued"] == accounted, "{went}");
            let queued = all.iter().map(|one| number(&one["queued"]));
            let queued = queued.sum::<anyhow::Result<u64>>()?;
            // Whether a connection that moves is seen to enter its new queue depends on the kernel:
            // inet_csk_reqsk_queue_add may be part of inet_csk_listen_stop.
            let made = u64::try_from(CONNECTIONS)?;
            ensure!((made..=made + moved).contains(&queued), "{queued} queued of {made}");
            drop(server);
            Ok(())
        })
    })
}

/// The role.
pub fn play() -> Outcome {
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback_up()?;
    fs::write(MIGRATE, "1")?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (goes, address) = listen(any)?;
    let (stays, _) = listen(address)?;
    say(address.port())?;
    wait_for_line()?;
    let mut clients = Vec::new();
    let mut began = Vec::new();
    for _ in 0..CONNECTIONS {
        let before = Instant::now();
        clients.push(TcpStream::connect(address)?);
        began.push((before, Instant::now()));
    }
    thread::sleep(Duration::from_millis(300));
    drop(goes);
    thread::sleep(Duration::from_millis(300));
    if migrated()?.is_none() {
        return tell(&stays, Vec::new());
    }
    let mut accepted = Vec::new();
    let mut waits = Vec::new();
    for _ in 0..CONNECTIONS {
        let before = Instant::now();
        let (connection, from) = stays.accept()?;
        let after = Instant::now();
        let from = from.as_socket().context("no address")?;
        let which = clients.iter().position(|one| one.local_addr().ok() == Some(from));
        let (first, last) = began[which.context("a stranger")?];
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos());
        waits.push((nanoseconds(before - last)?, nanoseconds(after - first)?));
        accepted.push(connection);
    }
    tell(&stays, waits)
}

fn tell(stays: &Socket, waits: Vec<(u64, u64)>) -> Outcome {
    let netns = fs::metadata("/proc/self/ns/net")?.ino();
    let told = Told { netns, stays: inode(stays)?, moved: migrated()?, waits };
    say(serde_json::to_string(&told)?)?;
    wait_for_line()
}

fn listen(address: SocketAddr) -> anyhow::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // A connection that does not move is lost, and must not be waited for.
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.listen(128)?;
    let address = socket.local_addr()?.as_socket().context("no address")?;
    Ok((socket, address))
}

/// TCPMigrateReqSuccess of this network namespace; not every kernel with the sysctl counts it.
fn migrated() -> anyhow::Result<Option<u64>> {
    let text = fs::read_to_string("/proc/self/net/netstat")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().context("names")?, lines.next().context("values")?);
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    let found = both.find(|(name, _)| *name == "TCPMigrateReqSuccess");
    Ok(found.map(|(_, value)| value.parse()).transpose()?)
}
