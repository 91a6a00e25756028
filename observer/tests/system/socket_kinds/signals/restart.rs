//! Accept calls that signals end, with SA_RESTART and without: the server's own count of EINTR decides.

use std::{
    net::{Ipv4Addr, TcpStream},
    os::unix::thread::JoinHandleExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc::channel,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::{
        pthread::pthread_kill,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    },
    unistd::{Pid, gettid},
};
use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::{PATIENCE, falls_asleep};
use crate::{
    Outcome,
    role::{Actor, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
    socket_kinds::listen,
};

/// Tasks in accept on the listener without a time limit.
const TASKS: usize = 8;
/// Signals for each of them, of which the kernel restarts the call.
const RESTARTS: usize = 12;

/// Handlers that ran.
static HANDLED: AtomicU64 = AtomicU64::new(0);

/// EINTR that each listener's accepts gave, as the server counted.
#[derive(Debug, Deserialize, Serialize)]
struct Told {
    port: u16,
    interrupted: u64,
    /// Signals of which the kernel restarted the call.
    restarted: u64,
    /// The listener with a time limit.
    limited_port: u16,
    limited_interrupted: u64,
}

pub fn play() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-restarts")?;
    actor.line()?;
    in_the_window(move || {
        actor.next()?;
        let process = Pid::from_raw(i32::try_from(actor.pid())?);
        actor.line()?;
        // No handler runs: calls without a time limit are restarted, the others give EINTR.
        for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
            kill(process, signal)?;
            thread::sleep(Duration::from_millis(200));
        }
        actor.next()?;
        let told: Told = serde_json::from_str(&actor.line()?)?;
        in_the_report(move |report| {
            ensure!(told.interrupted > 0 && told.restarted > 0, "{told:?}");
            ensure!(told.limited_interrupted > 0, "{told:?}");
            for (port, interrupted) in
                [(told.port, told.interrupted), (told.limited_port, told.limited_interrupted)]
            {
                let errors = &report.only_on_port(port)?["accept_errors"];
                ensure!(errors["EINTR"] == interrupted, "{interrupted} EINTR seen: {errors}");
                ensure!(errors.as_object().is_some_and(|all| all.len() == 1), "{errors}");
            }
            drop(actor);
            Ok(())
        })
    })
}

extern "C" fn handled(_signal: i32) {
    HANDLED.fetch_add(1, SeqCst);
}

/// A task in accept, and what it counted.
struct Task {
    thread: JoinHandle<()>,
    tid: Pid,
    interrupted: Arc<AtomicU64>,
}

impl Task {
    /// Starts one, which first accepts from `others`.
    fn start(socket: &Socket, others: Option<&Socket>) -> anyhow::Result<Self> {
        let (sender, receiver) = channel();
        let interrupted = Arc::new(AtomicU64::new(0));
        let socket = socket.try_clone()?;
        let others = others.map(Socket::try_clone).transpose()?;
        let count = interrupted.clone();
        let thread = thread::spawn(move || {
            let _first = others.map(|others| others.accept());
            let _nobody_waits = sender.send(gettid());
            while let Err(error) = socket.accept() {
                if error.raw_os_error() == Some(libc::EINTR) {
                    count.fetch_add(1, SeqCst);
                }
            }
        });
        let tid = receiver.recv()?;
        falls_asleep(tid)?;
        Ok(Self { thread, tid, interrupted })
    }

    /// Sends it a signal, and waits until its handler ran and it sleeps again.
    fn signal(&self, signal: Signal) -> Outcome {
        let before = HANDLED.load(SeqCst);
        pthread_kill(self.thread.as_pthread_t(), signal)?;
        let since = Instant::now();
        while HANDLED.load(SeqCst) == before {
            ensure!(since.elapsed() < PATIENCE, "the handler does not run");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// The role: tasks blocked in accept that get signals, which it counts for itself.
pub fn serve() -> Outcome {
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    let (socket, address) = listen(any, None, |_| Ok(()))?;
    let (limited, limited_address) =
        listen(any, None, |socket| socket.set_read_timeout(Some(Duration::from_secs(600))))?;
    let (other, other_address) = listen(any, None, |_| Ok(()))?;
    for (signal, flags) in
        [(Signal::SIGUSR1, SaFlags::SA_RESTART), (Signal::SIGUSR2, SaFlags::empty())]
    {
        let action = SigAction::new(SigHandler::Handler(handled), flags, SigSet::empty());
        // SAFETY: the handler counts, and does nothing else.
        unsafe { sigaction(signal, &action)? };
    }
    say("ready")?;
    wait_for_line()?;
    let mut tasks =
        (0..TASKS).map(|_| Task::start(&socket, None)).collect::<anyhow::Result<Vec<_>>>()?;
    // One that has dealt with another listener before.
    let _client = TcpStream::connect(other_address)?;
    tasks.push(Task::start(&socket, Some(&other))?);
    let alone = Task::start(&limited, None)?;
    let mut restarted = 0;
    for task in &tasks {
        for _ in 0..RESTARTS {
            task.signal(Signal::SIGUSR1)?;
            restarted += 1;
        }
        falls_asleep(task.tid)?;
        task.signal(Signal::SIGUSR2)?;
        falls_asleep(task.tid)?;
    }
    alone.signal(Signal::SIGUSR1)?;
    falls_asleep(alone.tid)?;
    say("asleep")?;
    wait_for_line()?;
    for task in tasks.iter().chain([&alone]) {
        falls_asleep(task.tid)?;
    }
    let told = Told {
        port: address.port(),
        interrupted: tasks.iter().map(|task| task.interrupted.load(SeqCst)).sum(),
        restarted,
        limited_port: limited_address.port(),
        limited_interrupted: alone.interrupted.load(SeqCst),
    };
    say(serde_json::to_string(&told)?)?;
    wait_for_line().context("nobody is there any more")
}
