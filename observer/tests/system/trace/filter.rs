//! What nobody asked for makes no event in the kernel.

use anyhow::{Context as _, ensure};

use super::window::{Told, Trace};
use crate::{
    Need, Outcome, Test,
    role::{Actor, as_role, connect},
    workload::Workload,
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("trace::a_neighbour_makes_no_event::port", Need::Kernel, || neighbour(by_port)),
        Test::new("trace::a_neighbour_makes_no_event::pid", Need::Kernel, || neighbour(by_pid)),
        Test::new("trace::a_neighbour_makes_no_event::comm", Need::Kernel, || neighbour(by_comm)),
        Test::new("trace::drops_of_a_neighbour_make_no_event", Need::Kernel, drops),
        Test::new("trace::a_newborn_neighbour_is_left_alone", Need::Kernel, newborn),
        Test::new("trace::a_newborn_neighbour_is_heard_until_decided", Need::Kernel, undecided),
    ]
}

/// Connections that the one makes which is asked for.
const OWN: u64 = 3;

fn by_port(_: &mut Actor, port: u16) -> anyhow::Result<[String; 2]> {
    Ok(["--port".to_owned(), port.to_string()])
}

fn by_pid(server: &mut Actor, _: u16) -> anyhow::Result<[String; 2]> {
    Ok(["--pid".to_owned(), server.pid().to_string()])
}

fn by_comm(server: &mut Actor, _: u16) -> anyhow::Result<[String; 2]> {
    server.next()?;
    server.line()?;
    Ok(["--comm".to_owned(), super::late::NAME.to_owned()])
}

/// A server that is asked for, and all kinds of events of it.
fn trace(filter: &[String]) -> anyhow::Result<Trace> {
    let filter: Vec<&str> = filter.iter().map(String::as_str).collect();
    Trace::start(&[filter.as_slice(), &["--format", "json"]].concat())
}

/// What was sent is what is told, but for tasks that an interrupt woke within a notification.
fn only_its_own(told: &Told, port: u16) -> Outcome {
    let events = told.events()?;
    let accepted =
        events.iter().filter(|one| matches!(one.what, observer::model::What::Accepted { .. }));
    ensure!(accepted.count() as u64 == OWN, "{events:?}");
    ensure!(events.iter().all(|one| one.port == Some(port)), "{events:?}");
    let sent = told.report.audit.events_sent.context("events were asked for")?;
    // One that nobody is told of is a wakeup with its outcome.
    ensure!(sent <= 2 * events.len() as u64, "{sent} were sent, and {} told", events.len());
    ensure!(sent >= events.len() as u64 - OWN, "{sent} were sent, and {} told", events.len());
    Ok(())
}

fn neighbour(filter: fn(&mut Actor, u16) -> anyhow::Result<[String; 2]>) -> Outcome {
    let mut server = Actor::start("trace-renames")?;
    let port = server.port()?;
    let arguments = ["--strategy", "epoll", "--workers", "4", "--connections", "300", "--netns"];
    let mut workload = Workload::start(&arguments)?;
    let trace = trace(&filter(&mut server, port)?)?;
    workload.round()?;
    for _ in 0..OWN {
        connect(port)?;
    }
    let told = trace.end()?;
    workload.quit()?;
    only_its_own(&told, port)
}

/// Drops are counted on all ports, for the audit of the namespace.
fn drops() -> Outcome {
    let mut server = Actor::start("listen")?;
    let port = server.port()?;
    let mut full = Actor::spawn(as_role("overflow-reborn")?)?;
    let _netns = full.line()?;
    full.port()?;
    let trace = trace(&by_port(&mut server, port)?)?;
    full.ask(200)?;
    ensure!(full.line()?.trim() == "200", "it did not refuse");
    for _ in 0..OWN {
        connect(port)?;
    }
    only_its_own(&trace.end()?, port)
}

/// One that begins to listen, by a process that is not asked for, is never heard. On a machine where others begin to listen
/// just when a window opens, these may be.
fn newborn() -> Outcome {
    const TRIES: usize = 4;
    for _ in 1..TRIES {
        if sent_of_newborn()? == 0 {
            return Ok(());
        }
    }
    let sent = sent_of_newborn()?;
    ensure!(sent == 0, "{sent} events were sent of 2000 connections that nobody asked for");
    Ok(())
}

fn sent_of_newborn() -> anyhow::Result<u64> {
    let mut server = Actor::start("listen")?;
    let port = server.port()?;
    let trace = trace(&by_pid(&mut server, port)?)?;
    let arguments = ["--strategy", "epoll", "--workers", "2", "--connections", "1000", "--netns"];
    let mut workload = Workload::start(&arguments)?;
    workload.round()?;
    workload.round()?;
    let told = trace.end()?;
    workload.quit()?;
    ensure!(told.events()?.is_empty(), "{}", told.stdout);
    told.report.audit.events_sent.context("events were asked for")
}

/// Where it is not known at once whose a listener is that begins, it is heard until it is.
fn undecided() -> Outcome {
    let trace = trace(&["--comm".to_owned(), "nobody-has-it".to_owned()])?;
    let arguments = ["--strategy", "epoll", "--workers", "2", "--connections", "1000", "--netns"];
    let mut workload = Workload::start(&arguments)?;
    workload.round()?;
    workload.round()?;
    let told = trace.end()?;
    workload.quit()?;
    ensure!(told.events()?.is_empty(), "{}", told.stdout);
    let sent = told.report.audit.events_sent.context("events were asked for")?;
    // Its birth was sent. Each connection would be four events and more.
    ensure!((1..4_000).contains(&sent), "{sent} events were sent of 2000 connections");
    Ok(())
}
