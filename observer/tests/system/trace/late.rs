//! A listener that is chosen late is told of from then on.

use std::{fs, net::TcpListener, thread, time::Duration};

use anyhow::{bail, ensure};
use observer::model::What;

use super::window::Trace;
use crate::{
    Need, Outcome, Test,
    role::{Actor, connect, say, wait_for_line},
};

/// The name that the server takes.
pub const NAME: &str = "trace-late";

/// Connections before it has that name, and after.
const BEFORE: usize = 40;
const AFTER: usize = 20;

/// As long as it takes until holders are looked at again, on the slowest machine.
const LOOKED: Duration = Duration::from_secs(6);

pub fn tests() -> Vec<Test> {
    vec![Test::new("trace::a_listener_that_is_chosen_late_is_told", Need::Kernel, late)]
}

/// A server that takes another name when told to.
pub fn play(role: &str) -> Outcome {
    if role != "trace-renames" {
        bail!("no such role: {role}");
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(listener.local_addr()?.port())?;
    thread::spawn(move || {
        while let Ok(connection) = listener.accept() {
            drop(connection);
        }
    });
    wait_for_line()?;
    fs::write("/proc/self/comm", NAME)?;
    say(0)?;
    wait_for_line()
}

fn late() -> Outcome {
    let mut server = Actor::start("trace-renames")?;
    let port = server.port()?;
    let trace = Trace::start(&["--comm", NAME, "--format", "json"])?;
    for _ in 0..BEFORE {
        connect(port)?;
    }
    server.next()?;
    server.line()?;
    thread::sleep(LOOKED);
    for _ in 0..AFTER {
        connect(port)?;
    }
    let told = trace.end()?;
    ensure!(told.stderr.contains("waiting for one"), "{}", told.stderr);
    let events = told.events()?;
    let count = |is: fn(&What) -> bool| events.iter().filter(|one| is(&one.what)).count();
    let queued = count(|what| matches!(what, What::Queued { .. }));
    let accepted = count(|what| matches!(what, What::Accepted { .. }));
    ensure!(queued == AFTER && accepted == AFTER, "{queued} queued, {accepted} accepted");
    ensure!(events.iter().all(|one| one.port == Some(port)), "{events:?}");
    Ok(())
}
