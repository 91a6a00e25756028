//! Watching: reports at the times that were asked for, until something ends the window.

use std::{
    io::{self, Write},
    os::fd::OwnedFd,
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::{
    io::unix::AsyncFd,
    signal::unix::{SignalKind, signal as tokio_signal},
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use crate::app::{
    cli::{FilterArgs, WatchArgs},
    logging,
    output::Output,
    render::{
        table::{self, heading},
        text,
    },
};
use observer::{async_fd::readable, error::Failure, listener::select, session::Session};

/// How often the live table is drawn, and how long an interval is where none was asked for.
const LIVE: Duration = Duration::from_secs(1);

/// How often woken processes are looked at, which may not live until the report.
const LOOK: Duration = Duration::from_millis(100);

/// Signals within this time of the first are the same wish: `timeout` sends two, one to the process
/// and one to its group.
const SAME_WISH: Duration = Duration::from_millis(300);

/// Runs the plain `observer`.
///
/// # Errors
///
/// See [`Session::start`]; a closed standard output is not one.
pub fn run(args: &WatchArgs) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    match runtime.block_on(watch(args)) {
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        result => result.map(|()| ExitCode::SUCCESS),
    }
}

async fn watch(args: &WatchArgs) -> Result<()> {
    // Taken before anything is attached: a signal from here on ends the window in good order.
    let mut interrupt = tokio_signal(SignalKind::interrupt())?;
    let mut terminate = tokio_signal(SignalKind::terminate())?;
    let processes =
        args.filters.pid.iter().map(|pid| watch_process(*pid)).collect::<Result<Vec<_>>>()?;
    let (mut session, mut events) = Session::start(&args.into())?;
    if args.verbose >= 2 {
        logging::read_kernel_lines(&mut session.loaded().ebpf)?;
    }
    let mut output = Output::new(args);
    announce(&session, args);

    let deadline = sleep(args.duration.unwrap_or(Duration::MAX));
    let ended = all_ended(processes);
    tokio::pin!(deadline, ended);
    let period = args.interval.or_else(|| args.duration.is_none().then_some(LIVE));
    let live = args.interval.is_none() && output.is_live();
    let mut ticks = period.map(|period| {
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    });
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn = false;
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = &mut deadline => break,
            () = &mut ended => {
                say_all_ended(&args.filters.pid);
                break;
            }
            Some(record) = events.recv() => session.note(&record)?,
            _ = looks.tick() => session.look_at_woken(),
            () = next_tick(&mut ticks) => {
                if live {
                    output.frame(&session.so_far()?)?;
                    drawn = true;
                } else {
                    output.report(&session.interval()?)?;
                }
            }
        }
    }
    thread::spawn(end_at_once_on_the_next_signal);
    // What happened before the end and was not read yet belongs to the window.
    while let Ok(record) = events.try_recv() {
        session.note(&record)?;
    }
    output.last(&session.finish()?, drawn)
}

/// Waits for the next tick, or for ever where there are none.
async fn next_tick(ticks: &mut Option<tokio::time::Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

/// Says that every program is attached: to people, to scripts that wait for it, and to systemd.
fn announce(session: &Session, args: &WatchArgs) {
    let mut stderr = io::stderr().lock();
    let listeners = match session.chosen() {
        1 => "1 listener".to_owned(),
        count => format!("{count} listeners"),
    };
    let hooks = heading::hooks(&session.providers()).0;
    // Nobody listening on standard error is no reason to stop.
    let _closed = writeln!(stderr, "observing {listeners}: {hooks}");
    if let Some(inode) = session.pid_namespace() {
        let _closed = writeln!(
            stderr,
            "observer: this is PID namespace {inode} and not the host's: tasks outside of it are counted \
             without process ids, and who holds a listener there is not known; run it in the host's \
             (--pid=host, or hostPID: true in Kubernetes)"
        );
    }
    if session.chosen() == 0 {
        for path in args.filters.cgroup.iter().filter(|path| !select::is_cgroup(path)) {
            let path = text::clean(&path.display().to_string());
            let _closed = writeln!(stderr, "observer: there is no cgroup {path} now");
        }
        let _closed = waiting(&args.filters).map(|waits| writeln!(stderr, "observer: {waits}"));
    }
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        log::debug!("systemd was not told: {error}");
    }
}

/// What is waited for where no listener passes the filters; nothing where there is none.
fn waiting(filters: &FilterArgs) -> Option<String> {
    let FilterArgs { pid, port, comm, cgroup } = filters;
    let only_pids = port.is_empty() && comm.is_empty() && cgroup.is_empty();
    if only_pids && pid.is_empty() {
        return None;
    }
    if only_pids {
        let pids: Vec<_> = pid.iter().map(ToString::to_string).collect();
        return Some(format!(
            "no listener is held by process {} or a descendant yet; waiting for one",
            pids.join(", ")
        ));
    }
    Some(format!("no listener matches {} yet; waiting for one", table::flags(filters)))
}

/// Says why the window ends before anybody asked for that.
fn say_all_ended(pids: &[u32]) {
    let of = match pids {
        [pid] => format!("process {pid} has"),
        _ => "all processes named with --pid have".to_owned(),
    };
    // Nobody listening on standard error is no reason to stop.
    let _closed = writeln!(io::stderr(), "observer: {of} ended, and the window with it");
}

/// A descriptor that becomes readable when the process ends.
fn watch_process(pid: u32) -> Result<AsyncFd<OwnedFd>> {
    let gone =
        || Failure::failed(format!("there is no process {pid}; look it up with pgrep or ss -ltnp"));
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(descriptor) => Ok(readable(descriptor)?),
        Err(rustix::io::Errno::SRCH) => Err(gone().into()),
        // A thread's id is no process's, and pidfd_open says so.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Err(Failure::failed(format!(
            "{pid} is the id of a thread, not of a process; give the process's id"
        ))
        .into()),
        Err(error) => {
            Err(io::Error::from(error)).with_context(|| format!("cannot watch process {pid}"))
        }
    }
}

/// Waits until every named process has ended; for ever where none was named.
async fn all_ended(processes: Vec<AsyncFd<OwnedFd>>) {
    if processes.is_empty() {
        return std::future::pending().await;
    }
    for process in processes {
        // The readiness stays: an exited process's descriptor is readable for good.
        let _ready = process.readable().await;
    }
}

/// The first signal ends the window and prints the total; the second ends the program where it is.
fn end_at_once_on_the_next_signal() {
    thread::sleep(SAME_WISH);
    for number in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the default action runs none of our code.
        let _unchanged = unsafe { signal(number, SigHandler::SigDfl) };
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
