//! Network namespaces in which nobody listens, by the hundred and by the thousand, as a host of containers has
//! them: they are not looked into, and what begins in one of them is seen.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    process::Command,
    thread,
};

use anyhow::{Context as _, anyhow, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};
use serde_json::json;

use super::{figure, reports::Reports};
use crate::{
    Need, Outcome, Test,
    observer::{only_on_port, program},
    role::{Actor, as_role, own_netns, say, wait_for_count},
    socket_kinds::loopback_up,
};

/// How many of them there are first, and then.
const COUNTS: [u64; 2] = [300, 2_000];

/// Reports whose CPU time is measured.
const REPORTS: usize = 6;
/// Reports before that: the first of them know nothing yet.
const FIRST_REPORTS: usize = 2;
const EVERY: &str = "500ms";

/// Where namespaces have names.
const NAMES: &str = "/run/netns";

/// The process in whose mount namespace observer runs.
const BESIDE: &str = "OBSERVER_TEST_BESIDE";

/// What the role is told by the environment if each of its namespaces is to have a listener.
const FULL: &str = "OBSERVER_TEST_FULL";

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("harmless::empty_namespaces_cost_nothing", Need::Kernel, empty),
        Test::new("harmless::namespaces_of_others_cost_nothing", Need::Kernel, of_others),
    ]
}

/// Reports take no more than twice the CPU time beside them, to which no other program of this machine adds.
fn empty() -> Outcome {
    let mut actor = Actor::start("harmless-namespaces")?;
    let port = actor.port()?.to_string();
    let filter = ["--port", &port];
    let without = cost(&actor, &filter)?;
    let mut judged = Vec::new();
    for count in COUNTS {
        make_namespaces(&mut actor, count)?;
        judged.push(judge("empty namespaces", count, cost(&actor, &filter)?, without));
        if count == COUNTS[0] {
            born(&mut actor)?;
        }
    }
    judged.into_iter().collect()
}

/// Namespaces in which others listen, who are not chosen.
fn of_others() -> Outcome {
    let mut chosen = Actor::start("listen")?;
    chosen.port()?;
    let mut command = as_role("harmless-namespaces")?;
    command.env(FULL, "1");
    let mut actor = Actor::spawn(command)?;
    actor.port()?;
    let pid = chosen.pid().to_string();
    let filter = ["--pid", &pid];
    let without = cost(&actor, &filter)?;
    let [count, _] = COUNTS;
    make_namespaces(&mut actor, count)?;
    judge("namespaces of others", count, cost(&actor, &filter)?, without)
}

fn make_namespaces(actor: &mut Actor, count: u64) -> Outcome {
    actor.ask(count)?;
    let made: u64 = actor.line()?.trim().parse()?;
    ensure!(made == count, "{made} were made");
    Ok(())
}

/// Tells what reports take beside such namespaces, and judges it. Three ticks are what the clock and a busy machine may
/// be off by.
fn judge(what: &str, count: u64, ticks: u64, without: u64) -> Outcome {
    figure(&json!({
        "beside": what,
        "count": count,
        "reports": REPORTS,
        "ticks": ticks,
        "ticks_without": without,
    }));
    ensure!(
        ticks <= 2 * without + 3,
        "{REPORTS} reports take {ticks} ticks beside {count} {what}, and {without} without"
    );
    Ok(())
}

/// Starts an observer that sees the namespaces of an actor.
fn observe(actor: &Actor, arguments: &[&str]) -> anyhow::Result<Reports> {
    let mut command = as_role("harmless-within")?;
    command.env(BESIDE, actor.pid().to_string()).args(["--format", "json", "--interval", EVERY]);
    command.args(arguments);
    Reports::spawn(command)
}

/// Ticks of CPU time that so many reports take.
fn cost(actor: &Actor, arguments: &[&str]) -> anyhow::Result<u64> {
    let reports = observe(actor, arguments)?;
    reports.skip(FIRST_REPORTS)?;
    let before = reports.ticks()?;
    reports.skip(REPORTS)?;
    let ticks = reports.ticks()? - before;
    reports.end()?;
    Ok(ticks)
}

/// A listener that is born in one of them is seen, with its first connection, which comes at once.
fn born(actor: &mut Actor) -> Outcome {
    let pid = actor.pid().to_string();
    let reports = observe(actor, &["--pid", &pid])?;
    reports.skip(1)?;
    actor.ask(0)?;
    let (netns, port): (u64, u16) = serde_json::from_str(&actor.line()?)?;
    reports.skip(2)?;
    let (_, total) = reports.end()?;
    let one = only_on_port(&total, port)?;
    ensure!(one["netns"] == netns, "it is in {netns}: {one}");
    ensure!(one["queued"] == 1 && one["accepted"] == 1, "{one}");
    Ok(())
}

/// The role: becomes an observer in the mount namespace of another process.
pub fn within() -> Outcome {
    setns(File::open(format!("/proc/{}/ns/mnt", env::var(BESIDE)?))?, CloneFlags::CLONE_NEWNS)?;
    Err(Command::new(program()).args(env::args_os().skip(1)).exec().into())
}

/// The role: a listener, and beside it as many network namespaces as it is told in the end, which have names in a
/// mount namespace of its own and go with that. Told 0, it listens in one of them and accepts a connection, and
/// says where.
pub fn serve() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let (nothing, none) = (None::<&str>, MsFlags::empty());
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    mount(Some("none"), "/run", Some("tmpfs"), none, nothing)?;
    fs::create_dir(NAMES)?;
    say(listener.local_addr()?.port())?;
    let (full, mut made, mut listeners) = (env::var_os(FULL).is_some(), 0, Vec::new());
    loop {
        let wanted = wait_for_count()?;
        if wanted == 0 {
            let (late, netns) = in_a_thread(move || listen_in(made / 2))?;
            say(json!((netns, late.local_addr()?.port())))?;
            listeners.push(late);
        } else {
            // A thread of its own, which enters one after the other.
            listeners.extend(in_a_thread(move || {
                let all = (made..wanted).map(|number| make(number, full));
                Ok(all.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten())
            })?);
            made = wanted;
            say(made)?;
        }
    }
}

/// Enters a namespace, and begins to listen there, with one connection; the listener, and where it is.
fn listen_in(number: u64) -> anyhow::Result<(TcpListener, u64)> {
    setns(File::open(path(number))?, CloneFlags::CLONE_NEWNET)?;
    loopback_up()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    drop(listener.accept()?);
    drop(client);
    Ok((listener, fs::metadata("/proc/thread-self/ns/net")?.ino()))
}

/// Does something in a thread, whose network namespace is its own.
fn in_a_thread<T: Send + 'static>(
    does: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    thread::spawn(does).join().map_err(|_panic| anyhow!("it ended in a panic"))?
}

fn path(number: u64) -> String {
    format!("{NAMES}/{number}")
}

/// A network namespace with a name, in which this thread is then; and its listener.
fn make(number: u64, full: bool) -> anyhow::Result<Option<TcpListener>> {
    own_netns()?;
    let path = path(number);
    File::create(&path)?;
    let nothing = None::<&str>;
    let own = Some("/proc/thread-self/ns/net");
    mount(own, path.as_str(), nothing, MsFlags::MS_BIND, nothing).context("no name")?;
    Ok(full.then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).transpose()?)
}
