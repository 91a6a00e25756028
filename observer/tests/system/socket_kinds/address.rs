//! Addresses: mapped ones, a wildcard beside a specific one, a group on one port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::ensure;

use super::server::{Server, check, connect, listen, listener};
use crate::{
    Need, Test,
    observer::number,
    shared_run::{Play, in_the_report, in_the_window},
};

pub fn tests() -> Vec<Test> {
    let test = |name, begin| Test::together(name, Need::Kernel, begin);
    vec![
        test("socket_kinds::mapped_peers_of_an_ipv6_wildcard", mapped),
        test("socket_kinds::a_wildcard_and_an_address_on_one_port", two_on_one_port),
        test("socket_kinds::each_of_a_reuseport_group", group),
        test("socket_kinds::on_its_way_to_sleep", hardly_asleep),
    ]
}

fn mapped() -> anyhow::Result<Play> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let (socket, address) = listen(any, None, |socket| socket.set_only_v6(false))?;
    let server = Server::start(vec![socket], 8);
    in_the_window(move || {
        for peer in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            for _ in 0..4 {
                connect((peer, address.port()).into())?;
            }
        }
        let (tallies, listening) = server.join()?;
        in_the_report(move |report| {
            check(report, &tallies[0])?;
            let one = listener(report, tallies[0].inode)?;
            ensure!(one["family"] == "ipv6" && one["address"] == "::", "{one}");
            report.only_on_port(address.port())?;
            drop(listening);
            Ok(())
        })
    })
}

fn two_on_one_port() -> anyhow::Result<Play> {
    let reuse = |socket: &socket2::Socket| socket.set_reuse_port(true);
    let (wildcard, address) = listen((Ipv4Addr::UNSPECIFIED, 0).into(), None, reuse)?;
    let port = address.port();
    let (specific, _) = listen((Ipv4Addr::LOCALHOST, port).into(), None, reuse)?;
    // A thread for each: a task that waits for both could be woken by one and find the other.
    let servers = [Server::start(vec![wildcard], 3), Server::start(vec![specific], 5)];
    in_the_window(move || {
        for last in [2, 1, 1, 2, 1, 2, 1, 1] {
            // The wildcard gets what the specific one is not there for.
            connect((Ipv4Addr::new(127, 0, 0, last), port).into())?;
        }
        let joined = servers.map(Server::join).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        in_the_report(move |report| {
            for ((tallies, _listening), (address, count)) in
                joined.iter().zip([("0.0.0.0", 3), ("127.0.0.1", 5)])
            {
                check(report, &tallies[0])?;
                let one = listener(report, tallies[0].inode)?;
                ensure!(one["address"] == address && one["accepted"] == count, "{one}");
            }
            Ok(())
        })
    })
}

fn group() -> anyhow::Result<Play> {
    let reuse = |socket: &socket2::Socket| socket.set_reuse_port(true);
    let (first, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, reuse)?;
    let mut sockets = vec![first];
    for _ in 0..2 {
        sockets.push(listen(address, None, reuse)?.0);
    }
    let server = Server::start(sockets, 30);
    in_the_window(move || {
        for _ in 0..30 {
            connect(address)?;
        }
        let (tallies, listening) = server.join()?;
        in_the_report(move |report| {
            for tally in &tallies {
                check(report, tally)?;
                ensure!(listener(report, tally.inode)?["reuseport"] == true, "{tally:?}");
            }
            ensure!(tallies.iter().map(|one| one.accepted).sum::<u64>() == 30, "{tallies:?}");
            drop(listening);
            Ok(())
        })
    })
}

/// Connections that come while the server is on its way to sleep: some find it asleep, some awake,
/// and some past the point of return. The kernel counts its sleeps, and so must the wakeups.
fn hardly_asleep() -> anyhow::Result<Play> {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    let server = Server::start(vec![socket], 2000);
    in_the_window(move || {
        for _ in 0..2000 {
            connect(address)?;
        }
        let (mut tallies, listening) = server.join()?;
        let mut tally = tallies.remove(0);
        in_the_report(move |report| {
            // With tracepoints only, the end of a notification is not seen, and who was past the
            // point of return is taken for awake.
            if report["providers"]["wakeups"]["via"] == "tracepoint" {
                let seen = number(&listener(report, tally.inode)?["wakeups"]["total"])?;
                eprintln!("figure on_its_way_to_sleep: {seen} wakeups of {}", tally.wakeups);
                ensure!(seen <= tally.wakeups && tally.wakeups - seen <= 20, "{seen} of {tally:?}");
                tally.wakeups = seen;
            }
            drop(listening);
            check(report, &tally)
        })
    })
}
