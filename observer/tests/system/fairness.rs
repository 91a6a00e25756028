//! How evenly workers share a listener, where some of them hold it and do nothing else: servers of
//! processes, as nginx and others make them.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::{bail, ensure};
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{ForkResult, fork},
};
use socket2::{Domain, Socket, Type};

use crate::{
    Need, Outcome, Test,
    observer::number,
    role::{Actor, connect, netns, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
};

/// Connections to each server.
const CONNECTIONS: u64 = 20;

/// Processes of the servers that start them beforehand.
const WORKERS: usize = 4;

pub fn tests() -> Vec<Test> {
    vec![
        Test::together("fairness::of_those_that_wait_for_a_lock", Need::Kernel, lock),
        Test::together("fairness::of_a_reuseport_group_that_all_hold", Need::Kernel, group),
        Test::together("fairness::of_a_process_for_each_connection", Need::Kernel, each),
    ]
}

/// Three hold the listener and wait for what the fourth does not give up, as with the accept mutex; the
/// process that started them is none of them.
fn lock() -> anyhow::Result<Play> {
    play("fair-lock", |listeners| {
        let [one] = listeners else { bail!("{} listeners", listeners.len()) };
        ensure!(one["fairness"] == 0.25, "one of four took all: {one}");
        let holders = one["holders"].as_array().map_or(0, Vec::len);
        ensure!(holders == WORKERS + 1, "{holders} holders: {one}");
        Ok(())
    })
}

/// Each holds all listeners, and accepts from its own.
fn group() -> anyhow::Result<Play> {
    play("fair-group", |listeners| {
        ensure!(listeners.len() == WORKERS, "{} listeners", listeners.len());
        for one in listeners {
            ensure!(one["fairness"].is_null(), "it has one worker: {one}");
        }
        Ok(())
    })
}

/// Each connection has a process that inherited the listener.
fn each() -> anyhow::Result<Play> {
    play("fair-each", |listeners| {
        let [one] = listeners else { bail!("{} listeners", listeners.len()) };
        ensure!(one["fairness"].is_null(), "one accepts by design: {one}");
        Ok(())
    })
}

fn play(role: &'static str, check: fn(&[&serde_json::Value]) -> Outcome) -> anyhow::Result<Play> {
    let mut actor = Actor::start(role)?;
    let port = actor.port()?;
    in_the_window(move || {
        (0..CONNECTIONS).try_for_each(|_| connect(port))?;
        in_the_report(move |report| {
            let mut listeners = report.all_in(netns()?)?;
            listeners.retain(|one| one["port"] == port);
            let accepted = listeners.iter().map(|one| number(&one["accepted"]));
            let accepted = accepted.sum::<anyhow::Result<u64>>()?;
            ensure!(accepted == CONNECTIONS, "{accepted} were accepted: {listeners:?}");
            drop(actor);
            check(&listeners)
        })
    })
}

/// The roles: a server whose processes end with it.
pub fn serve(role: &str) -> Outcome {
    // The parent keeps them too.
    let _held = match role {
        "fair-lock" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            for worker in 0..WORKERS {
                start(|| if worker == 0 { accept(&listener) } else { rest() })?;
            }
            say(listener.local_addr()?.port())?;
            vec![listener]
        }
        "fair-group" => {
            let mut port = 0;
            let mut listeners = Vec::new();
            for _ in 0..WORKERS {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                socket.set_reuse_port(true)?;
                socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
                socket.listen(64)?;
                let listener = TcpListener::from(socket);
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            listeners.iter().try_for_each(|listener| start(|| accept(listener)))?;
            say(port)?;
            listeners
        }
        "fair-each" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            say(listener.local_addr()?.port())?;
            for _ in 0..CONNECTIONS {
                drop(listener.accept()?);
                start(rest)?;
            }
            vec![listener]
        }
        other => bail!("no role {other}"),
    };
    wait_for_line()
}

/// Accepts for ever.
fn accept(listener: &TcpListener) {
    while listener.accept().is_ok() {}
}

/// Does nothing for ever.
fn rest() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Starts a process that has what this one has.
fn start(run: impl FnOnce()) -> Outcome {
    // SAFETY: a role has one thread, so that no lock is held by another.
    if let ForkResult::Child = unsafe { fork() }? {
        if prctl::set_pdeathsig(Signal::SIGKILL).is_ok() {
            run();
        }
        // SAFETY: ends this process only, without running the parent's exit handlers.
        unsafe { libc::_exit(1) }
    }
    Ok(())
}
