//! The CPU time of tasks that are woken in vain, held against what the scheduler says that they ran.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    sync::mpsc::channel,
    thread,
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, only_on_port},
    role::{Actor, connect, netns, say, wait_for_count},
};

/// Threads that are woken for each connection and never accept.
const IDLE: u64 = 4;

/// Connections.
const CONNECTIONS: u64 = 300;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("cost::of_tasks_that_never_accept", Need::Kernel, measured),
        Test::new("cost::is_not_known_where_nobody_asked", Need::Kernel, not_asked),
    ]
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "cost-herd" => herd(),
        other => bail!("no role {other}"),
    }
}

/// Threads that wait for a listener from which only the main thread accepts; tells how long they ran.
fn herd() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (tell, told) = channel();
    for _ in 0..IDLE {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // Once for each connection: level-triggered, they would spin until the main thread accepts.
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        let tell = tell.clone();
        thread::spawn(move || {
            let _main_is_there = tell.send(rustix::thread::gettid().as_raw_nonzero().get());
            while epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE).is_ok() {}
        });
    }
    let tasks = (0..IDLE).map(|_| Ok(told.recv()?)).collect::<anyhow::Result<Vec<i32>>>()?;
    say(listener.local_addr()?.port())?;
    say(netns()?)?;
    loop {
        let count = wait_for_count()?;
        for _ in 0..count {
            drop(listener.accept()?);
        }
        let ran = tasks.iter().map(|tid| ran(*tid)).sum::<anyhow::Result<u64>>()?;
        say(ran)?;
    }
}

/// How long a thread of this process was on a CPU, in nanoseconds: the first field of `schedstat`.
fn ran(tid: i32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"))?;
    Ok(text.split_whitespace().next().context("no time")?.parse()?)
}

/// What the listener's wakeups in vain cost, and how long the tasks ran that were woken so.
fn observed(arguments: &[&str]) -> anyhow::Result<(serde_json::Value, u64)> {
    let mut actor = Actor::start("cost-herd")?;
    let (port, _netns) = (actor.port()?, actor.line()?);
    actor.ask(0)?;
    let before: u64 = actor.line()?.trim().parse()?;
    let filter = port.to_string();
    let observer = Observer::json(&[&["--port", &filter], arguments].concat())?;
    actor.ask(CONNECTIONS)?;
    for _ in 0..CONNECTIONS {
        connect(port)?;
    }
    let after: u64 = actor.line()?.trim().parse()?;
    let report = observer.total()?;
    Ok((only_on_port(&report, port)?.clone(), after.saturating_sub(before)))
}

fn measured() -> Outcome {
    let (listener, ran) = observed(&["--cost"])?;
    let wasted = number(&listener["wasted_cpu"])?;
    let silent = number(&listener["wakeups"]["silent"])?;
    eprintln!("figure cost {wasted} ns of {ran} ns that the tasks ran, {silent} silent wakeups");
    ensure!(silent > CONNECTIONS, "the idle tasks were hardly woken: {listener}");
    // The scheduler counts its own work at both ends of a run of some microseconds, and leaves out interrupts.
    ensure!(
        wasted >= ran / 4 && wasted <= ran.saturating_mul(2),
        "{wasted} ns wasted of {ran} ns that the tasks ran"
    );
    Ok(())
}

fn not_asked() -> Outcome {
    let (listener, _) = observed(&[])?;
    ensure!(listener["wasted_cpu"].is_null(), "{listener}");
    Ok(())
}
