//! Accept waits, against a server that lets connections wait and measures for itself.

mod discarded;
mod moved;

use std::{
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use socket2::Socket;

use crate::{
    Need, Test,
    observer::number,
    shared_run::{Play, in_the_report, in_the_window},
};

pub use moved::play;

pub fn tests() -> Vec<Test> {
    vec![
        Test::together("waits::percentiles_are_the_servers_own", Need::Kernel, percentiles),
        Test::together("waits::what_still_waits_is_told", Need::Kernel, oldest),
        Test::together(
            "waits::end_with_the_listener_though_its_socket_listens_again",
            Need::Kernel,
            again,
        ),
        Test::together("waits::of_before_the_window_are_not_measured", Need::Kernel, before),
        Test::together(
            "waits::go_on_with_another_listener_of_the_group",
            Need::Kernel,
            moved::moved,
        ),
        Test::together(
            "waits::connections_of_a_listener_that_closes_are_discarded",
            Need::Kernel,
            discarded::by_close,
        ),
        Test::together(
            "waits::connections_of_a_listener_that_is_shut_down_are_discarded",
            Need::Kernel,
            discarded::by_shutdown,
        ),
    ]
}

fn listen() -> anyhow::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn connect(port: u16) -> anyhow::Result<TcpStream> {
    Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)
}

fn percentiles() -> anyhow::Result<Play> {
    let (listener, port) = listen()?;
    in_the_window(move || {
        let mut waits = Vec::new();
        for delay in [50, 100, 150, 200, 250, 300, 350, 400, 450, 900] {
            // On loopback a connection is in the queue when connect returns.
            let began = Instant::now();
            let client = connect(port)?;
            let queued = Instant::now();
            thread::sleep(Duration::from_millis(delay));
            let before = Instant::now();
            let accepted = listener.accept()?;
            let after = Instant::now();
            waits.push((before - queued, after - began));
            drop((client, accepted));
        }
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            let wait = &one["accept_wait"];
            ensure!(wait["count"] == waits.len() && one["accepted"] == waits.len(), "{wait}");
            // The truth is between the two that the server measured.
            waits.sort_unstable();
            for (name, rank) in [("p50", 5), ("p90", 9), ("p99", 10), ("max", 10)] {
                let (least, most) = waits[rank - 1];
                let seen = number(&wait[name])?;
                let (least, most) =
                    (u64::try_from(least.as_nanos())?, u64::try_from(most.as_nanos())?);
                ensure!(
                    seen * 10 >= least * 9 && seen * 10 <= most * 11,
                    "{name} is {seen}, the server measured {least} to {most}"
                );
            }
            let buckets = wait["histogram"].as_array().context("histogram")?;
            let counted =
                buckets.iter().map(|one| number(&one["count"])).sum::<anyhow::Result<u64>>()?;
            ensure!(counted == number(&wait["count"])?, "the buckets hold {counted}: {wait}");
            ensure!(wait["oldest"].is_null(), "nobody waits: {wait}");
            drop(listener);
            Ok(())
        })
    })
}

fn oldest() -> anyhow::Result<Play> {
    let (listener, port) = listen()?;
    in_the_window(move || {
        let before = Instant::now();
        let first = connect(port)?;
        let after = Instant::now();
        thread::sleep(Duration::from_millis(300));
        let second = connect(port)?;
        in_the_report(move |report| {
            let (least, most) = (report.asked - after, report.answered - before);
            let wait = &report.only_on_port(port)?["accept_wait"];
            let oldest = Duration::from_nanos(number(&wait["oldest"])?);
            ensure!((least..=most).contains(&oldest), "{oldest:?}, not {least:?} to {most:?}");
            ensure!(wait["count"] == 0 && wait["p50"].is_null(), "{wait}");
            drop((listener, first, second));
            Ok(())
        })
    })
}

/// Connections that nobody accepted wait no more once their listener has closed, also when the same socket,
/// which has the same identity, listens again.
fn again() -> anyhow::Result<Play> {
    let (socket, port) = listen()?;
    let socket = Socket::from(socket);
    in_the_window(move || {
        let left = [connect(port)?, connect(port)?];
        socket.shutdown(Shutdown::Both)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        socket.listen(16)?;
        // Longer than a report takes to make.
        thread::sleep(Duration::from_secs(2));
        let before = Instant::now();
        let waits = connect(port)?;
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(number(&one["queued"])? == 3, "{one}");
            let oldest = Duration::from_nanos(number(&one["accept_wait"]["oldest"])?);
            let most = report.answered - before;
            ensure!(oldest <= most, "{oldest:?}, and not {most:?} at most");
            drop((left, waits, socket));
            Ok(())
        })
    })
}

fn before() -> anyhow::Result<Play> {
    let (listener, port) = listen()?;
    let first = connect(port)?;
    in_the_window(move || {
        let second = connect(port)?;
        let accepted = (listener.accept()?, listener.accept()?);
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            let wait = &one["accept_wait"];
            ensure!(one["accepted"] == 2 && wait["count"] == 1, "{wait}");
            drop((first, second, accepted));
            Ok(())
        })
    })
}
