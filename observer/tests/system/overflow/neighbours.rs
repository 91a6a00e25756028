//! Listeners of one network namespace: one with TCP_DEFER_ACCEPT, whose socket counts a bare ACK of each good
//! connection as a drop, beside others whose accept queues overflow.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use super::kernel::{get, set, tcp_ext};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, number},
    role::{Actor, netns, own_netns, say, wait_for_line},
};

/// Good connections of the listener that defers.
const GOOD: u64 = 30;

/// Connections that each of the others refuses.
const BAD: [u64; 2] = [20, 45];

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("overflow::neighbours::one_defers", Need::Kernel, || check(1, false)),
        Test::new("overflow::neighbours::one_defers_and_two_overflow", Need::Kernel, || {
            check(2, false)
        }),
        Test::new("overflow::neighbours::both_defer_and_overflow", Need::Kernel, || check(2, true)),
    ]
}

/// How many overflow, and whether these defer too.
const OVERFLOWING: &str = "OBSERVER_TEST_OVERFLOWING";
const ALL_DEFER: &str = "OBSERVER_TEST_ALL_DEFER";

pub fn play() -> Outcome {
    let overflowing: usize = std::env::var(OVERFLOWING)?.parse()?;
    let all_defer = std::env::var(ALL_DEFER)? == "true";
    own_netns()?;
    let good = listen(0, 511, true)?;
    let bad =
        (0..overflowing).map(|_| listen(0, 1, all_defer)).collect::<anyhow::Result<Vec<_>>>()?;
    let port = |one: &TcpListener| anyhow::Ok(one.local_addr()?.port());
    let ports = bad.iter().map(port).collect::<anyhow::Result<Vec<_>>>()?;
    say(json!({ "netns": netns()?, "good": port(&good)?, "bad": ports }))?;
    wait_for_line()?;
    // Two fill each queue of those that overflow; they are not accepted.
    let mut waiting = Vec::new();
    for one in &bad {
        for _ in 0..2 {
            waiting.push(connect_and_say(one)?);
        }
    }
    let most = BAD.iter().take(overflowing).copied().max().unwrap_or(0);
    for turn in 0..most.max(GOOD) {
        if turn < GOOD {
            let _client = connect_and_say(&good)?;
            drop(good.accept()?);
        }
        for (one, _) in bad.iter().zip(BAD).filter(|(_, count)| turn < *count) {
            refused(one)?;
        }
    }
    say(tcp_ext("ListenDrops")?)?;
    wait_for_line()
}

pub fn listen(port: u16, backlog: i32, defer: bool) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    if defer {
        set(&socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &31_i32)?;
    }
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// A client whose bare ACK comes before its data.
pub fn connect_and_say(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let (deferred, before) = (tcp_ext("TCPDeferAcceptDrop")?, depth(listener)?);
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    if defers(listener)? {
        wait_until(|| Ok(tcp_ext("TCPDeferAcceptDrop")? > deferred))?;
    }
    client.write_all(b"x")?;
    wait_until(|| Ok(depth(listener)? > before))?;
    Ok(client)
}

fn defers(listener: &TcpListener) -> anyhow::Result<bool> {
    let mut value = [0_u32];
    get(&socket2::SockRef::from(listener), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &mut value)?;
    Ok(value[0] != 0)
}

/// Connections in the accept queue of a listener: `tcpi_unacked` of `tcp_get_info`.
fn depth(listener: &TcpListener) -> anyhow::Result<u32> {
    // After eight bytes, in words: rto, ato, snd_mss, rcv_mss, unacked.
    let mut values = [0_u32; 7];
    get(&socket2::SockRef::from(listener), libc::IPPROTO_TCP, libc::TCP_INFO, &mut values)?;
    Ok(values[6])
}

/// A client that is refused once, and gives up.
pub fn refused(listener: &TcpListener) -> Outcome {
    let before = tcp_ext("ListenDrops")?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    client.set_nonblocking(true)?;
    match client.connect(&listener.local_addr()?.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        other => other?,
    }
    wait_until(|| Ok(tcp_ext("ListenDrops")? > before))
}

fn wait_until(mut done: impl FnMut() -> anyhow::Result<bool>) -> Outcome {
    let began = Instant::now();
    while !done()? {
        ensure!(began.elapsed() < Duration::from_secs(20), "nothing came of it");
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn check(overflowing: usize, all_defer: bool) -> Outcome {
    let mut command = crate::role::as_role("overflow-neighbours")?;
    command.env(OVERFLOWING, overflowing.to_string()).env(ALL_DEFER, all_defer.to_string());
    let mut actor = Actor::spawn(command)?;
    let ready: Value = serde_json::from_str(&actor.line()?)?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    actor.next()?;
    let counted: u64 = actor.line()?.trim().parse()?;
    let report = observer.total()?;
    let of = |port: &Value| {
        let mut all = report["listeners"].as_array().into_iter().flatten();
        all.find(|one| one["port"] == *port).with_context(|| format!("{port}: {report}"))
    };
    let good = of(&ready["good"])?;
    ensure!(good["queued"] == GOOD && good["accept_queue"]["max"] == 1, "{good}");
    ensure!(good["drops"]["total"] == 0 && good["drops"]["at_most"].is_null(), "{good}");
    let netns = &report["audit"]["netns"][0];
    ensure!(netns["netns"] == ready["netns"], "{netns}");
    ensure!(netns["counters"]["ListenDrops"]["kernel"] == counted, "{netns}, not {counted}");
    let counts_events = report["providers"]["drops"]["via"] != "tracepoint";
    let mut told = 0;
    for (port, bad) in ready["bad"].as_array().context("ports")?.iter().zip(BAD) {
        let drops = &of(port)?["drops"];
        let least = drops["total"].as_u64().unwrap_or(0);
        told += least;
        // Without hooks, what each set aside for its own is not known where both did.
        if counts_events || !all_defer {
            ensure!(least == bad && drops["at_most"].is_null(), "{drops}, not {bad}");
            ensure!(drops["by_reason"]["accept_queue_full_syn"] == bad, "{drops}, not {bad}");
        } else {
            let most = number(&drops["at_most"])?;
            ensure!((least..=most).contains(&bad), "{drops}, not {bad}");
        }
    }
    if counts_events {
        ensure!(report["audit"]["closes"] == true && netns["unattributed"].is_null(), "{netns}");
    } else {
        ensure!(netns["unattributed"] == counted - told, "{netns}: {counted} less {told}");
    }
    Ok(())
}
