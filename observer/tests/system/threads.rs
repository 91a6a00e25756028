//! Processes whose main thread is not the one that matters: it ended before the others, or another one
//! became the main thread by execve.

use std::{fs, net::TcpListener, os::unix::process::CommandExt, thread, time::Duration};

use anyhow::{Context, bail, ensure};
use aya::maps::{HashMap as BpfHashMap, Map, MapData, loaded_maps};
use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use observer_common::{config::TASK_SLOT_COUNT, counters::TaskState};
use serde_json::{Value, json};
use socket2::Socket;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, only_on_port, run},
    role::{Actor, as_role, connect, own_netns, say, wait_for_count, wait_for_line},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("threads::pid_finds_who_lost_its_main_thread", Need::Kernel, found),
        Test::new("threads::pid_follows_who_loses_its_main_thread", Need::Kernel, followed),
        Test::new("threads::listeners_finds_who_lost_its_main_thread", Need::Root, pictured),
        Test::new("threads::one_that_calls_execve_leaves_no_entry", Need::Kernel, execve),
        Test::new("threads::one_has_one_entry_whoever_makes_it", Need::Kernel, one_entry),
    ]
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "threads-main-ends" => main_ends(),
        "threads-execve" => call_execve(),
        other => bail!("no role {other}"),
    }
}

/// Connections that are made one after the other.
const CONNECTIONS: u64 = 50;

/// A server in a network namespace of its own, whose main thread ends when it is told to; then another
/// thread says that thread's id, listens, and says the port.
fn main_ends() -> Outcome {
    own_netns()?;
    let server = thread::Builder::new().name("server".into());
    server.spawn(|| {
        if let Err(error) = serve_without_main() {
            eprintln!("{error:?}");
            std::process::exit(1);
        }
    })?;
    wait_for_line()?;
    // SAFETY: ends this thread alone; what it has on its stack stays as it is.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    bail!("the thread goes on")
}

fn serve_without_main() -> Outcome {
    let stat = format!("/proc/self/task/{}/stat", std::process::id());
    while !fs::read_to_string(&stat)?.contains(") Z ") {
        thread::sleep(Duration::from_millis(1));
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    say(nix::unistd::gettid())?;
    say(port)?;
    let client = thread::spawn(move || -> Outcome {
        loop {
            for _ in 0..wait_for_count()? {
                connect(port)?;
            }
            say("done")?;
        }
    });
    while !client.is_finished() {
        let mut events = [EpollEvent::empty()];
        if epoll.wait(&mut events, EpollTimeout::from(100_u8))? > 0 {
            drop(listener.accept()?);
        }
    }
    Ok(())
}

/// What a server without a main thread says of itself: its thread and its port.
fn begin(actor: &mut Actor) -> anyhow::Result<(u64, u16)> {
    actor.next()?;
    Ok((actor.line()?.trim().parse()?, actor.port()?))
}

/// Whether a report has all of such a server.
fn is_whole(report: &Value, actor: &Actor, tid: u64, port: u16) -> Outcome {
    let listener = only_on_port(report, port)?;
    for count in ["accepted", "queued"] {
        ensure!(listener[count] == CONNECTIONS, "{count} is not {CONNECTIONS}: {listener}");
    }
    holds(&listener["holders"], actor)?;
    let workers = listener["workers"].as_array().context("workers")?;
    let [worker] = workers.as_slice() else { bail!("not one worker: {listener}") };
    ensure!(worker["tid"] == tid && worker["pid"] == actor.pid(), "{worker}");
    ensure!(worker["comm"] == "server" && worker["accepted"] == CONNECTIONS, "{worker}");
    Ok(())
}

/// Whether these are the only holder of such a server's listener.
fn holds(holders: &Value, actor: &Actor) -> Outcome {
    let comm = fs::read_to_string(format!("/proc/{}/comm", actor.pid()))?;
    let all = holders.as_array().context("holders")?;
    let [holder] = all.as_slice() else { bail!("not one holder: {holders}") };
    ensure!(holder["pid"] == actor.pid() && holder["comm"] == comm.trim_end(), "{holder}");
    ensure!(holder["wait"] == "epoll", "{holder}");
    Ok(())
}

fn found() -> Outcome {
    let mut actor = Actor::start("threads-main-ends")?;
    let (tid, port) = begin(&mut actor)?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    actor.ask(CONNECTIONS)?;
    actor.line()?;
    is_whole(&observer.total()?, &actor, tid, port)
}

/// The process stays one of those that `--pid` names when its main thread ends, and its listener begins
/// after that.
fn followed() -> Outcome {
    let mut actor = Actor::start("threads-main-ends")?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    let (tid, port) = begin(&mut actor)?;
    actor.ask(CONNECTIONS)?;
    actor.line()?;
    is_whole(&observer.total()?, &actor, tid, port)
}

fn pictured() -> Outcome {
    let mut actor = Actor::start("threads-main-ends")?;
    let (_, port) = begin(&mut actor)?;
    let pid = actor.pid().to_string();
    let output = run(&["listeners", "--pid", &pid, "--format", "json"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture: Value = serde_json::from_slice(&output.stdout)?;
    holds(&only_on_port(&picture, port)?["holders"], &actor)
}

/// A server, one thread of which accepts one connection, says its thread id, says so when its next accept was
/// interrupted, and calls execve when it is told to.
fn call_execve() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(listener.local_addr()?.port())?;
    // With a time limit the kernel does not make the call again that a stop interrupts (`sock_intr_errno`).
    let socket = Socket::from(listener);
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let worker = thread::spawn(move || -> Outcome {
        drop(socket.accept()?);
        say(nix::unistd::gettid())?;
        let error = socket.accept().err().context("a connection")?;
        ensure!(error.raw_os_error() == Some(libc::EINTR), "{error}");
        say("interrupted")?;
        wait_for_line()?;
        Err(as_role("listen")?.exec().into())
    });
    worker.join().map_err(|_| anyhow::anyhow!("the worker panicked"))?
}

/// A map of observer's, which must be the only one that runs.
fn map_of_observer(name: &str) -> anyhow::Result<MapData> {
    let mut found = Vec::new();
    for map in loaded_maps() {
        let map = map?;
        if map.name_as_str() == Some(name) {
            found.push(map.id());
        }
    }
    let [id] = found[..] else { bail!("{} maps {name}, not one", found.len()) };
    Ok(MapData::from_id(id)?)
}

/// Which thread has each place that is taken.
fn slot_owner() -> anyhow::Result<BpfHashMap<MapData, u32, u32>> {
    Ok(Map::HashMap(map_of_observer("SLOT_OWNER")?).try_into()?)
}

/// Waits until a thread is in this state for a while.
fn in_state(actor: &Actor, tid: u32, state: char) -> Outcome {
    let stat = format!("/proc/{}/task/{tid}/stat", actor.pid());
    let mut times = 0;
    for _ in 0..3_000 {
        let now = fs::read_to_string(&stat)?;
        let is_so = now.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with(state));
        times = if is_so { times + 1 } else { 0 };
        if times == 5 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("thread {tid} does not come to be {state}")
}

fn execve() -> Outcome {
    let mut actor = Actor::start("threads-execve")?;
    let port = actor.port()?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    connect(port)?;
    let tid: u32 = actor.line()?.trim().parse()?;
    ensure!(slot_owner()?.get(&(tid % TASK_SLOT_COUNT), 0)? == tid, "the thread has no entry");
    in_state(&actor, tid, 'S')?;
    let process = Pid::from_raw(actor.pid().try_into()?);
    kill(process, Signal::SIGSTOP)?;
    in_state(&actor, tid, 'T')?;
    kill(process, Signal::SIGCONT)?;
    ensure!(actor.line()?.trim() == "interrupted", "the call was not interrupted");
    actor.next()?;
    let next = actor.port()?;
    let left = slot_owner()?.get(&(tid % TASK_SLOT_COUNT), 0);
    ensure!(!left.as_ref().is_ok_and(|left| *left == tid), "the thread's entry is still there");
    connect(next)?;
    let report = observer.total()?;
    let (before, after) = (only_on_port(&report, port)?, only_on_port(&report, next)?);
    let rows = |one: &Value| -> anyhow::Result<Vec<(u64, u64, u64)>> {
        let workers = one["workers"].as_array().context("workers")?;
        let row = |row: &Value| {
            Ok((number(&row["pid"])?, number(&row["tid"])?, number(&row["accepted"])?))
        };
        workers.iter().map(row).collect()
    };
    let pid = u64::from(actor.pid());
    ensure!(rows(before)? == [(pid, tid.into(), 1)], "{before}");
    // Nothing but the execve told that the program went on with the error.
    ensure!(before["accept_errors"] == json!({ "EINTR": 1 }), "{before}");
    ensure!(rows(after)? == [(pid, pid, 1)], "{after}");
    Ok(())
}

/// While one CPU makes a task's entry, another that counts for the task makes no second one: one would
/// be lost.
fn one_entry() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let (port, tid) = (actor.port()?, actor.pid());
    let observer = Observer::json(&["--port", &port.to_string()])?;
    // As that CPU leaves it until the entry is filled.
    slot_owner()?.insert(tid % TASK_SLOT_COUNT, tid, 0)?;
    for _ in 0..CONNECTIONS {
        connect(port)?;
    }
    let elsewhere: BpfHashMap<MapData, u32, TaskState> =
        Map::HashMap(map_of_observer("TASKS")?).try_into()?;
    ensure!(elsewhere.get(&tid, 0).is_err(), "a second entry was made");
    let report = observer.total()?;
    let listener = only_on_port(&report, port)?;
    ensure!(listener["accepted"] == CONNECTIONS, "{listener}");
    ensure!(number(&listener["wakeups"]["total"])? > 0, "{listener}");
    ensure!(report["audit"]["map_full"] == 0, "{}", report["audit"]);
    Ok(())
}
