//! Listeners and processes that come and go within the window.

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, on_port, only_on_port},
    role::{Actor, connect},
    workload::Workload,
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("lifecycle::a_listener_opened_in_the_window_is_counted", Need::Kernel, opened),
        Test::new("lifecycle::a_process_without_listener_is_waited_for", Need::Kernel, waited_for),
        Test::new("lifecycle::a_listener_closed_in_the_window_is_kept", Need::Kernel, closed),
        Test::new("lifecycle::a_used_again_address_makes_no_mix", Need::Kernel, reopened),
        Test::new("lifecycle::the_end_of_the_process_ends_the_window", Need::Kernel, process_ends),
        Test::new("lifecycle::no_connection_makes_no_ratio", Need::Kernel, idle),
        Test::new("lifecycle::emfile_is_an_error_and_a_failed_wakeup", Need::Kernel, emfile),
        Test::new("lifecycle::another_socket's_accept_is_not_counted", Need::Kernel, two_kinds),
        Test::new("lifecycle::what_was_before_is_not_counted", Need::Kernel, before),
    ]
}

fn opened() -> Outcome {
    let mut actor = Actor::start("listen-late")?;
    let observer = Observer::json(&["--comm", "system"])?;
    actor.next()?;
    let port = actor.port()?;
    connect(port)?;
    connect(port)?;
    // The test program's name is cut to fifteen bytes: filter by the pid instead.
    drop(observer);
    let mut actor = Actor::start("listen-late")?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    actor.next()?;
    let port = actor.port()?;
    connect(port)?;
    connect(port)?;
    let report = observer.total()?;
    let one = only_on_port(&report, port)?;
    ensure!(one["accepted"] == 2 && one["queued"] == 2 && one["closed"] == false, "{one}");
    ensure!(one["cookie"].as_u64().is_some_and(|cookie| cookie != 0), "no cookie: {one}");
    ensure!(one["holders"][0]["pid"] == actor.pid(), "holders: {}", one["holders"]);
    ensure!(one["drops"]["total"] == 0, "drops: {}", one["drops"]);
    Ok(())
}

fn waited_for() -> Outcome {
    let mut actor = Actor::start("listen-late")?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    actor.next()?;
    let port = actor.port()?;
    observer.signal(Signal::SIGINT)?;
    let ended = observer.wait()?;
    ensure!(ended.stderr.contains("waiting for one"), "it did not say so: {}", ended.stderr);
    ensure!(ended.stdout.contains(&format!("\"port\":{port}")), "not found: {}", ended.stdout);
    Ok(())
}

fn closed() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let (pid, port) = (actor.pid(), actor.port()?);
    let observer = Observer::json(&["--port", &port.to_string()])?;
    connect(port)?;
    actor.kill()?;
    let report = observer.total()?;
    let one = only_on_port(&report, port)?;
    ensure!(one["closed"] == true && one["accepted"] == 1, "{one}");
    ensure!(one["accept_queue"]["now"].is_null(), "a closed listener has no queue now");
    ensure!(one["drops"]["total"] == 0, "drops of a closed listener: {}", one["drops"]);
    ensure!(one["holders"][0]["pid"] == pid, "the last holders stay known: {}", one["holders"]);
    Ok(())
}

fn reopened() -> Outcome {
    let mut actor = Actor::start("reopen")?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    actor.next()?;
    let count = usize::from(actor.port()?);
    let report = observer.total()?;
    let listeners = report["listeners"].as_array().context("listeners")?;
    ensure!(listeners.len() == count, "{} listeners instead of {count}", listeners.len());
    for one in listeners {
        ensure!(one["accepted"] == 1 && one["queued"] == 1 && one["closed"] == true, "{one}");
    }
    Ok(())
}

fn process_ends() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    let observer = Observer::json(&["--pid", &actor.pid().to_string()])?;
    connect(port)?;
    actor.kill()?;
    // Nobody interrupts it.
    let report = observer.wait_total()?;
    let one = only_on_port(&report, port)?;
    ensure!(one["accepted"] == 1 && one["closed"] == true, "{one}");
    Ok(())
}

fn idle() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    let report = Observer::json(&["--port", &port.to_string()])?.total()?;
    let one = only_on_port(&report, port)?;
    ensure!(one["herd_ratio"].is_null() && one["wakeups"]["total"] == 0, "{one}");
    ensure!(one["workers"][0]["pid"] == actor.pid(), "who waits is a worker: {one}");
    ensure!(one["fairness"].is_null(), "one worker has no fairness: {one}");
    let nobody = Observer::start(&["--port", &port.to_string()])?;
    nobody.signal(Signal::SIGINT)?;
    let ended = nobody.wait()?;
    ensure!(ended.status.success(), "{}", ended.status);
    ensure!(ended.stdout.contains("no connection was accepted"), "not in words: {}", ended.stdout);
    Ok(())
}

fn emfile() -> Outcome {
    let mut actor = Actor::start("no-descriptors")?;
    let port = actor.port()?;
    let observer = Observer::json(&["--port", &port.to_string()])?;
    // One connection keeps the listener ready, so that it tries until it gives up.
    let client = std::net::TcpStream::connect(("127.0.0.1", port))?;
    actor.port()?;
    let report = observer.total()?;
    let one = only_on_port(&report, port)?;
    ensure!(one["accept_errors"]["EMFILE"] == 7, "errors: {}", one["accept_errors"]);
    ensure!(one["accepted"] == 0, "{one}");
    let wakeups = &one["wakeups"];
    ensure!(wakeups["failed"] == 1 && wakeups["total"] == 1, "wakeups: {wakeups}");
    ensure!(one["workers"][0]["accept_errors"]["EMFILE"] == 7, "workers: {}", one["workers"]);
    drop(client);
    Ok(())
}

/// Woken by the TCP listener, the server accepts from a Unix socket first.
fn two_kinds() -> Outcome {
    let mut actor = Actor::start("two-kinds")?;
    let port = actor.port()?;
    let observer = Observer::json(&["--port", &port.to_string()])?;
    connect(port)?;
    actor.port()?;
    let report = observer.total()?;
    let one = only_on_port(&report, port)?;
    ensure!(one["accepted"] == 1 && one["wakeups"]["won"] == 1, "{one}");
    Ok(())
}

/// What happened before the window, and who had been woken before, is not in it.
fn before() -> Outcome {
    let mut workload = Workload::start(&["--netns", "--strategy", "epoll", "--workers", "2"])?;
    workload.round()?;
    let observer = Observer::json(&["--pid", &workload.ready.pid.to_string()])?;
    let report = observer.total()?;
    let port = workload.ready.listeners.first().context("a listener")?.port;
    let found = on_port(&report, port);
    ensure!(found.len() == 1, "{} listeners", found.len());
    ensure!(number(&found[0]["wakeups"]["total"])? == 0, "{}", found[0]);
    ensure!(
        number(&found[0]["accepted"])? == 0 && number(&found[0]["queued"])? == 0,
        "{}",
        found[0]
    );
    workload.kill()
}
