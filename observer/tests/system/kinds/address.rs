//! Addresses: mapped ones, a wildcard beside a specific one, a group on one port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::ensure;

use super::server::{Server, check, connect, listen, listener};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, number},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("kinds::mapped_peers_of_an_ipv6_wildcard", Need::Kernel, mapped),
        Test::new("kinds::a_wildcard_and_an_address_on_one_port", Need::Kernel, two_on_one_port),
        Test::new("kinds::each_of_a_reuseport_group", Need::Kernel, group),
        Test::new("kinds::on_its_way_to_sleep", Need::Kernel, hardly_asleep),
    ]
}

fn observe(port: u16) -> anyhow::Result<Observer> {
    Observer::json(&["--port", &port.to_string()])
}

fn mapped() -> Outcome {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let (socket, address) = listen(any, None, |socket| socket.set_only_v6(false))?;
    let server = Server::start(vec![socket], 8);
    let observer = observe(address.port())?;
    for peer in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        for _ in 0..4 {
            connect((peer, address.port()).into())?;
        }
    }
    let (tallies, _listening) = server.join()?;
    let report = observer.total()?;
    check(&report, &tallies[0])?;
    let one = listener(&report, tallies[0].inode)?;
    ensure!(one["family"] == "ipv6" && one["address"] == "::", "{one}");
    ensure!(report["listeners"].as_array().is_some_and(|all| all.len() == 1), "{report}");
    Ok(())
}

fn two_on_one_port() -> Outcome {
    let reuse = |socket: &socket2::Socket| socket.set_reuse_port(true);
    let (wildcard, address) = listen((Ipv4Addr::UNSPECIFIED, 0).into(), None, reuse)?;
    let port = address.port();
    let (specific, _) = listen((Ipv4Addr::LOCALHOST, port).into(), None, reuse)?;
    // A thread for each: a task that waits for both could be woken by one and find the other.
    let servers = [Server::start(vec![wildcard], 3), Server::start(vec![specific], 5)];
    let observer = observe(port)?;
    for last in [2, 1, 1, 2, 1, 2, 1, 1] {
        // The wildcard gets what the specific one is not there for.
        connect((Ipv4Addr::new(127, 0, 0, last), port).into())?;
    }
    let joined = servers.map(Server::join).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let report = observer.total()?;
    for ((tallies, _listening), (address, count)) in
        joined.iter().zip([("0.0.0.0", 3), ("127.0.0.1", 5)])
    {
        check(&report, &tallies[0])?;
        let one = listener(&report, tallies[0].inode)?;
        ensure!(one["address"] == address && one["accepted"] == count, "{one}");
    }
    Ok(())
}

fn group() -> Outcome {
    let reuse = |socket: &socket2::Socket| socket.set_reuse_port(true);
    let (first, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, reuse)?;
    let mut sockets = vec![first];
    for _ in 0..2 {
        sockets.push(listen(address, None, reuse)?.0);
    }
    let server = Server::start(sockets, 30);
    let observer = observe(address.port())?;
    for _ in 0..30 {
        connect(address)?;
    }
    let (tallies, _listening) = server.join()?;
    let report = observer.total()?;
    for tally in &tallies {
        check(&report, tally)?;
        ensure!(listener(&report, tally.inode)?["reuseport"] == true, "{report}");
    }
    ensure!(tallies.iter().map(|one| one.accepted).sum::<u64>() == 30, "{tallies:?}");
    Ok(())
}

/// Connections that come while the server is on its way to sleep: some find it asleep, some awake,
/// and some past the point of return. The kernel counts its sleeps, and so must the wakeups.
fn hardly_asleep() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    let server = Server::start(vec![socket], 2000);
    let observer = observe(address.port())?;
    for _ in 0..2000 {
        connect(address)?;
    }
    let (tallies, _listening) = server.join()?;
    let (report, mut tally) = (observer.total()?, tallies[0].clone());
    // With tracepoints only, the end of a notification is not seen, and who was past the point of
    // return is taken for awake.
    if report["providers"]["wakeups"]["via"] == "tracepoint" {
        let seen = number(&listener(&report, tally.inode)?["wakeups"]["total"])?;
        eprintln!("figure on_its_way_to_sleep: {seen} wakeups of {}", tally.wakeups);
        ensure!(seen <= tally.wakeups && tally.wakeups - seen <= 20, "{seen} of {tally:?}");
        tally.wakeups = seen;
    }
    check(&report, &tally)
}
