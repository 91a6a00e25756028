//! No false alarm: two hundred listeners, each under a healthy load of its own that a seed chooses, in one
//! window. Strategy, workers, backlog, connections, how many come at once and how long the server takes for
//! each are random within what no user would call a fault.

use std::{
    collections::HashMap,
    env,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, ensure};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        signal::Signal,
    },
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::ids;
use crate::{
    Need, Outcome, Test,
    observer::{Observer, on_port},
    role::{Actor, as_role, say, wait_for_line},
};

/// Seed of the loads; chosen by the clock where the environment names none.
const SEED: &str = "OBSERVER_TEST_SEED";

/// How many loads there are.
const LOADS: usize = 200;

/// Clients that are there at once, over all loads.
const CLIENTS: usize = 6;

/// Nanoseconds that a client of a healthy server waits at most. Where one waited longer, the machine was busy
/// with something else, and that the server was slow is true.
const PROMPT: u64 = 40_000_000;

pub fn tests() -> Vec<Test> {
    vec![Test::new("findings::no_false_alarm_in_200_healthy_loads", Need::Kernel, healthy)]
}

fn healthy() -> Outcome {
    let seed = match env::var(SEED) {
        Ok(seed) => seed.parse()?,
        Err(_) => SystemTime::UNIX_EPOCH.elapsed()?.subsec_nanos() | 1,
    };
    eprintln!("seed of the healthy loads: {SEED}={seed}");
    let mut command = as_role("found-healthy")?;
    command.env(SEED, seed.to_string());
    let mut actor = Actor::spawn(command)?;
    let loads: Vec<Load> = serde_json::from_str(&actor.line()?)?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string(), "--duration", "1h"])?;
    actor.next()?;
    let longest: Vec<u64> = serde_json::from_str(&actor.line()?)?;
    observer.signal(Signal::SIGINT)?;
    let total = observer.wait()?.total()?;
    let (mut judged, mut busy, mut alarms) = (0, 0, Vec::new());
    for (load, longest) in loads.iter().zip(longest) {
        judged += 1;
        let accepted = |one: &&serde_json::Value| one["accepted"].as_u64().unwrap_or(0);
        let listeners = on_port(&total, load.port);
        let sum: u64 = listeners.iter().map(accepted).sum();
        ensure!(sum == load.connections, "{sum} accepted of {load:?}");
        for one in listeners {
            let mut found = ids(one)?;
            if longest > PROMPT {
                busy += 1;
                found.retain(|id| !["slow-accept", "one-worker-takes-all"].contains(id));
            }
            if !found.is_empty() {
                alarms.push(format!("{load:?}: {}", one["findings"]));
            }
        }
    }
    eprintln!("{judged} loads, {busy} of them while the machine was busy with something else");
    ensure!(judged == LOADS, "{judged} loads");
    ensure!(alarms.is_empty(), "seed {seed}, {} false alarms: {alarms:#?}", alarms.len());
    actor.kill()
}

/// One load, as the seed chose it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Load {
    port: u16,
    strategy: Strategy,
    workers: u64,
    backlog: u64,
    connections: u64,
    /// Clients that connect before the first of them is served.
    at_once: u64,
    /// Microseconds that the server takes for a connection.
    takes: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Strategy {
    /// Each worker sleeps in accept.
    Blocking,
    /// Each worker has its own epoll instance, with EPOLLEXCLUSIVE.
    Exclusive,
    /// As that without EPOLLEXCLUSIVE: a herd, at a rate that costs nothing.
    SmallHerd,
    /// One worker polls and accepts until there is nothing left.
    Loop,
    /// Each worker has its own listener.
    Reuseport,
}

/// The role: the servers and their clients.
pub fn play() -> Outcome {
    let mut random = Random(env::var(SEED)?.parse()?);
    let mut loads = Vec::new();
    for _ in 0..LOADS {
        loads.push(serve(&mut random)?);
    }
    say(serde_json::to_string(&loads)?)?;
    wait_for_line()?;
    let loads = Arc::new(loads);
    let (next, longest) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(HashMap::new())));
    let clients = (0..CLIENTS).map(|_| {
        let (loads, next, longest) = (loads.clone(), next.clone(), longest.clone());
        thread::spawn(move || -> Outcome {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(load) = loads.get(number) else { return Ok(()) };
                let waited = run(load).with_context(|| format!("{load:?}"))?;
                longest.lock().unwrap_or_else(PoisonError::into_inner).insert(number, waited);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.join().map_err(|_| anyhow::anyhow!("a client ended early"))??;
    }
    let longest = longest.lock().unwrap_or_else(PoisonError::into_inner);
    let all: Option<Vec<u64>> = (0..LOADS).map(|number| longest.get(&number).copied()).collect();
    say(serde_json::to_string(&all.context("a load was not run")?)?)?;
    wait_for_line()
}

/// Starts a server.
fn serve(random: &mut Random) -> anyhow::Result<Load> {
    let strategy = [
        Strategy::Blocking,
        Strategy::Exclusive,
        Strategy::SmallHerd,
        Strategy::Loop,
        Strategy::Reuseport,
    ][random.index(5)];
    let mut load = Load {
        port: 0,
        strategy,
        workers: if matches!(strategy, Strategy::Loop) { 1 } else { random.of(1, 4) },
        backlog: [16, 64, 128, 511, 4096][random.index(5)],
        // What a herd of four wakes for nothing in the seconds of the window stays below a hundred a second.
        connections: random.of(0, if matches!(strategy, Strategy::SmallHerd) { 20 } else { 60 }),
        at_once: random.of(1, 4),
        takes: random.of(0, 3_000),
    };
    let shared = listen(&load)?;
    load.port = shared.local_addr()?.port();
    for worker in 0..load.workers {
        let listener = match strategy {
            Strategy::Reuseport if worker > 0 => listen(&load)?,
            _ => shared.try_clone()?,
        };
        let load = load.clone();
        thread::Builder::new().stack_size(64 << 10).spawn(move || work(&listener, &load))?;
    }
    // The descriptor stays open as long as the clones that the workers have.
    Ok(load)
}

fn listen(load: &Load) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(matches!(load.strategy, Strategy::Reuseport))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, load.port)).into())?;
    socket.listen(i32::try_from(load.backlog)?)?;
    socket.set_nonblocking(!matches!(load.strategy, Strategy::Blocking | Strategy::Reuseport))?;
    Ok(socket.into())
}

/// A worker, for ever.
fn work(listener: &TcpListener, load: &Load) -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let flags = match load.strategy {
        Strategy::Exclusive => Some(EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE),
        Strategy::SmallHerd => Some(EpollFlags::EPOLLIN),
        _ => None,
    };
    if let Some(flags) = flags {
        epoll.add(listener, EpollEvent::new(flags, 0))?;
    }
    loop {
        if flags.is_some() {
            epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
        } else if matches!(load.strategy, Strategy::Loop) {
            poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        }
        // A blocking accept returns with one.
        while let Ok((mut client, _)) = listener.accept() {
            client.set_nonblocking(false)?;
            client.write_all(b"x")?;
            thread::sleep(Duration::from_micros(load.takes));
        }
    }
}

/// Makes the connections of a load; the longest that a client waited for its answer, in nanoseconds.
fn run(load: &Load) -> anyhow::Result<u64> {
    let mut longest = 0;
    let mut left = load.connections;
    while left > 0 {
        let at_once = left.min(load.at_once);
        left -= at_once;
        let began = Instant::now();
        let connect = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, load.port));
        let clients: Vec<TcpStream> = (0..at_once).map(connect).collect::<Result<_, _>>()?;
        for mut client in clients {
            ensure!(client.read(&mut [0])? == 1, "no answer");
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        }
        longest = longest.max(u64::try_from(began.elapsed().as_nanos())?);
    }
    Ok(longest)
}

/// Numbers that a seed decides (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// One of these, both included.
    fn of(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// A place in an array of so many.
    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % count
    }
}
