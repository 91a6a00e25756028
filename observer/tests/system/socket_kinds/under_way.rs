//! Accept calls that begin and end all the time while observer's programs are attached one after the other:
//! each connection is accepted once.

use std::{
    net::{Ipv4Addr, Shutdown},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use nix::sys::signal::Signal;

use super::server::{connect, inode, listen, listener};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, number},
};

/// Tasks in accept.
const TASKS: u64 = 300;
/// Connections: each task takes one about, whenever its call began.
const CONNECTIONS: u64 = TASKS;
/// How long each call takes if no connection comes.
const LIMIT: Duration = Duration::from_secs(4);

pub fn tests() -> Vec<Test> {
    vec![Test::new(
        "socket_kinds::accepts_under_way_when_observer_begins_are_counted_once",
        Need::Kernel,
        once,
    )]
}

fn once() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    socket.set_read_timeout(Some(LIMIT))?;
    let accepted = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let (socket, accepted) = (socket.try_clone()?, accepted.clone());
        let serve = move || {
            loop {
                match socket.accept() {
                    Ok(_) => drop(accepted.fetch_add(1, SeqCst)),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    // It listens no more.
                    Err(_) => return,
                }
            }
        };
        tasks.push(thread::Builder::new().stack_size(64 << 10).spawn(serve)?);
        // Their calls end and begin at different times.
        thread::sleep(Duration::from_millis(5));
    }
    let port = address.port().to_string();
    let observer = Observer::json(&["-vv", "--port", &port, "--duration", "1h"])?;
    for _ in 0..CONNECTIONS {
        connect(address)?;
    }
    observer.signal(Signal::SIGINT)?;
    let ended = observer.wait()?;
    let said = ended.stderr.clone();
    let report = ended.total()?;
    let inode = inode(&socket)?;
    socket.shutdown(Shutdown::Both)?;
    for task in tasks {
        task.join().map_err(|_| anyhow!("a task panicked"))?;
    }
    let one = listener(&report, inode)?;
    let shown = (number(&one["queued"])?, number(&one["accepted"])?);
    let counted = accepted.load(SeqCst);
    ensure!(counted == CONNECTIONS, "the server accepted {counted}");
    ensure!(shown == (counted, counted), "queued and accepted are {shown:?}, not {counted}");
    // What is made good was missed before: nothing else is taken off.
    let (skipped, recovered) = said
        .lines()
        .rev()
        .find_map(|line| {
            let (skipped, rest) =
                line.strip_prefix("debug: ")?.split_once(" runs were skipped, ")?;
            let recovered = rest.strip_suffix(" of them made good")?;
            Some((skipped.parse::<u64>().ok()?, recovered.parse::<u64>().ok()?))
        })
        .context("observer does not say how many runs were skipped")?;
    ensure!(recovered <= skipped, "{skipped} runs were skipped, and {recovered} made good");
    Ok(())
}
