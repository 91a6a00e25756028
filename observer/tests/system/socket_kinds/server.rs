//! A server in a thread, which counts for itself; the kernel counts its sleeps.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, AsRawFd},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, anyhow, ensure};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::resource::{UsageWho, getrusage},
    unistd::gettid,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Outcome, observer::number};

/// What a server counted of one listener.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Tally {
    /// Inode number of the socket.
    pub inode: u64,
    /// The server's process.
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// Connections that it accepted.
    pub accepted: u64,
    /// Its accept calls that said EAGAIN.
    pub eagain: u64,
    /// Ends of its sleeps for this listener.
    pub wakeups: u64,
}

impl Tally {
    /// Nothing counted yet, by this thread.
    pub fn new(listener: &impl AsFd) -> anyhow::Result<Self> {
        let tid = u32::try_from(gettid().as_raw())?;
        let inode = inode(listener)?;
        Ok(Self { inode, pid: std::process::id(), tid, ..Self::default() })
    }
}

/// Inode number of a socket.
pub fn inode(socket: &impl AsFd) -> anyhow::Result<u64> {
    let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_fd().as_raw_fd()))?;
    let link = link.to_string_lossy();
    let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
    Ok(inode.with_context(|| format!("no socket: {link}"))?.parse()?)
}

/// Accepts once for each time that the socket is ready, as long as that fails in one way, and `most` times at most.
/// How often it failed.
pub fn failing_accepts(socket: &Socket, most: u64, errno: i32) -> anyhow::Result<u64> {
    for failures in 0..most {
        let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut wanted, PollTimeout::NONE)?;
        match socket.accept() {
            Err(error) if error.raw_os_error() == Some(errno) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(failures),
        }
    }
    Ok(most)
}

/// A listener there, prepared by `prepare` before it is bound.
pub fn listen(
    address: SocketAddr,
    protocol: Option<Protocol>,
    prepare: impl FnOnce(&Socket) -> std::io::Result<()>,
) -> anyhow::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, protocol)?;
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(64)?;
    let address = socket.local_addr()?.as_socket().context("no address")?;
    Ok((socket, address))
}

/// How often this thread has gone to sleep.
pub fn sleeps() -> anyhow::Result<u64> {
    Ok(u64::try_from(getrusage(UsageWho::RUSAGE_THREAD)?.voluntary_context_switches())?)
}

/// Serves these listeners by poll until it has accepted so many connections: each wakeup is that of
/// the listener which is ready then, and each ready listener is accepted from until EAGAIN.
pub fn serve(listeners: &[Socket], connections: u64) -> anyhow::Result<Vec<Tally>> {
    let mut tallies = listeners.iter().map(Tally::new).collect::<anyhow::Result<Vec<_>>>()?;
    for listener in listeners {
        listener.set_nonblocking(true)?;
    }
    let mut left = connections;
    while left > 0 {
        let mut descriptors: Vec<_> =
            listeners.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)).collect();
        let before = sleeps()?;
        poll(&mut descriptors, PollTimeout::NONE)?;
        let mut woken = sleeps()? - before;
        for ((listener, descriptor), tally) in listeners.iter().zip(&descriptors).zip(&mut tallies)
        {
            if !descriptor.any().unwrap_or(false) {
                continue;
            }
            tally.wakeups += std::mem::take(&mut woken);
            loop {
                match listener.accept() {
                    Ok(connection) => {
                        tally.accepted += 1;
                        left = left.saturating_sub(1);
                        drop(connection);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            tally.eagain += 1;
        }
    }
    Ok(tallies)
}

/// A server in a thread, which keeps its listeners until it is dropped or joined.
pub struct Server {
    thread: JoinHandle<anyhow::Result<(Vec<Tally>, Vec<Socket>)>>,
}

impl Server {
    /// Starts it.
    pub fn start(listeners: Vec<Socket>, connections: u64) -> Self {
        let serve = move || serve(&listeners, connections).map(|tallies| (tallies, listeners));
        Self { thread: thread::spawn(serve) }
    }

    /// What it counted, and its listeners, which still listen.
    pub fn join(self) -> anyhow::Result<(Vec<Tally>, Vec<Socket>)> {
        self.thread.join().map_err(|_| anyhow!("the server's thread panicked"))?
    }
}

/// Connects, waits until the server has closed, and resets, which leaves no TIME_WAIT.
pub fn connect(address: SocketAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address)?;
    wait_and_reset(&stream.into())
}

/// Waits until the server has closed, and resets.
pub fn wait_and_reset(socket: &Socket) -> anyhow::Result<()> {
    socket.set_linger(Some(Duration::ZERO))?;
    // A server that has not read everything resets itself.
    let _end = socket.recv(&mut [std::mem::MaybeUninit::uninit()]);
    Ok(())
}

/// The listener of a report with this inode number; there is one.
pub fn listener(report: &Value, inode: u64) -> anyhow::Result<&Value> {
    let listeners = report["listeners"].as_array().context("listeners")?;
    let found: Vec<_> = listeners.iter().filter(|one| one["inode"] == inode).collect();
    ensure!(found.len() == 1, "{} listeners with inode {inode}: {report}", found.len());
    Ok(found[0])
}

/// Holds a report's listener against what its only server counted.
pub fn check(report: &Value, tally: &Tally) -> Outcome {
    let one = listener(report, tally.inode)?;
    let eagain = one["accept_errors"]["EAGAIN"].as_u64().unwrap_or(0);
    let shown = (
        number(&one["queued"])?,
        number(&one["accepted"])?,
        number(&one["wakeups"]["total"])?,
        eagain,
    );
    let counted = (tally.accepted, tally.accepted, tally.wakeups, tally.eagain);
    ensure!(
        shown == counted,
        "queued, accepted, woken, EAGAIN are {shown:?} and not {counted:?}: {one}"
    );
    held_by(one, &[tally.pid])?;
    let workers = one["workers"].as_array().context("workers")?;
    for worker in workers {
        ensure!(worker["pid"] == tally.pid && worker["tid"] == tally.tid, "a stranger: {worker}");
    }
    let others = one["accept_errors"].as_object().context("accept_errors")?;
    ensure!(others.keys().all(|name| name == "EAGAIN"), "errors: {others:?}");
    Ok(())
}

/// Whether these processes hold it, and no others.
pub fn held_by(listener: &Value, pids: &[u32]) -> Outcome {
    let holders = listener["holders"].as_array().context("holders")?;
    let mut found =
        holders.iter().map(|one| number(&one["pid"])).collect::<anyhow::Result<Vec<_>>>()?;
    found.sort_unstable();
    found.dedup();
    let mut expected: Vec<u64> = pids.iter().map(|pid| u64::from(*pid)).collect();
    expected.sort_unstable();
    ensure!(found == expected, "held by {found:?} and not {expected:?}: {listener}");
    Ok(())
}
