//! The client of a workload.

use std::{
    io::Read,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::ValueEnum;
use socket2::{Domain, Socket, Type};

use super::asleep::Watch;

/// How long a connection may take to be served.
const PATIENCE: Duration = Duration::from_secs(20);
/// Clients of a burst: enough to keep the server from ever being idle on a small machine.
const BURST_CLIENTS: usize = 2;

/// When the client makes its next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pace {
    /// When every worker sleeps
    Quiesce,
    /// When the one before is served, from two clients at a time
    Burst,
}

/// Makes the connections, and returns the time that they took, added up.
pub(super) fn load(
    pace: Pace,
    to: SocketAddr,
    connections: u64,
    watch: &Watch<'_>,
) -> anyhow::Result<Duration> {
    match pace {
        Pace::Quiesce => {
            let mut taken = Duration::ZERO;
            for _ in 0..connections {
                watch.all_asleep()?;
                taken += connect(to)?;
            }
            Ok(taken)
        }
        Pace::Burst => burst(to, connections),
    }
}

fn burst(to: SocketAddr, connections: u64) -> anyhow::Result<Duration> {
    let begun = AtomicU64::new(0);
    let client = || {
        let mut taken = Duration::ZERO;
        while begun.fetch_add(1, Relaxed) < connections {
            taken += connect(to)?;
        }
        anyhow::Ok(taken)
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..BURST_CLIENTS)
            .map(|_| thread::Builder::new().name("demo-client".into()).spawn_scoped(scope, client))
            .collect();
        clients.into_iter().try_fold(Duration::ZERO, |sum, client| {
            let taken = client
                .context("starting a client thread failed; raise the limit on threads")?
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            anyhow::Ok(sum + taken)
        })
    })
}

/// One connection: connect, wait for the server's close, reset. Returns how long it took to be
/// served.
fn connect(to: SocketAddr) -> anyhow::Result<Duration> {
    let mut socket = Socket::new(Domain::for_address(to), Type::STREAM, None)
        .context("making a client socket failed; raise the limit on open files")?;
    // The close sends RST, which ends the server's half at once: neither side is left with a
    // socket in TIME_WAIT that occupies a port, and no listener hears of it.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let start = Instant::now();
    socket.connect(&to.into()).with_context(|| format!("connecting to {to} failed; run again"))?;
    let length = socket
        .read(&mut [0])
        .with_context(|| format!("no worker served a connection to {to}; run again"))?;
    anyhow::ensure!(length == 0, "something else than this server answers on {to}; use --netns");
    Ok(start.elapsed())
}
