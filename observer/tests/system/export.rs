//! `observer export`: what is scraped is what the workload counted, whoever else connects.

mod flight;
mod hostile;
mod page;
mod prometheus;
mod running;
mod secure;
mod syscalls;

use std::{collections::BTreeMap, os::unix::process::CommandExt as _, process::Command};

use anyhow::ensure;

pub use self::running::play_reborn;
use self::{page::Page, running::Exporter};
use crate::{
    Need, Outcome, Test,
    harmless::fuse,
    observer::run,
    role::Actor,
    workload::{Tally, Workload},
};

pub fn tests() -> Vec<Test> {
    let own = vec![
        Test::new("export::values_are_those_of_the_workload", Need::Kernel, values),
        Test::new("export::counters_go_on_after_a_rebirth", Need::Kernel, reborn),
        Test::new("export::two_scrapers_see_the_same", Need::Kernel, two_scrapers),
        Test::new("export::formats_are_as_asked_for", Need::Kernel, formats),
        Test::new("export::series_are_bounded", Need::Kernel, bounded),
        Test::new("export::workers_are_told_where_asked_for", Need::Kernel, workers),
        Test::new("export::a_socket_of_systemd_is_served_on", Need::Kernel, passed),
        Test::new("export::what_cannot_be_served_is_said", Need::Nothing, refused),
    ];
    own.into_iter()
        .chain(hostile::tests())
        .chain(secure::tests())
        .chain(flight::tests())
        .chain(prometheus::tests())
        .chain(syscalls::tests())
        .collect()
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "export-passed" => running::play_passed(),
        "export-reborn" => running::play_reborn(),
        "export-exhausted" => flight::play_exhausted(),
        "export-silent-disk" => fuse::play(fuse::Trap::listing()),
        other => anyhow::bail!("no role {other}"),
    }
}

/// Connections of rounds, and what their workers did.
pub fn sum(tallies: &[Tally]) -> BTreeMap<&'static str, u64> {
    let workers = || tallies.iter().flat_map(|tally| &tally.workers);
    BTreeMap::from([
        ("connections", tallies.iter().map(|tally| tally.connections).sum()),
        ("accepted", workers().map(|worker| worker.accepted).sum()),
        ("eagain", workers().map(|worker| worker.eagain).sum()),
    ])
}

/// The value of a counter of the listeners on a port, whichever other labels there are.
fn on_port(page: &Page, name: &str, port: u16) -> f64 {
    page.sum(name, &[("port", &port.to_string())])
}

fn values() -> Outcome {
    for strategy in ["epoll", "epoll-exclusive", "reuseport"] {
        let arguments = ["--strategy", strategy, "--workers", "4", "--netns"];
        let mut server = Workload::start(&arguments)?;
        let port = server.ready.listeners[0].port;
        let exporter = Exporter::start(&["--pid", &server.id().to_string()])?;
        exporter.next_report()?;
        let tallies = [server.round()?, server.round()?];
        exporter.next_report()?;
        let counted = sum(&tallies);
        let page = exporter.page()?;
        let is = |name: &str, expected: u64| {
            let value = on_port(&page, name, port);
            #[expect(clippy::cast_precision_loss, reason = "a few hundred connections")]
            let expected = expected as f64;
            ensure!(
                (value - expected).abs() < 0.5,
                "{strategy}: {name} is {value}, not {expected}"
            );
            Ok(())
        };
        is("observer_connections_queued_total", counted["connections"])?;
        is("observer_connections_accepted_total", counted["accepted"])?;
        is("observer_accept_queue_depth_count", counted["connections"])?;
        is("observer_accept_wait_seconds_count", counted["accepted"])?;
        is("observer_listeners", server.ready.listeners.len() as u64)?;
        is("observer_drops_total", 0)?;
        let eagain = page.sum("observer_accept_errors_total", &[("errno", "EAGAIN")]);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred calls")]
        let expected = counted["eagain"] as f64;
        ensure!((eagain - expected).abs() < 0.5, "{strategy}: EAGAIN is {eagain}, not {expected}");
        let labels = page.labels_of("observer_connections_queued_total", port)?;
        ensure!(
            // Of a listener that is shared, who opened it; of a member of a group, its worker.
            ["observer", "demo-worker"].contains(&labels["process"].as_str())
                && labels["address"] == "127.0.0.1",
            "{labels:?}"
        );
        ensure!(labels["netns"] == server.ready.netns.to_string(), "{labels:?}");
        ensure!(!labels.contains_key("pid"), "{labels:?}");
        let won = page.sum("observer_wakeups_total", &[("outcome", "won")]);
        ensure!(won > 0.0, "{strategy}: nobody won");
        for signal in ["wakeups", "accepts", "handshakes", "drops"] {
            let exact = page.sum("observer_signal_exact", &[("signal", signal)]);
            ensure!(page.has("observer_signal_exact", &[("signal", signal)]), "no {signal}");
            ensure!(exact < 1.5, "{exact}");
        }
        server.quit()?;
        exporter.end()?;
    }
    Ok(())
}

/// A listener that closes and is born again at the same place, five times: no counter ever falls, and in the end all of
/// them are there.
fn reborn() -> Outcome {
    let mut actor = Actor::start("export-reborn")?;
    let port = actor.port()?;
    let exporter = Exporter::start(&["--pid", &actor.pid().to_string()])?;
    let (mut before, mut made) = (exporter.page()?, 0.0);
    for connections in [3_u8, 1, 7, 2, 5] {
        actor.ask(connections.into())?;
        actor.line()?;
        made += f64::from(connections);
        exporter.next_report()?;
        let page = exporter.page()?;
        page.never_falls(&before)?;
        before = page;
        let accepted = on_port(&before, "observer_connections_accepted_total", port);
        ensure!((accepted - made).abs() < 0.5, "{accepted} of {made}");
    }
    let series =
        before.count("observer_connections_accepted_total", &[("port", &port.to_string())]);
    ensure!(series == 1, "{series} series of one place");
    ensure!(
        !before.has("observer_listeners", &[("port", &port.to_string())]),
        "it listens no more"
    );
    // The process that was named ends, and the window with it.
    actor.kill()?;
    exporter.ended()
}

/// Scrapes in between take nothing from each other or from a window.
fn two_scrapers() -> Outcome {
    let mut server = Workload::start(&["--strategy", "epoll", "--workers", "2", "--netns"])?;
    let exporter = Exporter::start(&["--pid", &server.id().to_string()])?;
    exporter.next_report()?;
    let mut made = 0;
    for _ in 0..3 {
        made += server.round()?.connections;
        // Whoever scrapes in between changes nothing of what is counted.
        for _ in 0..5 {
            exporter.page()?;
        }
    }
    exporter.next_report()?;
    let port = server.ready.listeners[0].port;
    let (one, other) = (exporter.page()?, exporter.page()?);
    let name = "observer_connections_accepted_total";
    let (first, second) = (on_port(&one, name, port), on_port(&other, name, port));
    #[expect(clippy::cast_precision_loss, reason = "a few hundred connections")]
    let made = made as f64;
    ensure!((first - made).abs() < 0.5 && (second - made).abs() < 0.5, "{first}, {second}, {made}");
    // Within one report they are the same to the last byte, if no report came in between.
    let at = "observer_report_timestamp_seconds";
    let is_same_report = (one.sum(at, &[]) - other.sum(at, &[])).abs() < 1e-9;
    ensure!(!is_same_report || one.text == other.text, "two pages of one report differ");
    server.quit()?;
    exporter.end()
}

fn formats() -> Outcome {
    let exporter = Exporter::start(&["--port", "1"])?;
    exporter.next_report()?;
    let (head, body) =
        exporter.get("/metrics", &["Accept: application/openmetrics-text;version=1.0.0"])?;
    ensure!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    ensure!(
        body.ends_with("# EOF\n") && body.contains("# TYPE observer_reports counter"),
        "{body}"
    );
    let (head, body) = exporter.get("/metrics", &[])?;
    ensure!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    ensure!(body.contains("# TYPE observer_reports_total counter"), "{body}");
    for (path, status) in
        [("/healthz", "200"), ("/readyz", "200"), ("/", "200"), ("/metric", "404")]
    {
        let (head, _) = exporter.get(path, &[])?;
        ensure!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
    }
    exporter.end()
}

/// More listeners than there is room for: so many series are there, and how many had no room is told.
fn bounded() -> Outcome {
    let listeners: Vec<_> =
        (0..40).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let pid = std::process::id().to_string();
    let exporter = Exporter::start(&["--pid", &pid, "--max-series", "200"])?;
    exporter.next_report()?;
    let page = exporter.page()?;
    let mine = page.samples_with_label("address");
    ensure!(mine > 50 && mine <= 200, "{mine} series of listeners");
    ensure!(page.sum("observer_series_limit", &[]) > 199.0, "the limit");
    let left_out = page.sum("observer_series_left_out", &[]);
    ensure!(left_out > 100.0, "{left_out} left out");
    drop(listeners);
    exporter.end()
}

fn workers() -> Outcome {
    let mut server = Workload::start(&["--strategy", "epoll", "--workers", "3", "--netns"])?;
    let exporter = Exporter::start(&["--pid", &server.id().to_string(), "--per-worker"])?;
    exporter.next_report()?;
    let tally = server.round()?;
    exporter.next_report()?;
    let page = exporter.page()?;
    for worker in &tally.workers {
        let tid = worker.tid.to_string();
        let accepted = page.sum("observer_worker_accepted_total", &[("tid", &tid)]);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred connections")]
        let expected = worker.accepted as f64;
        ensure!((accepted - expected).abs() < 0.5, "{tid}: {accepted} of {expected}");
    }
    server.quit()?;
    exporter.end()
}

/// As systemd passes it: descriptor 3, and the environment says so.
fn passed() -> Outcome {
    let exporter = Exporter::passed()?;
    let (head, _) = exporter.get("/healthz", &[])?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    exporter.end()
}

/// What is wrong is said before anything is attached, and needs no root.
fn refused() -> Outcome {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for (arguments, status, words) in [
        (vec!["--listen", &address], 1, "cannot listen on"),
        (vec!["--listen", "nowhere"], 2, "no address with a port"),
        (vec!["--tls-cert", "/dev/null"], 2, "--tls-key"),
        (
            vec!["--tls-cert", "/dev/null", "--tls-key", "/dev/null"],
            1,
            "no certificate in /dev/null",
        ),
        (vec!["--web-config", "/nonexistent"], 1, "cannot be read"),
        (vec!["--cooldown", "1s"], 2, "--flight-recorder"),
        (
            vec!["--listen", "127.0.0.1:0", "--flight-recorder", "/proc/nowhere"],
            1,
            "choose another directory",
        ),
    ] {
        let output = run(&[&["export"], &arguments[..]].concat())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(status), "{arguments:?}: {} {said}", output.status);
        ensure!(said.contains(words), "{arguments:?}: {said}");
    }
    Ok(())
}

/// Becomes another program.
fn become_program(mut command: Command) -> Outcome {
    Err(command.exec().into())
}
