//! Commands that are run under a check.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _},
    thread::{self, sleep},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{Resource, setrlimit},
        signal::{SigHandler, SigSet, Signal, kill, signal},
    },
    unistd::{ForkResult, fork, getpid, setsid},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Outcome, role::say};

/// Plays a role.
pub fn play(role: &str) -> Outcome {
    match role {
        "check-nothing" => Ok(()),
        "check-drops" => drops(),
        "check-slow" => slow(),
        "check-errors" => errors(),
        "check-hangs" => hangs(60).map(drop),
        "check-hangs-on" | "check-hangs-at-once" => {
            let _kept = hangs(if role == "check-hangs-on" { 60 } else { 0 })?;
            say(format!("ready {}", getpid()))?;
            loop {
                sleep(Duration::from_secs(3600));
            }
        }
        "check-wakes" => wakes(),
        "check-many" => many(),
        "check-fails" => {
            serve(3)?;
            std::process::exit(5)
        }
        "check-dies" => {
            serve(3)?;
            Ok(kill(getpid(), Signal::SIGABRT)?)
        }
        "check-daemon" => daemon(|| {
            // Longer than its parent.
            sleep(Duration::from_millis(700));
            serve(7)
        }),
        "check-daemon-stays" => daemon(stays),
        "check-stays" => stays(),
        "check-ignores" => {
            ignore(Signal::SIGTERM)?;
            stays()
        }
        "check-children-ignore" => children(),
        "check-signals" => signals(),
        "check-crashes-at-the-end" => {
            serve(1)?;
            let mut wanted = SigSet::empty();
            wanted.add(Signal::SIGTERM);
            wanted.thread_block()?;
            say("ready")?;
            wanted.wait()?;
            Ok(kill(getpid(), Signal::SIGABRT)?)
        }
        other => match other.strip_prefix("check-connects-").map(str::parse) {
            Some(Ok(count)) => serve(count),
            _ => bail!("no such role"),
        },
    }
}

/// Listens, takes so many connections of its own, and closes.
fn serve(count: usize) -> Outcome {
    listener_that_took(count).map(drop)
}

/// A listener that has taken so many connections of its own.
fn listener_that_took(count: usize) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    for _ in 0..count {
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        // The client's reset leaves no TIME_WAIT.
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        drop((client, server));
    }
    Ok(listener)
}

/// Connections of those that nobody accepts of a server that hangs.
const LEFT: usize = 3;

/// Takes so many connections of its own, and leaves others in the queue for a while.
fn hangs(count: usize) -> anyhow::Result<(TcpListener, Vec<TcpStream>)> {
    let listener = listener_that_took(count)?;
    let address = listener.local_addr()?;
    let clients = (0..LEFT).map(|_| TcpStream::connect(address));
    let clients = clients.collect::<Result<Vec<_>, _>>()?;
    sleep(Duration::from_millis(300));
    Ok((listener, clients))
}

/// Four threads that one connection wakes, none of which accepts it.
fn wakes() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _client = thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut one = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                    poll(&mut one, PollTimeout::NONE)
                })
            })
            .collect();
        // Until all of them sleep.
        sleep(Duration::from_millis(300));
        let client = TcpStream::connect(listener.local_addr()?);
        for thread in waiting {
            let woken = thread.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
            ensure!(woken == 1, "nothing was there");
        }
        anyhow::Ok(client?)
    })?;
    sleep(Duration::from_millis(100));
    Ok(())
}

/// More listeners than there is room for, with a connection each.
fn many() -> Outcome {
    (0..64).try_for_each(|_| serve(1))
}

/// Serves, says that it is there, and stays.
fn stays() -> Outcome {
    serve(5)?;
    say(format!("ready {}", getpid()))?;
    loop {
        sleep(Duration::from_secs(3600));
    }
}

fn ignore(which: Signal) -> Outcome {
    // SAFETY: nothing of this program runs for an ignored signal.
    unsafe { signal(which, SigHandler::SigIgn) }?;
    Ok(())
}

/// Does something in a process that nobody waits for, in a session of its own.
fn daemon(what: impl FnOnce() -> Outcome) -> Outcome {
    // SAFETY: a role is played before there is a second thread, here and below.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        return Ok(());
    }
    setsid()?;
    // SAFETY: as above.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        std::process::exit(0);
    }
    what()
}

/// Children and theirs that ignore SIGTERM; their parents end at it.
fn children() -> Outcome {
    for _ in 0..2 {
        // SAFETY: as above.
        if let ForkResult::Child = unsafe { fork() }? {
            // SAFETY: as above.
            if let ForkResult::Child = unsafe { fork() }? {
                ignore(Signal::SIGTERM)?;
            }
            return stays();
        }
    }
    stays()
}

/// Says each signal that it gets, and ends at SIGTERM.
fn signals() -> Outcome {
    serve(1)?;
    let wanted: SigSet =
        [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM]
            .into_iter()
            .collect();
    wanted.thread_block()?;
    say("ready")?;
    loop {
        let got = wanted.wait()?;
        say(got)?;
        if got == Signal::SIGTERM {
            return Ok(());
        }
    }
}

/// A backlog of one, and clients that nobody serves: two enter the queue, and the others are dropped.
fn drops() -> Outcome {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(1)?;
    let address = listener.local_addr()?;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        client.set_nonblocking(true)?;
        let _under_way = client.connect(&address);
        clients.push(client);
    }
    // Until the window has seen it.
    sleep(Duration::from_millis(300));
    Ok(())
}

/// Clients that wait.
fn slow() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
    }
    sleep(Duration::from_millis(200));
    for _ in 0..3 {
        drop(listener.accept()?);
    }
    Ok(())
}

/// Accept calls that fail for want of a descriptor: three, and one that says EAGAIN.
fn errors() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let first = listener.accept().err().context("nobody is there")?;
    ensure!(first.raw_os_error() == Some(libc::EAGAIN), "{first}");
    let client = TcpStream::connect(listener.local_addr()?)?;
    let limit = u64::try_from(client.as_raw_fd())? + 1;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    for _ in 0..3 {
        let error = listener.accept().err().context("it had a descriptor")?;
        ensure!(error.raw_os_error() == Some(libc::EMFILE), "{error}");
    }
    Ok(())
}
