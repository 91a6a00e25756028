//! Processes that inherit a listener and end at once, as many as fit into a while: what observer knows of them
//! goes with them.

use std::{
    ffi::{c_int, c_void},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    ptr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::Pid,
};
use serde_json::json;

use super::{figure, reports::Reports};
use crate::{
    Need, Outcome, Test,
    observer::{number, only_on_port, provider},
    role::{Actor, say, wait_for_count},
};

/// At most so many, and for no longer than this, in seconds.
const MOST: u64 = 1_000_000;
const SECONDS: u64 = 15;

/// How long they come and go before observer's memory is looked at first, in seconds.
const WARM_UP: u64 = 3;

/// One in so many accepts a connection before it ends: fewer than observer puts aside (`bpf/archive.rs`).
const ACCEPTING: u64 = 100;

/// What observer may have more resident in the end, in KiB: what is kept of processes that ended has a bound
/// (`host/processes/past.rs`, `bpf/archive.rs`).
const MORE_KIB: u64 = 4096;

pub fn tests() -> Vec<Test> {
    vec![Test::new("harmless::holders_of_short_life_leave_nothing", Need::Kernel, come_and_go)]
}

/// What the role made.
type Made = (u64, u64);

fn come_and_go() -> Outcome {
    let mut actor = Actor::start("harmless-short-lived")?;
    let port = actor.port()?;
    // Its descendants are followed, and no listener of another program of this machine adds to the memory.
    let (pid, only) = (actor.pid().to_string(), port.to_string());
    let reports = Reports::start(&["--interval", "500ms", "--pid", &pid, "--port", &only])?;
    let mut live = |seconds| -> anyhow::Result<Made> {
        actor.ask(seconds)?;
        // Reports are read, so that nothing waits to be told.
        while !actor.has_answered()? {
            reports.skip(1)?;
        }
        Ok(serde_json::from_str(&actor.line()?)?)
    };
    let (first, first_accepted) = live(WARM_UP)?;
    reports.skip(2)?;
    let before = reports.resident()?;
    let (then, then_accepted) = live(SECONDS - WARM_UP)?;
    reports.skip(2)?;
    let after = reports.resident()?;
    let (_, total) = reports.end()?;
    let (holders, accepted) = (first + then, first_accepted + then_accepted);
    let one = only_on_port(&total, port)?;
    figure(&json!({
        "holders_of_short_life": holders,
        "kib_after_the_first": before,
        "kib_after_all": after,
        "made": accepted,
        "seen": one["accepted"],
    }));
    let audit = &total["audit"];
    ensure!(one["incomplete"] == false && audit["closes"] != false, "{audit}");
    ensure!(
        number(&one["accepted"])? == accepted && one["queued"] == accepted,
        "accepted {}, queued {}, and it was {accepted}: {audit}",
        one["accepted"],
        one["queued"]
    );
    let workers = one["workers"].as_array().context("workers")?;
    ensure!(workers.len() as u64 <= accepted + 2, "{} workers", workers.len());
    ensure!(
        after <= before + MORE_KIB,
        "{before} KiB after {first} short-lived holders, {after} KiB after {then} more"
    );
    ensure!(provider().is_some() || holders > 1000, "{holders} holders only");
    Ok(())
}

/// The role: for as many seconds as it is told, processes that have the listener and end at once, one after the
/// other, some after they have accepted a connection. Says how many there were, and how many of these.
pub fn serve() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    say(address.port())?;
    let (mut holders, mut stack) = (0, vec![0_u128; 4096]);
    loop {
        let until = Instant::now() + Duration::from_secs(wait_for_count()?);
        let (mut made, mut accepted) = (0, 0);
        while Instant::now() < until && holders < MOST {
            let accepts = holders % ACCEPTING == 0;
            let client = accepts.then(|| TcpStream::connect(address)).transpose()?;
            // -1 is no descriptor.
            let descriptor = if accepts { listener.as_raw_fd() } else { -1 };
            live(descriptor, &mut stack)?;
            drop(client);
            (holders, made) = (holders + 1, made + 1);
            accepted += u64::from(accepts);
        }
        say(json!((made, accepted)))?;
    }
}

/// A process with this one's descriptors and memory, which accepts once there and ends; as cheap as they come.
fn live(mut descriptor: c_int, stack: &mut [u128]) -> Outcome {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let (end, argument) = (stack.as_mut_ptr_range().end, ptr::from_mut(&mut descriptor));
    // SAFETY: the child has a stack of its own, and this process waits for its end (`CLONE_VFORK`), so that
    // nobody else uses what it is given.
    let child = unsafe { libc::clone(accept_and_end, end.cast(), flags, argument.cast()) };
    ensure!(child > 0, "no more processes: {}", std::io::Error::last_os_error());
    let status = waitpid(Pid::from_raw(child), Some(WaitPidFlag::__WALL))?;
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "it ended as {status:?}");
    Ok(())
}

extern "C" fn accept_and_end(argument: *mut c_void) -> c_int {
    // SAFETY: it is the descriptor of `live`, which waits.
    let descriptor = unsafe { *argument.cast::<c_int>() };
    // SAFETY: no address is asked for, and the connection ends with this process.
    let failed = descriptor >= 0
        && unsafe { libc::accept4(descriptor, ptr::null_mut(), ptr::null_mut(), 0) } < 0;
    c_int::from(failed)
}
