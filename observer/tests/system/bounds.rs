//! What is bounded on whatever host: the memory of the kernel maps, and what is noted at the start.
//!
//! A machine of the virtual ones says that it could come to have 255 CPUs, where a row for each CPU is 255 rows.

use std::{
    env, fs,
    io::Read as _,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pause},
};
use serde_json::Value;
use socket2::SockRef;

use crate::{
    Need, Outcome, Skip, Test,
    observer::{Observer, number, program, provider, run},
    role::{Actor, netns, own_netns, say, wait_for_count},
};

/// Makes every map as small as it may be.
const LEAST: &str = "--least-maps";

/// Accept calls for which there is room then (`plan::Sizes::LEAST`), and how many there are.
const ROOM: u64 = 1_024;
const BLOCKED: u64 = 1_300;

/// Set where the machine says that it could come to have 255 CPUs.
const OF_MANY_CPUS: &str = "OBSERVER_TEST_MANY_CPUS";

/// Descendants, of which there is room for 256.
const DESCENDANTS: u64 = 600;

pub fn tests() -> Vec<Test> {
    let test = |name, run: fn() -> Outcome| Test::new(name, Need::Kernel, run);
    vec![
        test("bounds::maps_keep_their_budget", budget),
        test("bounds::a_greater_budget_is_asked_for_and_not_taken", asked),
        test("bounds::accept_calls_beyond_the_room_are_said", blocked),
        test("bounds::descendants_beyond_the_room_are_said", descendants),
    ]
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "bounds-blocked" => block(),
        "bounds-descendants" => descend(),
        other => bail!("no role {other}"),
    }
}

/// What the kernel says of all maps that are loaded: their bytes, by id.
fn maps() -> anyhow::Result<Vec<(u64, u64)>> {
    let output = run(&["inventory"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let items = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let maps = items.iter().filter(|item| item["what"] == "map");
    maps.map(|map| Ok((number(&map["id"])?, number(&map["bytes"])?))).collect()
}

/// The maps of an observer that runs take no more than doctor says, and that no more than the budget.
fn budget() -> Outcome {
    let before = maps()?;
    let observer = Observer::json(&[])?;
    let during = maps()?;
    let new = during.iter().filter(|(id, _)| !before.iter().any(|(old, _)| old == id));
    let taken: u64 = new.map(|(_, bytes)| bytes).sum();
    observer.total()?;
    let doctor = Command::new(program()).args(["doctor", "--format", "json"]).output()?;
    let memory = &serde_json::from_slice::<Value>(&doctor.stdout)?["memory"];
    let (told, budget) = (number(&memory["bytes"])?, number(&memory["budget_bytes"])?);
    let possible = number(&memory["possible_cpus"])?;
    eprintln!("figure maps {taken} bytes of {told} told, {possible} possible CPUs");
    ensure!(taken > 0 && taken <= told, "{taken} bytes taken, {told} told");
    ensure!(told <= budget && budget == 64 << 20, "{told} of {budget}");
    let sum = memory["maps"].as_array().context("maps")?.iter().map(|map| number(&map["bytes"]));
    ensure!(sum.sum::<anyhow::Result<u64>>()? == told, "{memory}");
    let range = fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last: u64 = range.trim().rsplit(['-', ',']).next().context("no CPU")?.parse()?;
    // A machine that is made for it.
    ensure!(env::var_os(OF_MANY_CPUS).is_none() || possible == 255, "{possible} possible CPUs");
    ensure!(possible == last + 1, "{possible} possible CPUs, the kernel says {range}");
    Ok(())
}

/// More listeners than the budget holds are refused in words, and taken where the budget is raised.
fn asked() -> Outcome {
    let output = run(&["--duration", "1s", "--max-listeners", "200000"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(4), "{}: {said}", output.status);
    ensure!(said.contains("--map-memory") && said.lines().count() == 1, "{said}");
    Ok(())
}

/// The start goes on where more tasks are blocked in accept than there is room for; those that have none are counted,
/// and the listener's numbers are said to be too low.
fn blocked() -> Outcome {
    if provider().is_none_or(|provider| provider == "tracepoint") {
        return Err(Skip("tracepoints see calls that were under way before".into()).into());
    }
    let mut server = Actor::start("bounds-blocked")?;
    server.ask(BLOCKED)?;
    let inode: u64 = server.line()?.trim().parse()?;
    let pid = server.pid().to_string();
    let observer = Observer::json(&["--pid", &pid, LEAST])?;
    server.ask(20)?;
    server.line()?;
    let report = observer.total()?;
    let one = of_inode(&report, inode)?;
    let calls = number(&report["audit"]["no_room"]["calls"])?;
    eprintln!("figure blocked {BLOCKED} calls, {calls} without room");
    ensure!(calls == BLOCKED - ROOM, "{calls} had no room: {}", report["audit"]);
    ensure!(one["incomplete"] == true && one["queued"] == 20, "{one}");
    ensure!(number(&one["accepted"])? <= 20, "{one}");
    ensure!(report["providers"]["accepts"]["exact"] == false, "{}", report["providers"]);
    Ok(())
}

/// The start goes on where `--pid` has more descendants than there is room for, and these are counted.
fn descendants() -> Outcome {
    let mut parent = Actor::start("bounds-descendants")?;
    parent.ask(DESCENDANTS)?;
    let inode: u64 = parent.line()?.trim().parse()?;
    let pid = parent.pid().to_string();
    let observer = Observer::json(&["--pid", &pid, LEAST])?;
    parent.ask(3)?;
    parent.line()?;
    let report = observer.total()?;
    let one = of_inode(&report, inode)?;
    let processes = number(&report["audit"]["no_room"]["processes"])?;
    eprintln!("figure descendants {DESCENDANTS}, {processes} without room");
    ensure!(processes > 0, "there was room for all: {}", report["audit"]);
    ensure!(one["queued"] == 3 && one["accepted"] == 3 && one["incomplete"] == false, "{one}");
    Ok(())
}

fn of_inode(report: &Value, inode: u64) -> anyhow::Result<&Value> {
    let listeners = report["listeners"].as_array().context("listeners")?;
    let found = listeners.iter().find(|one| one["inode"] == inode);
    found.with_context(|| format!("no listener {inode}: {report}"))
}

fn inode(listener: &TcpListener) -> anyhow::Result<u64> {
    use std::os::{fd::AsRawFd as _, unix::fs::MetadataExt as _};
    Ok(fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd()))?.ino())
}

fn connect(listener: &TcpListener, count: u64) -> Outcome {
    for _ in 0..count {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        ensure!(client.read(&mut [0])? == 0, "something else answers");
    }
    Ok(())
}

/// As many threads as it is told block in accept, each for one connection; then so many connections are made.
fn block() -> Outcome {
    own_netns()?;
    let count = wait_for_count()?;
    // A call that waits has its descriptor already (`__sys_accept4_file`).
    setrlimit(Resource::RLIMIT_NOFILE, count + 100, count + 100)?;
    let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    for _ in 0..count {
        let own = Arc::clone(&listener);
        thread::Builder::new().stack_size(64 * 1024).spawn(move || own.accept().map(drop))?;
    }
    // All of them sleep in accept.
    let asleep = || -> anyhow::Result<u64> {
        let mut asleep = 0;
        for task in fs::read_dir("/proc/self/task")? {
            let call = fs::read_to_string(task?.path().join("syscall")).unwrap_or_default();
            asleep += u64::from(call.starts_with("43 ") || call.starts_with("288 "));
        }
        Ok(asleep)
    };
    while asleep()? < count {
        thread::sleep(Duration::from_millis(50));
    }
    say(inode(&listener)?)?;
    connect(&listener, wait_for_count()?)?;
    say("connected")?;
    wait_for_count()?;
    Ok(())
}

/// As many processes as it is told begin and sleep; then it accepts so many connections.
fn descend() -> Outcome {
    own_netns()?;
    let count = wait_for_count()?;
    let mut children = Vec::new();
    for _ in 0..count {
        // SAFETY: the child sleeps and calls nothing else.
        match unsafe { fork() }.context("no more processes")? {
            ForkResult::Parent { child } => children.push(child),
            ForkResult::Child => {
                // It does not outlive a test that fails.
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                loop {
                    pause();
                }
            }
        }
    }
    let told = serve_some();
    for child in children {
        end(child)?;
    }
    told
}

fn end(child: Pid) -> Outcome {
    kill(child, Signal::SIGKILL)?;
    waitpid(child, None)?;
    Ok(())
}

fn serve_some() -> Outcome {
    let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    ensure!(netns()? != 0, "a network namespace");
    say(inode(&listener)?)?;
    let count = wait_for_count()?;
    let own = Arc::clone(&listener);
    let worker = thread::spawn(move || (0..count).try_for_each(|_| own.accept().map(drop)));
    connect(&listener, count)?;
    worker.join().map_err(|_panic| anyhow::anyhow!("it ended in a panic"))??;
    say("connected")?;
    wait_for_count()?;
    Ok(())
}
