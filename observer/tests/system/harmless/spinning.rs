//! Servers that spin because their descriptors have run out, more of them than there are CPUs: each try is
//! counted, nobody is told of it who did not ask, and reports come as ever.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        mman::{MapFlags, ProtFlags, mmap_anonymous},
        prctl::set_pdeathsig,
        resource::{Resource, setrlimit},
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};
use serde_json::json;

use super::{figure, reports::Reports};
use crate::{
    Need, Outcome, Test,
    observer::{number, only_on_port, provider},
    role::{Actor, say, wait_for_line},
};

const SERVERS: usize = 16;

/// Connections that nobody can accept.
const CLIENTS: u64 = 8;

/// Reports that are waited for while they spin, each of a second.
const REPORTS: usize = 6;

/// Most sleeps of observer's threads for each of these: it looks at what was woken ten times a second.
const SLEEPS: u64 = 500;

pub fn tests() -> Vec<Test> {
    vec![Test::new("harmless::servers_that_spin_without_descriptors", Need::Kernel, spin)]
}

fn spin() -> Outcome {
    let mut actor = Actor::start("harmless-spinning")?;
    let port = actor.port()?;
    let chosen = port.to_string();
    let arguments = ["--interval", "1s", "--port", &chosen];
    // What is looked for below is there where events are asked for.
    let asking = Reports::start(&[&arguments[..], &["-v"]].concat())?;
    ensure!(asking.perf_buffers()? > 0, "an observer that is asked for events has no buffers");
    asking.end()?;

    let reports = Reports::start(&arguments)?;
    actor.next()?;
    actor.line()?;
    let (sleeps, mut seen) = (reports.sleeps()?, Vec::new());
    for _ in 0..REPORTS {
        seen.push(reports.next()?);
    }
    let sleeps = reports.sleeps()?.saturating_sub(sleeps);
    let buffers = reports.perf_buffers()?;
    actor.next()?;
    let tried: u64 = actor.line()?.trim().parse()?;
    let (more, total) = reports.end()?;
    seen.extend(more);

    let one = only_on_port(&total, port)?;
    let (audit, window) = (&total["audit"], &total["window"]);
    let seconds = window["seconds"].as_f64().context("seconds")?;
    let counted = number(&one["accept_errors"]["EMFILE"])?;
    figure(&json!({
        "servers_without_descriptors": SERVERS,
        "made": tried,
        "seen": counted,
        "seconds": seconds,
        "reports": seen.len(),
        "events_lost": audit["events_lost"],
        "sleeps_of_observer": sleeps,
    }));
    ensure!(tried > 1000, "they tried {tried} times only");
    ensure!(audit["map_full"] == 0 && audit["events_lost"] == 0, "{audit}");
    ensure!(buffers == 0, "{buffers} buffers for events that nobody asked for");
    let exact = total["providers"]["accepts"]["via"] == "tracepoint"
        || total["providers"]["accepts"]["exact"] == true;
    ensure!(!exact || counted == tried, "EMFILE {counted}, and they had {tried}: {audit}");
    ensure!(one["queued"] == CLIENTS && one["accepted"] == 0, "{one}");
    // Each of them goes on where the one before ended, and has some of the failures.
    let (mut sum, mut lasted) = (0, 0.0);
    for report in &seen {
        ensure!(report["window"]["kind"] == "interval", "{}", report["window"]);
        lasted += report["window"]["seconds"].as_f64().context("seconds")?;
        for one in report["listeners"].as_array().context("listeners")? {
            sum += one["accept_errors"]["EMFILE"].as_u64().unwrap_or(0);
        }
    }
    ensure!(sum <= counted, "the intervals have {sum}, the total {counted}");
    // Where every other one is missing they are kept back. An emulated machine is that slow.
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let most_lasted = 2.0 * seen.len() as f64;
    ensure!(provider().is_some() || lasted < most_lasted, "{} reports in {lasted} s", seen.len());
    let most = SLEEPS * REPORTS as u64;
    ensure!(sleeps < most, "observer was woken {sleeps} times in {REPORTS} reports");
    Ok(())
}

/// What the servers share.
struct Shared {
    /// Whether they go on.
    spin: AtomicBool,
    /// Failures of each, added up at its end.
    failures: AtomicU64,
}

/// The role: a listener with connections and servers that have no descriptor left for them. Told to, they
/// begin, and it says so; told again, they end, and it says how often an accept failed.
pub fn serve() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    say(address.port())?;
    wait_for_line()?;
    let clients = (0..CLIENTS).map(|_| TcpStream::connect(address));
    let _clients = clients.collect::<Result<Vec<_>, _>>()?;
    let shared = shared()?;
    let children =
        (0..SERVERS).map(|_| server(&listener, shared)).collect::<Result<Vec<_>, _>>()?;
    say("spinning")?;
    wait_for_line()?;
    shared.spin.store(false, Relaxed);
    for child in children {
        let status = waitpid(child, None)?;
        ensure!(matches!(status, WaitStatus::Exited(_, 0)), "a server ended as {status:?}");
    }
    say(shared.failures.load(Relaxed))?;
    // Its connections are not closed before the total.
    wait_for_line()
}

fn shared() -> anyhow::Result<&'static Shared> {
    let (length, protection) =
        (size_of::<Shared>().try_into()?, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
    // SAFETY: new memory, which the kernel places.
    let memory = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_SHARED)? };
    let memory: NonNull<Shared> = memory.cast();
    // SAFETY: a page of its own, which is never unmapped.
    unsafe {
        memory.write(Shared { spin: AtomicBool::new(true), failures: AtomicU64::new(0) });
        Ok(memory.as_ref())
    }
}

/// A server: level-triggered, with an epoll instance of its own.
fn server(listener: &TcpListener, shared: &Shared) -> anyhow::Result<Pid> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = match try_in_vain(listener, shared) {
                Ok(failures) => {
                    shared.failures.fetch_add(failures, Relaxed);
                    0
                }
                Err(error) => {
                    eprintln!("a server without descriptors: {error:?}");
                    1
                }
            };
            // SAFETY: ends this process without what the parent would do at its end.
            unsafe { libc::_exit(code) }
        }
    }
}

fn try_in_vain(listener: &TcpListener, shared: &Shared) -> anyhow::Result<u64> {
    set_pdeathsig(Signal::SIGKILL)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    let limit = u64::try_from(epoll.0.as_raw_fd())? + 1;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    let mut failures = 0;
    while shared.spin.load(Relaxed) {
        epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
        match listener.accept() {
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => failures += 1,
            other => bail!("accept did not fail with EMFILE: {other:?}"),
        }
    }
    Ok(failures)
}
