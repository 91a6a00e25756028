//! Accept calls that a signal ends: an error where the task goes on, none where the signal ends it.

mod restart;

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::thread::JoinHandleExt,
    process,
    sync::mpsc::{Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::{
    sys::{
        pthread::pthread_kill,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
    unistd::{Pid, gettid},
};
use socket2::Socket;

use super::server::listen;
use crate::{
    Need, Outcome, Test,
    role::{Actor, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
};

/// Tasks that are in accept when the process ends.
const TASKS: usize = 4;

/// How long a task may take to go to sleep.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn tests() -> Vec<Test> {
    vec![
        Test::together(
            "socket_kinds::signals_are_errors_only_of_who_goes_on",
            Need::Kernel,
            signals,
        ),
        Test::together(
            "socket_kinds::signals_that_restart_accept_are_no_errors",
            Need::Kernel,
            restart::play,
        ),
    ]
}

fn signals() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-signals")?;
    let port = actor.port()?;
    in_the_window(move || {
        actor.next()?;
        let interrupted: u64 = actor.line()?.trim().parse()?;
        actor.next()?;
        // Its output ends with it.
        ensure!(actor.line()?.is_empty(), "it goes on");
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            let errors = &one["accept_errors"];
            ensure!(interrupted == 1 && errors["EINTR"] == interrupted, "{errors}");
            ensure!(errors.as_object().is_some_and(|all| all.len() == 1), "{one}");
            drop(actor);
            Ok(())
        })
    })
}

/// The role: tasks blocked in accept, one of which a signal interrupts and which then goes on; until the
/// process ends with all of them.
pub fn serve() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    let handler = SigHandler::Handler(nothing);
    // Without SA_RESTART.
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action)? };
    say(address.port())?;
    wait_for_line()?;
    let (sender, receiver) = channel();
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let (socket, sender) = (socket.try_clone()?, sender.clone());
        let task = thread::spawn(move || accept(&socket, &sender));
        let tid = receiver.recv()?.context("a task's id comes first")?;
        falls_asleep(tid)?;
        tasks.push((task, tid));
    }
    let (task, tid) = tasks.first().context("a task")?;
    pthread_kill(task.as_pthread_t(), Signal::SIGUSR1)?;
    ensure!(receiver.recv()?.is_none(), "the first task was not interrupted");
    falls_asleep(*tid)?;
    say(1)?;
    wait_for_line()?;
    process::exit(0);
}

extern "C" fn nothing(_signal: i32) {}

/// Tells its thread id, and nothing for each interruption.
fn accept(socket: &Socket, sender: &Sender<Option<Pid>>) {
    let _nobody_waits = sender.send(Some(gettid()));
    loop {
        let interrupted =
            socket.accept().is_err_and(|error| error.raw_os_error() == Some(libc::EINTR));
        if !interrupted || sender.send(None).is_err() {
            return;
        }
    }
}

pub use restart::serve as serve_restarts;

/// Waits until a task sleeps in its call, and has for a while.
fn falls_asleep(tid: Pid) -> Outcome {
    let since = Instant::now();
    let mut asleep = 0;
    while asleep < 5 {
        if since.elapsed() > PATIENCE {
            bail!("task {tid} does not come to sleep");
        }
        thread::sleep(Duration::from_millis(10));
        let stat = fs::read_to_string(format!("/proc/self/task/{tid}/stat"))?;
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
        asleep = if state == Some('S') { asleep + 1 } else { 0 };
    }
    Ok(())
}
