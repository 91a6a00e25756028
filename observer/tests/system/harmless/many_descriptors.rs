//! A worker with very many descriptors in its epoll instance. Whoever looks into that instance holds its
//! mutex meanwhile, and keeps the worker waiting (`ep_show_fdinfo`).

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    eventfd::{EfdFlags, EventFd},
    resource::{Resource, getrlimit, setrlimit},
};
use serde_json::json;

use super::{figure, reports::Reports};
use crate::{
    Need, Outcome, Skip, Test,
    observer::{Observer, program},
    role::{Actor, as_role, say, wait_for_count},
};

/// How many there are, and how many others the process may have.
const DESCRIPTORS: u64 = 18_000;
const OTHERS: u64 = 100;

/// How many, as the role is told by the environment.
const COUNT: &str = "OBSERVER_TEST_COUNT";

/// Times that each way is measured, one after the other.
const ROUNDS: usize = 5;

/// How long the worker's loop is measured each time, in milliseconds; and while observer starts, which may take
/// as long.
const SPAN: u64 = 500;
const START: u64 = 1_200;

pub fn tests() -> Vec<Test> {
    vec![Test::new("harmless::a_large_epoll_instance_is_not_read", Need::Also(no_strace), not_read)]
}

fn no_strace() -> Option<String> {
    match Command::new("strace").args(["-o", "/dev/null", "true"]).output() {
        Err(_) => Some("strace is not installed".to_owned()),
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(format!("strace may not trace here: {}", said.trim()))
        }
    }
}

/// No file is opened that takes the mutex. How long the longest gap of the worker's loop is with and without
/// observer is measured and told: that is not judged, since other programs run on this machine too.
fn not_read() -> Outcome {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if most < DESCRIPTORS + OTHERS {
        return Err(Skip(format!("the limit on open files is too low for {DESCRIPTORS}")).into());
    }
    let mut command = as_role("harmless-many")?;
    command.env(COUNT, DESCRIPTORS.to_string());
    let mut worker = Actor::spawn(command)?;
    let port = worker.port()?;
    let mut other = Actor::start("listen")?;
    gaps(&mut worker, port, other.port()?)?;
    no_open(&mut worker, port)
}

/// The longest gaps of the worker's loop, of each way to measure, in microseconds.
#[derive(Default)]
struct Gaps(Vec<u64>);

impl Gaps {
    /// Lets the worker's loop run while something happens.
    fn measure<T>(
        &mut self,
        worker: &mut Actor,
        milliseconds: u64,
        happens: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        worker.ask(milliseconds)?;
        let result = happens();
        self.0.push(worker.line()?.trim().parse()?);
        result
    }
}

/// Measures in turn: alone, beside an observer that has chosen a listener of another process, and observed.
/// The start of observer, which takes CPU time whatever is chosen, apart from its window.
fn gaps(worker: &mut Actor, port: u16, other: u16) -> Outcome {
    let mut alone = Gaps::default();
    let mut chosen =
        [(other, Gaps::default(), Gaps::default()), (port, Gaps::default(), Gaps::default())];
    for _ in 0..ROUNDS {
        alone.measure(worker, SPAN, || Ok(()))?;
        for (port, starts, windows) in &mut chosen {
            let port = port.to_string();
            let arguments = ["--interval", "100ms", "--port", &port];
            let reports = starts.measure(worker, START, || Reports::start(&arguments))?;
            windows.measure(worker, SPAN, || reports.skip(2))?;
            reports.end()?;
        }
    }
    let [(_, other_start, other_window), (_, start, window)] = chosen;
    for (how, gaps) in [
        ("alone", alone),
        ("observer starts for another", other_start),
        ("observer starts for it", start),
        ("observer watches another", other_window),
        ("observer watches it", window),
    ] {
        let mut gaps = gaps.0;
        gaps.sort_unstable();
        figure(&json!({"descriptors": DESCRIPTORS, "longest_gaps_us": gaps, "how": how}));
    }
    Ok(())
}

/// What observer opens while it watches the worker, which runs.
fn no_open(worker: &mut Actor, port: u16) -> Outcome {
    let directory = tempfile::tempdir()?;
    let trace = directory.path().join("trace");
    let port = port.to_string();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"]).arg(&trace);
    command.arg(program()).args(["--format", "json", "--interval", "200ms", "--duration", "2s"]);
    command.args(["--port", &port]);
    let observer = Observer::spawn(command)?;
    worker.ask(SPAN)?;
    let total = observer.wait_total()?;
    worker.line()?;
    let holders = total["listeners"][0]["holders"].as_array().context("holders")?;
    ensure!(holders.iter().any(|one| one["pid"] == worker.pid()), "it is no holder: {total}");
    let trace = fs::read_to_string(trace)?;
    // The kernel's tables, at least.
    let opened = trace.lines().filter(|line| line.contains("\"/proc/")).count();
    ensure!(opened > 0, "nothing was traced: {trace}");
    // Of its own maps and programs it may ask.
    let of_others = |line: &&str| line.contains("fdinfo") && !line.contains("\"/proc/self/fdinfo/");
    let opens: Vec<_> = trace.lines().filter(of_others).collect();
    ensure!(opens.is_empty(), "{} opens, as {}", opens.len(), opens[0]);
    Ok(())
}

/// The role: a worker whose epoll instance has a listener, one descriptor that is always ready, and as many as
/// the environment says that never are. Its loop runs for as many milliseconds as it is told, and it says
/// the longest gap between two returns of its wait call, in microseconds.
pub fn serve() -> Outcome {
    let count: u64 = env::var(COUNT)?.parse()?;
    setrlimit(Resource::RLIMIT_NOFILE, count + OTHERS, count + OTHERS)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let wanted = |data| EpollEvent::new(EpollFlags::EPOLLIN, data);
    epoll.add(&listener, wanted(0))?;
    // With something ready the wait call takes the mutex (`ep_send_events`).
    let ready = EventFd::from_value_and_flags(1, EfdFlags::EFD_CLOEXEC)?;
    epoll.add(&ready, wanted(1))?;
    let others = (2..count).map(|data| {
        let other = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?;
        epoll.add(&other, wanted(data))?;
        Ok(other)
    });
    let _others = others.collect::<Result<Vec<_>, nix::Error>>()?;
    go_before_others();
    say(listener.local_addr()?.port())?;
    loop {
        let span = Duration::from_millis(wait_for_count()?);
        let (begin, mut longest) = (Instant::now(), Duration::ZERO);
        let mut last = begin;
        while last - begin < span {
            // Not all of a CPU, which the kernel takes away from a thread of this kind after a while.
            thread::sleep(Duration::from_micros(200));
            epoll.wait(&mut [EpollEvent::empty(); 4], EpollTimeout::NONE)?;
            let now = Instant::now();
            longest = longest.max(now - last);
            last = now;
        }
        say(longest.as_micros())?;
    }
}

/// Makes this thread one that others do not keep from the CPU, so that its gaps are those of locks. Where that is
/// not allowed they are also those of the machine.
fn go_before_others() {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: this thread, and a parameter that lives until the call has returned.
    let _refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) };
}
