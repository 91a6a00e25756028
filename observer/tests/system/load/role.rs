//! What makes the load, where it is no server of `observer workload`: the test program itself. Each
//! counts what it did, and says it.

use std::{
    io::{ErrorKind, Read as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, fork},
};
use serde_json::json;
use socket2::SockRef;

use crate::{
    Outcome,
    role::{netns, own_netns, say, wait_for_count},
};

/// Plays one of these roles.
pub fn play(role: &str) -> Outcome {
    match role {
        "load-listeners" => listeners(),
        "load-come-and-go" => come_and_go(),
        "load-forks" => forks(),
        "load-idle-lives" => idle_lives(),
        "load-short-lives" => short_lives(LIVES_AT_ONCE),
        "load-rush" => short_lives(u64::MAX),
        "load-shift" => shift(),
        other => bail!("no role {other}"),
    }
}

/// So many connections come to the listener of this place in the row: not the same to each.
pub fn connections_of(index: usize) -> u64 {
    1 + index as u64 % 3
}

/// Below those that connections come from.
const FIRST_PORT: u16 = 10_000;

/// Where a socket listens twice.
pub const AGAIN: u16 = 9_999;

/// Descriptors beside those of the listeners.
const OTHERS: u64 = 100;

/// How many more listeners a process may hold here, at most as many as are wanted.
pub fn room(wanted: u64) -> anyhow::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(wanted.min(hard.saturating_sub(OTHERS)))
}

/// Opens as many listeners as it is told in a network namespace of its own, says the namespace, and
/// when it is told to, how many connections it accepted at each port.
fn listeners() -> Outcome {
    let count = wait_for_count()?;
    setrlimit(Resource::RLIMIT_NOFILE, count + OTHERS, count + OTHERS)?;
    own_netns()?;
    // Ports by number: to find ten thousand free ones takes the kernel longer than all the rest.
    let ports = FIRST_PORT..FIRST_PORT + u16::try_from(count)?;
    let listeners = ports
        .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
        .collect::<Result<Vec<_>, _>>()?;
    say(netns()?)?;
    wait_for_count()?;
    let mut tally = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let address = listener.local_addr()?;
        for _ in 0..connections_of(index) {
            connection(listener, address)?;
        }
        tally.push((address.port(), connections_of(index)));
    }
    say(json!(tally))?;
    // They stay until the report is made.
    wait_for_count()?;
    Ok(())
}

/// Opens as many listeners as it is told, one after the other, each for one connection, five hundred a
/// second where the machine is fast enough; and says how many there were. One more listens before them
/// for one connection, and after them for two.
fn come_and_go() -> Outcome {
    own_netns()?;
    say(netns()?)?;
    let count = wait_for_count()?;
    let again = TcpListener::bind((Ipv4Addr::LOCALHOST, AGAIN))?;
    connection(&again, again.local_addr()?)?;
    // It stops listening, and keeps its port (`inet_shutdown`, `tcp_disconnect`).
    SockRef::from(&again).shutdown(Shutdown::Both)?;
    let mut made = 0;
    while made < count {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        connection(&listener, listener.local_addr()?)?;
        drop(listener);
        made += 1;
        if made % PACE_EVERY == 0 {
            thread::sleep(PACE);
        }
    }
    SockRef::from(&again).listen(1)?;
    for _ in 0..2 {
        connection(&again, again.local_addr()?)?;
    }
    drop(again);
    say(made)?;
    wait_for_count()?;
    Ok(())
}

/// Opens and closes as many listeners as it is told, as fast as it can, and says how many; each time that it is told.
fn idle_lives() -> Outcome {
    own_netns()?;
    loop {
        let count = wait_for_count()?;
        for _ in 0..count {
            drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        }
        say(count)?;
    }
}

/// Threads that begin and end, one after the other, each for one connection and for one accept call that
/// finds nothing; with a pause after so many.
fn short_lives(at_once: u64) -> Outcome {
    own_netns()?;
    say(netns()?)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let count = wait_for_count()?;
    for life in 0..count {
        if life % at_once == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        thread::scope(|scope| {
            let life = || -> Outcome {
                drop(listener.accept()?);
                let error = listener.accept().err().context("somebody else connected")?;
                ensure!(error.kind() == ErrorKind::WouldBlock, "{error}");
                Ok(())
            };
            scope.spawn(life).join().map_err(|_panic| anyhow!("it ended in a panic"))?
        })?;
        ensure!(client.read(&mut [0])? == 0, "something else answers");
    }
    say(count)?;
    wait_for_count()?;
    Ok(())
}

/// Four threads that accept 8, 10, 12 and 14 connections and end, and three that come after them and wait.
fn shift() -> Outcome {
    own_netns()?;
    say(netns()?)?;
    let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    let address = listener.local_addr()?;
    wait_for_count()?;
    for count in [8, 10, 12, 14] {
        let own = Arc::clone(&listener);
        let worker = thread::spawn(move || (0..count).try_for_each(|_| own.accept().map(drop)));
        for _ in 0..count {
            let mut client = TcpStream::connect(address)?;
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
            ensure!(client.read(&mut [0])? == 0, "something else answers");
        }
        worker.join().map_err(|_panic| anyhow!("it ended in a panic"))??;
    }
    for _ in 0..3 {
        let own = Arc::clone(&listener);
        thread::spawn(move || own.accept().map(drop));
    }
    say(address.port())?;
    // They wait until the report is made.
    wait_for_count()?;
    Ok(())
}

/// So many lives between two pauses: fewer than 3,000 a second, of which observer frees the rows ten times a
/// second.
const LIVES_AT_ONCE: u64 = 30;

/// Ten listeners take about two milliseconds.
const PACE_EVERY: u64 = 10;
const PACE: Duration = Duration::from_millis(18);

/// One connection that is accepted, and leaves no TIME_WAIT behind.
fn connection(listener: &TcpListener, address: SocketAddr) -> Outcome {
    let mut client = TcpStream::connect(address)?;
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    drop(listener.accept()?);
    ensure!(client.read(&mut [0])? == 0, "something else answers on {address}");
    Ok(())
}

/// Processes that begin and end, one after the other, as many as it is told; and says how many.
fn forks() -> Outcome {
    let count = wait_for_count()?;
    for _ in 0..count {
        // SAFETY: the child ends at once, and calls nothing in between.
        match unsafe { fork() }.context("no more processes")? {
            ForkResult::Parent { child } => match waitpid(child, None)? {
                WaitStatus::Exited(_, 0) => {}
                other => bail!("a process ended otherwise: {other:?}"),
            },
            // SAFETY: ends this process without what the parent would do at its end.
            ForkResult::Child => unsafe { libc::_exit(0) },
        }
    }
    say(count)?;
    wait_for_count()?;
    Ok(())
}
