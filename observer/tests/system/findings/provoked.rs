//! Each finding, provoked by a real server: its cause is said, and not only that something is wrong.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{Resource, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::{ids, summary};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, on_port, only_on_port},
    role::{Actor, as_role, own_netns, say, wait_for_line},
    workload::Workload,
};

/// Port that a member of the reuseport group listens on, 0 for any.
const PORT: &str = "OBSERVER_TEST_PORT";

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("findings::a_herd_is_told_with_who_waits_and_how", Need::Kernel, herd),
        Test::new("findings::an_overflow_is_told_with_its_cause", Need::Kernel, overflow),
        Test::new("findings::a_full_queue_says_where_its_limit_is_from", Need::Kernel, full),
        Test::new("findings::a_loop_without_descriptors", Need::Kernel, descriptors),
        Test::new("findings::a_stopped_member_of_a_group_is_named", Need::Kernel, group),
        Test::new("findings::a_slow_acceptor_is_told", Need::Kernel, slow),
    ]
}

fn herd() -> Outcome {
    let mut server = Workload::start(&["--strategy", "epoll", "--workers", "8"])?;
    let pid = server.id().to_string();
    let observer = Observer::json(&["--pid", &pid, "--duration", "1h"])?;
    for _ in 0..3 {
        server.round()?;
    }
    let total = total(observer)?;
    let one = only_on_port(&total, server.ready.listeners[0].port)?;
    let told = summary(one, "thundering-herd")?;
    let waits = "8 processes wait on fd ";
    let how = " with epoll, none with EPOLLEXCLUSIVE; ";
    ensure!(told.contains(waits) && told.contains(how), "{told}");
    ensure!(told.ends_with(" context switches per second"), "{told}");
    server.quit()
}

/// An actor that did once what its role is, and its listener as observer saw that.
fn acted(role: &str) -> anyhow::Result<(Actor, Value)> {
    let mut actor = Actor::start(role)?;
    let port = actor.port()?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string(), "--duration", "1h"])?;
    actor.next()?;
    actor.line()?;
    let total = total(observer)?;
    Ok((actor, only_on_port(&total, port)?.clone()))
}

/// Twelve clients at once for a queue of five, and an acceptor that comes late.
fn overflow() -> Outcome {
    let (actor, one) = acted("found-overflow")?;
    let told = summary(&one, "accept-queue-overflow")?;
    ensure!(told.starts_with("accept queue full (limit 4)"), "{told}");
    ensure!(told.contains("; accept came late, up to "), "{told}");
    let evidence = evidence(&one, "accept-queue-overflow")?;
    ensure!(evidence.contains("would have held them all"), "{evidence}");
    ensure!(evidence.contains("limit 4 is from listen()"), "{evidence}");
    actor.kill()
}

/// A queue that is full, with a limit from a somaxconn that was raised before anybody looked.
fn full() -> Outcome {
    let (actor, one) = acted("found-full")?;
    let told = summary(&one, "accept-queue-near-limit")?;
    ensure!(told == "accept queue full: 5 waited, limit 4", "{told}");
    ensure!(one["backlog"]["requested"].is_null(), "{one}");
    let evidence = evidence(&one, "accept-queue-near-limit")?;
    let stale =
        "limit 4 is from listen(), somaxconn is 4096 now: if the program asks for more, restart it";
    ensure!(evidence.contains(stale), "{evidence}");
    actor.kill()
}

/// A level-triggered loop that calls accept again and again.
fn descriptors() -> Outcome {
    let mut actor = Actor::start("found-emfile")?;
    let port = actor.port()?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string(), "--duration", "1h"])?;
    let clients = clients(port, 6)?;
    actor.next()?;
    let limit: u64 = actor.line()?.trim().parse()?;
    let total = total(observer)?;
    let one = only_on_port(&total, port)?;
    let told = summary(one, "fd-exhausted")?;
    ensure!(told.contains("(EMFILE)"), "{told}");
    ensure!(told.contains(&format!(" {limit} descriptors used; ")), "{told}");
    ensure!(told.ends_with("6 clients in the queue believe they are connected"), "{told}");
    ensure!(evidence(one, "fd-exhausted")?.contains(" failing calls per second"), "{one}");
    let state = &one["holder_states"][0];
    ensure!(state["descriptor_limit"] == limit && state["descriptors"].is_u64(), "{state}");
    drop(clients);
    actor.kill()
}

/// One of four is stopped, and what the kernel gives to it waits.
fn group() -> Outcome {
    let member = |port: u16| {
        let mut command = as_role("found-member")?;
        command.env(PORT, port.to_string());
        Actor::spawn(command)
    };
    let mut actors = vec![member(0)?];
    let port = actors[0].port()?;
    for _ in 1..4 {
        let mut actor = member(port)?;
        actor.line()?;
        actors.push(actor);
    }
    let pids: Vec<String> = actors.iter().map(|actor| actor.pid().to_string()).collect();
    let flags: Vec<&str> = pids.iter().flat_map(|pid| ["--pid", pid]).collect();
    let observer = Observer::json(&[&flags[..], &["--duration", "1h"]].concat())?;
    let stopped = actors[2].pid();
    kill(Pid::from_raw(i32::try_from(stopped)?), Signal::SIGSTOP)?;
    // By chance none of sixty comes to it once in 30 million times.
    let clients = clients(port, 60)?;
    thread::sleep(Duration::from_millis(500));
    let total = total(observer)?;
    let members = on_port(&total, port);
    ensure!(members.len() == 4, "{members:?}");
    for one in members {
        ensure!(one["reuseport_group"]["size"] == 4, "{one}");
        if one["holders"][0]["pid"] != stopped {
            ensure!(ids(one)?.is_empty(), "{one}");
            continue;
        }
        let told = summary(one, "slow-accept")?;
        let named =
            format!(" {stopped} is stopped (state T), 1 of 4 listeners of this reuseport group; ");
        ensure!(told.contains(&named), "{told}");
        ensure!(one["holder_states"][0]["state"] == "T", "{one}");
    }
    drop(clients);
    Ok(())
}

/// Twelve come at once, and each is served for a while before the next is accepted.
fn slow() -> Outcome {
    let mut actor = Actor::start("found-slow")?;
    let port = actor.port()?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string(), "--duration", "1h"])?;
    let clients = clients(port, 12)?;
    actor.line()?;
    let total = total(observer)?;
    let one = only_on_port(&total, port)?;
    let told = summary(one, "slow-accept")?;
    ensure!(told.starts_with("slow accept: connections waited "), "{told}");
    ensure!(!ids(one)?.contains(&"accept-queue-overflow"), "{one}");
    drop(clients);
    actor.kill()
}

fn total(observer: Observer) -> anyhow::Result<Value> {
    observer.signal(Signal::SIGINT)?;
    observer.wait()?.total()
}

/// The evidence of a finding.
fn evidence<'a>(listener: &'a Value, id: &str) -> anyhow::Result<&'a str> {
    let mut findings = listener["findings"].as_array().context("findings")?.iter();
    let finding = findings.find(|finding| finding["id"] == id).context("a finding")?;
    finding["evidence"].as_str().context("evidence")
}

/// Clients that connect, and then are silent.
fn clients(port: u16, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    (0..count).map(|_| Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)).collect()
}

/// Clients that have sent their SYN, and have an answer or not.
fn attempts(port: u16, count: usize) -> anyhow::Result<Vec<Socket>> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into();
    let attempt = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&to) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error)?,
            _ => Ok(socket),
        }
    };
    (0..count).map(attempt).collect()
}

fn listen(port: u16, backlog: i32, reuseport: bool) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(reuseport)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// The roles.
pub fn play(role: &str) -> Outcome {
    match role {
        "found-overflow" => overflows(),
        "found-full" => fills(),
        "found-emfile" => spins(),
        "found-member" => serves_its_share(),
        "found-slow" => is_slow(),
        other => bail!("no role {other}"),
    }
}

/// In a network namespace of its own, whose drops are all its own.
fn overflows() -> Outcome {
    own_netns()?;
    let listener = listen(0, 4, false)?;
    let port = listener.local_addr()?.port();
    say(port)?;
    wait_for_line()?;
    let _attempts = attempts(port, 12)?;
    thread::sleep(Duration::from_millis(300));
    listener.set_nonblocking(true)?;
    let accepted: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).collect();
    say(accepted.len())?;
    wait_for_line()
}

fn fills() -> Outcome {
    own_netns()?;
    fs::write("/proc/sys/net/core/somaxconn", "4")?;
    let listener = listen(0, 1024, false)?;
    fs::write("/proc/sys/net/core/somaxconn", "4096")?;
    let port = listener.local_addr()?.port();
    say(port)?;
    wait_for_line()?;
    let _clients = clients(port, 5)?;
    say("full")?;
    wait_for_line()
}

/// Failing calls that are many, and soon made.
const FAILURES: u64 = 5_000;

fn spins() -> Outcome {
    let listener = listen(0, 128, false)?;
    listener.set_nonblocking(true)?;
    let limit = u64::try_from(listener.as_raw_fd())? + 1;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    say(listener.local_addr()?.port())?;
    wait_for_line()?;
    let mut failures = 0;
    while failures < FAILURES {
        let mut descriptors = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut descriptors, PollTimeout::NONE)?;
        match listener.accept() {
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => failures += 1,
            other => bail!("accept did not fail with EMFILE: {other:?}"),
        }
    }
    say(limit)?;
    wait_for_line()
}

fn serves_its_share() -> Outcome {
    let listener = listen(env::var(PORT)?.parse()?, 128, true)?;
    say(listener.local_addr()?.port())?;
    loop {
        drop(listener.accept()?);
    }
}

fn is_slow() -> Outcome {
    let listener = listen(0, 128, false)?;
    say(listener.local_addr()?.port())?;
    for _ in 0..12 {
        let served = listener.accept()?;
        thread::sleep(Duration::from_millis(150));
        drop(served);
    }
    say("done")?;
    wait_for_line()
}
