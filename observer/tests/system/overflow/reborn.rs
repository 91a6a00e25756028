//! A network namespace that ends, and one that is given its inode number.

use std::{
    env, fs::File, iter::successors, os::unix::fs::MetadataExt as _, thread, time::Duration,
};

use anyhow::{Context, bail, ensure};
use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::resource::{Resource, getrlimit, setrlimit},
};
use observer::host::netns::cookie;
use serde_json::Value;

use super::neighbours::{connect_and_say, listen, refused};
use crate::{
    Need, Outcome, Test,
    observer::Observer,
    role::{Actor, as_role, netns, own_netns, say, wait_for_count},
};

/// What is refused: by the first before the window and in it, by the second.
const REFUSED: [u64; 3] = [7, 4, 3];

/// Pauses while a namespace that ended still has its number: an emulated machine takes seconds for each that
/// ends (`cleanup_net`), and earlier tests leave many.
fn pauses() -> impl Iterator<Item = Duration> {
    successors(Some(Duration::from_millis(100)), |pause| Some(*pause * 5 / 4)).take(17)
}

/// The port of both listeners.
const PORT: &str = "OBSERVER_TEST_PORT";

pub fn tests() -> Vec<Test> {
    vec![Test::new("overflow::a_namespace_with_the_number_of_one_that_ended", Need::Kernel, check)]
}

/// Says where it is and on what port it listens, and refuses as many as it is told; none is the end.
pub fn play() -> Outcome {
    let port = env::var(PORT).map_or(Ok(0), |port| port.parse())?;
    own_netns()?;
    let listener = listen(port, 1, false)?;
    say(netns()?)?;
    say(listener.local_addr()?.port())?;
    let _waiting = [connect_and_say(&listener)?, connect_and_say(&listener)?];
    loop {
        let count = wait_for_count()?;
        if count == 0 {
            // Before its clients, which get resets: what waits for the other side keeps the namespace alive.
            drop(listener);
            return Ok(());
        }
        (0..count).try_for_each(|_| refused(&listener))?;
        say(count)?;
    }
}

/// One that listens, with its namespace and port.
fn start(port: u16) -> anyhow::Result<(Actor, u64, u16)> {
    let mut command = as_role("overflow-reborn")?;
    command.env(PORT, port.to_string());
    let mut actor = Actor::spawn(command)?;
    let netns = actor.line()?.trim().parse()?;
    let port = actor.port()?;
    Ok((actor, netns, port))
}

fn refuse(actor: &mut Actor, count: u64) -> Outcome {
    actor.ask(count)?;
    ensure!(actor.line()?.trim() == count.to_string(), "it did not refuse {count}");
    Ok(())
}

/// UTS namespaces that hold all numbers below one, as soon as it is free. Namespaces of all kinds and entries of
/// /proc have their numbers from one pool, the lowest first (`proc_alloc_inum`).
fn hold_below(number: u64) -> anyhow::Result<Vec<File>> {
    let uts = || File::open("/proc/thread-self/ns/uts");
    let own = uts()?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    for pause in pauses() {
        let mut held = Vec::new();
        let next = loop {
            unshare(CloneFlags::CLONE_NEWUTS)?;
            let namespace = uts()?;
            let next = namespace.metadata()?.ino();
            if next >= number {
                break next;
            }
            held.push(namespace);
        };
        setns(&own, CloneFlags::CLONE_NEWUTS)?;
        if next == number {
            return Ok(held);
        }
        drop(held);
        thread::sleep(pause);
    }
    bail!("the number {number} is still taken")
}

/// A listener in a network namespace of this number. Kernels number a namespace before its entries in /proc, or
/// after the first of them: then one lower number is left free for that.
fn start_in(netns: u64, port: u16) -> anyhow::Result<Actor> {
    for spare in [0, 1, 2, 0, 1, 2] {
        let mut held = hold_below(netns)?;
        held.truncate(held.len().saturating_sub(spare));
        let (mut actor, its, _) = start(port)?;
        if its == netns {
            return Ok(actor);
        }
        end(&mut actor)?;
    }
    bail!("no namespace came to have the number {netns}")
}

fn end(actor: &mut Actor) -> Outcome {
    actor.ask(0)?;
    ensure!(actor.line()?.is_empty(), "it did not end");
    Ok(())
}

fn check() -> Outcome {
    let (mut first, netns, port) = start(0)?;
    refuse(&mut first, REFUSED[0])?;
    let observer = Observer::json(&["--port", &port.to_string()])?;
    refuse(&mut first, REFUSED[1])?;
    end(&mut first)?;
    drop(first);
    let mut second = start_in(netns, port)?;
    refuse(&mut second, REFUSED[2])?;
    let report = observer.total()?;
    let of_netns = |all: &Value| -> Vec<Value> {
        let all = all.as_array().into_iter().flatten();
        all.filter(|one| one["netns"] == netns).cloned().collect()
    };
    let listeners = of_netns(&report["listeners"]);
    let drops = |closed: bool| {
        let mut all = listeners.iter();
        let one = all.find(|one| one["closed"] == closed).context("a listener")?;
        anyhow::Ok(&one["drops"])
    };
    let audits = of_netns(&report["audit"]["netns"]);
    let counters = |row: &Value| row["counters"]["ListenDrops"].clone();
    let audit: Vec<_> = audits.iter().map(counters).collect();
    let (gone, there) = (drops(true)?, drops(false)?);
    let counted = report["providers"]["drops"]["via"] != "tracepoint";
    ensure!(there["total"] == REFUSED[2], "{there}: {audit:?}");
    if !counted {
        // What its namespace counted is gone with it.
        ensure!(gone["total"].is_null() && gone["at_most"] == REFUSED[1], "{gone}: {audit:?}");
        ensure!(audit.iter().any(|one| one["kernel"] == REFUSED[2]), "{audit:?}");
        return Ok(());
    }
    ensure!(gone["total"] == REFUSED[1], "{gone}: {audit:?}");
    let own = |observed: u64| audit.iter().find(|one| one["observed"] == observed);
    match audit.len() {
        2 => {
            ensure!(own(REFUSED[1]).is_some_and(|one| one["kernel"].is_null()), "{audit:?}");
            ensure!(own(REFUSED[2]).is_some_and(|one| one["kernel"] == REFUSED[2]), "{audit:?}");
            ensure!(report["audit"]["closes"] == true, "{audit:?}");
        }
        // A kernel that tells no cookie: what of it was whose is not known.
        _ => ensure!(audit[0]["kernel"].is_null() && cookie().is_none(), "{audit:?}"),
    }
    Ok(())
}
