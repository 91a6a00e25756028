//! Listeners and processes that come and go within the window.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, only_on_port},
    role::{Actor, connect, own_netns, say, wait_for_line},
    schema::parse_report,
    shared_run::{Begin, Play, in_the_report, in_the_window},
    workload::Workload,
};

pub fn tests() -> Vec<Test> {
    let alone = |name, run: fn() -> Outcome| Test::new(name, Need::Kernel, run);
    let together = |name, begin: Begin| Test::together(name, Need::Kernel, begin);
    vec![
        together("lifecycle::a_listener_opened_in_the_window_is_counted", opened),
        alone("lifecycle::a_process_without_listener_is_waited_for", waited_for),
        alone("lifecycle::a_namespace_that_was_empty_is_looked_at_once_somebody_listens", apart),
        together("lifecycle::a_listener_closed_in_the_window_is_kept", closed),
        together("lifecycle::a_listener_closed_before_anything_happened_is_kept", closed_idle),
        together("lifecycle::a_used_again_address_makes_no_mix", reopened),
        alone("lifecycle::the_end_of_the_process_ends_the_window", process_ends),
        together("lifecycle::no_connection_makes_no_ratio", idle),
        together("lifecycle::emfile_is_an_error_and_a_failed_wakeup", emfile),
        together("lifecycle::another_socket's_accept_is_not_counted", two_kinds),
        together("lifecycle::what_was_before_is_not_counted", before),
    ]
}

fn opened() -> anyhow::Result<Play> {
    let mut actor = Actor::start("listen-late")?;
    in_the_window(move || {
        actor.next()?;
        let port = actor.port()?;
        connect(port)?;
        connect(port)?;
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(one["accepted"] == 2 && one["queued"] == 2 && one["closed"] == false, "{one}");
            ensure!(one["cookie"].as_u64().is_some_and(|cookie| cookie != 0), "no cookie: {one}");
            ensure!(one["holders"][0]["pid"] == actor.pid(), "holders: {}", one["holders"]);
            ensure!(one["drops"]["total"] == 0, "drops: {}", one["drops"]);
            Ok(())
        })
    })
}

/// A namespace in which nothing listens is not entered for each report.
fn apart() -> Outcome {
    let mut actor = Actor::start("listens-apart")?;
    ensure!(actor.line()?.trim() == "ready", "it is not ready");
    let pid = actor.pid().to_string();
    let mut observer = Observer::json(&["--interval", "100ms", "--pid", &pid])?;
    let mut lines = BufReader::new(observer.take_stdout()?).lines();
    for _ in 0..2 {
        let report = parse_report(&lines.next().context("no report")??)?;
        ensure!(report["listeners"].as_array().is_some_and(Vec::is_empty), "{report}");
    }
    actor.next()?;
    let port = actor.port()?;
    for line in lines.by_ref().take(100) {
        let report = parse_report(&line?)?;
        let one = report["listeners"].as_array().context("listeners")?.first();
        // What only a look from within the namespace tells. Whoever holds it is looked for as often as that may cost.
        let is_seen = |one: &Value| {
            one["backlog"]["somaxconn"].is_u64() && one["holders"][0]["pid"] == actor.pid()
        };
        if one.is_some_and(is_seen) {
            let one = only_on_port(&report, port)?;
            ensure!(one["accept_queue"]["limit"] == 5, "{}", one["accept_queue"]);
            observer.signal(Signal::SIGINT)?;
            let total = lines.last().context("no total")??;
            let total = parse_report(&total)?;
            let one = only_on_port(&total, port)?;
            ensure!(one["accepted"] == 3 && one["queued"] == 3, "{one}");
            ensure!(one["holders"][0]["pid"] == actor.pid(), "holders: {}", one["holders"]);
            return Ok(());
        }
    }
    bail!("the namespace was not looked at")
}

/// The role: one that listens in a namespace of its own when told to, and accepts three connections of its own.
pub fn listens_apart() -> Outcome {
    own_netns()?;
    say("ready")?;
    wait_for_line()?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(5)?;
    let listener = TcpListener::from(socket);
    for _ in 0..3 {
        let _client = TcpStream::connect(listener.local_addr()?)?;
        drop(listener.accept()?);
    }
    say(listener.local_addr()?.port())?;
    // The end of the input is that of the test.
    let _ended = wait_for_line();
    Ok(())
}

fn waited_for() -> Outcome {
    let mut actor = Actor::start("listen-late")?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    actor.next()?;
    let port = actor.port()?;
    connect(port)?;
    connect(port)?;
    observer.signal(Signal::SIGINT)?;
    let ended = observer.wait()?;
    ensure!(ended.stderr.contains("waiting for one"), "it did not say so: {}", ended.stderr);
    let total = ended.total()?;
    let one = only_on_port(&total, port)?;
    ensure!(one["accepted"] == 2 && one["queued"] == 2 && one["closed"] == false, "{one}");
    Ok(())
}

fn closed() -> anyhow::Result<Play> {
    let mut actor = Actor::start("listen")?;
    let (pid, port) = (actor.pid(), actor.port()?);
    in_the_window(move || {
        connect(port)?;
        actor.kill()?;
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(one["closed"] == true && one["accepted"] == 1, "{one}");
            ensure!(one["accept_queue"]["now"].is_null(), "a closed listener has no queue now");
            let drops = &one["drops"];
            ensure!(drops["total"] == 0, "drops of a closed listener: {drops}");
            let holders = &one["holders"];
            ensure!(holders[0]["pid"] == pid, "the last holders stay known: {holders}");
            Ok(())
        })
    })
}

/// The kernel takes back a port that it had chosen before anybody is told that the listener closes.
fn closed_idle() -> anyhow::Result<Play> {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    in_the_window(move || {
        actor.kill()?;
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(one["closed"] == true && one["accepted"] == 0, "{one}");
            Ok(())
        })
    })
}

fn reopened() -> anyhow::Result<Play> {
    let mut actor = Actor::start("reopen")?;
    let netns: u64 = actor.line()?.trim().parse()?;
    in_the_window(move || {
        actor.next()?;
        let count = usize::from(actor.port()?);
        in_the_report(move |report| {
            let listeners = report.all_in(netns)?;
            ensure!(listeners.len() == count, "{} listeners instead of {count}", listeners.len());
            for one in listeners {
                ensure!(one["accepted"] == 1 && one["queued"] == 1, "{one}");
                ensure!(one["closed"] == true, "{one}");
            }
            drop(actor);
            Ok(())
        })
    })
}

fn process_ends() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    connect(port)?;
    actor.kill()?;
    // Nobody interrupts it.
    let ended = observer.wait()?;
    ensure!(ended.stderr.contains("ended, and the window with it"), "{}", ended.stderr);
    let total = ended.total()?;
    let one = only_on_port(&total, port)?;
    ensure!(one["accepted"] == 1 && one["closed"] == true, "{one}");
    Ok(())
}

fn idle() -> anyhow::Result<Play> {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    in_the_window(move || {
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(one["herd_ratio"].is_null() && one["wakeups"]["total"] == 0, "{one}");
            ensure!(one["workers"][0]["pid"] == actor.pid(), "who waits is a worker: {one}");
            ensure!(one["fairness"].is_null(), "one worker has no fairness: {one}");
            let nobody = Observer::start(&["--port", &port.to_string()])?;
            nobody.signal(Signal::SIGINT)?;
            let ended = nobody.wait()?;
            ensure!(ended.status.success(), "{}", ended.status);
            let said = ended.stdout;
            ensure!(said.contains("no connection was accepted"), "not in words: {said}");
            Ok(())
        })
    })
}

fn emfile() -> anyhow::Result<Play> {
    let mut actor = Actor::start("no-descriptors")?;
    let port = actor.port()?;
    in_the_window(move || {
        // One connection keeps the listener ready, so that it tries until it gives up.
        let client = std::net::TcpStream::connect(("127.0.0.1", port))?;
        actor.port()?;
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(one["accept_errors"]["EMFILE"] == 7, "errors: {}", one["accept_errors"]);
            ensure!(one["accepted"] == 0, "{one}");
            ensure!(one["findings"][0]["id"] == "fd-exhausted", "findings: {}", one["findings"]);
            let wakeups = &one["wakeups"];
            ensure!(wakeups["failed"] == 1 && wakeups["total"] == 1, "wakeups: {wakeups}");
            let worker = &one["workers"][0];
            ensure!(worker["accept_errors"]["EMFILE"] == 7, "workers: {}", one["workers"]);
            drop((client, actor));
            Ok(())
        })
    })
}

/// Woken by the TCP listener, the server accepts from a Unix socket first.
fn two_kinds() -> anyhow::Result<Play> {
    let mut actor = Actor::start("two-kinds")?;
    let port = actor.port()?;
    in_the_window(move || {
        connect(port)?;
        actor.port()?;
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(one["accepted"] == 1 && one["wakeups"]["won"] == 1, "{one}");
            drop(actor);
            Ok(())
        })
    })
}

/// What happened before the window, and who had been woken before, is not in it.
fn before() -> anyhow::Result<Play> {
    let mut workload = Workload::start(&["--netns", "--strategy", "epoll", "--workers", "2"])?;
    workload.round()?;
    in_the_window(move || {
        in_the_report(move |report| {
            let port = workload.ready.listeners.first().context("a listener")?.port;
            let one = report.only_in(workload.ready.netns, port)?;
            ensure!(number(&one["wakeups"]["total"])? == 0, "{one}");
            ensure!(number(&one["accepted"])? == 0 && number(&one["queued"])? == 0, "{one}");
            workload.kill()
        })
    })
}
