//! A real herd among real listeners: what a stranger sees first.

use std::{
    net::{Ipv4Addr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};

use super::tmux::Terminal;
use crate::{
    Need, Outcome, Test,
    observer::provider,
    role::{Actor, as_role, say},
    workload::Workload,
};

/// Listeners on which nothing happens.
const OTHERS: usize = 300;

/// Longest that it may take: what is asserted is that it comes, and not when.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("top::the_herd_comes_first_among_300", Need::Kernel, herd),
        Test::new("top::a_listener_comes_and_goes", Need::Kernel, comes_and_goes),
    ]
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "top-listeners" => listeners(),
        other => bail!("no role {other}"),
    }
}

fn listeners() -> Outcome {
    let all = (0..OTHERS).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    say(all.len())?;
    loop {
        thread::park();
    }
}

/// Arguments of a live one.
fn arguments() -> String {
    provider().map(|provider| format!("--provider {provider}")).unwrap_or_default()
}

fn herd() -> Outcome {
    let mut others = Actor::spawn(as_role("top-listeners")?)?;
    let _all = others.line()?;
    let strategy = ["--strategy", "epoll", "--workers", "8", "--connections", "100"];
    let mut herd = Workload::start(&[&strategy[..], &["--pace", "burst"]].concat())?;
    let port = herd.ready.listeners[0].port;
    // Nobody else's: other servers of this machine may be in worse trouble.
    let (pid, others) = (herd.ready.pid, others.pid());
    let terminal = Terminal::open((80, 24), &[])?;
    terminal.start_top(&format!("--pid {pid} --pid {others} {}", arguments()))?;
    let end = Instant::now() + PATIENCE;
    let screen = loop {
        herd.round()?;
        let screen = terminal.screen()?;
        let is_first =
            screen.lines().nth(2).is_some_and(|line| line.contains(&format!(":{port} ")));
        if is_first
            && screen.contains("thundering herd")
            && screen.contains("fix: Use EPOLLEXCLUSIVE")
        {
            break screen;
        }
        ensure!(Instant::now() < end, "the herd on port {port} is not the first:\n{screen}");
    };
    ensure!(screen.contains("with epoll, none with EPOLLEXCLUSIVE"), "no cause: {screen}");
    herd.quit()?;
    terminal.press("q", "observer top watched")?;
    Ok(())
}

fn comes_and_goes() -> Outcome {
    let terminal = Terminal::open((80, 24), &[])?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    drop(listener);
    terminal.line(&format!(
        "{} top --port {port} {}",
        crate::observer::program().display(),
        arguments()
    ))?;
    terminal.shows(&format!("no listener matches --port {port} yet; waiting for one"))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    terminal.shows(&format!("── 127.0.0.1:{port} "))?;
    drop(listener);
    terminal.shows(&format!("── 127.0.0.1:{port} closed"))?;
    Ok(())
}
