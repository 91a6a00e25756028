//! A real Prometheus, Debian's: its tool has nothing to say of the names, and what it scraped is what was made.

use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    running::{Exporter, free_port, get},
    sum,
};
use crate::{Need, Outcome, Test, role::Actor, servers::program::Program, workload::Workload};

/// Debian's package.
const PACKAGE: &str = "prometheus";

/// Longest that anything may take before the test says that it hangs. No duration is asserted.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("export::promtool_has_nothing_to_say", Need::Also(lacks), promtool),
        Test::new("export::prometheus_reads_what_was_made", Need::Also(lacks), scraped),
    ]
}

fn lacks() -> Option<String> {
    Program::lacks(PACKAGE, "prometheus")
}

fn find(name: &str) -> anyhow::Result<Program> {
    Program::find(PACKAGE, name).with_context(|| format!("no {name}"))
}

/// With all that there can be on a page: traffic, errors, findings, workers and a flight recorder.
fn promtool() -> Outcome {
    let place = tempfile::tempdir()?;
    let mut actor = Actor::start("found-emfile")?;
    let port = actor.port()?;
    let mut server = Workload::start(&["--strategy", "epoll", "--netns"])?;
    let pids = [actor.pid().to_string(), server.id().to_string()];
    let path = place.path().to_str().context("a path")?;
    let exporter = Exporter::start(&[
        "--pid",
        &pids[0],
        "--pid",
        &pids[1],
        "--per-worker",
        "--flight-recorder",
        path,
    ])?;
    exporter.next_report()?;
    let clients = super::running::clients(port, 6)?;
    actor.next()?;
    actor.line()?;
    server.round()?;
    exporter.next_report()?;
    let page = exporter.page()?;
    for name in [
        "observer_wakeups_total",
        "observer_accept_errors_total",
        "observer_worker_accepted_total",
        "observer_finding_active",
        "observer_accept_wait_seconds_bucket",
        "observer_flight_recorder_held_bytes",
    ] {
        ensure!(page.has(name, &[]), "no {name}");
    }
    let file = place.path().join("page");
    fs::write(&file, &page.text)?;
    let mut command = find("promtool")?.command();
    command.args(["check", "metrics"]).stdin(fs::File::open(&file)?);
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    drop(clients);
    actor.kill()?;
    server.quit()?;
    exporter.end()
}

/// A Prometheus that scrapes one exporter each second; it ends with this.
struct Prometheus {
    child: Child,
    port: u16,
    _place: TempDir,
}

impl Prometheus {
    fn start(target: u16) -> anyhow::Result<Self> {
        let place = tempfile::tempdir()?;
        let config = place.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  - job_name: observer\n    \
             static_configs:\n      - targets: ['127.0.0.1:{target}']\n"
        );
        fs::write(&config, text)?;
        let port = free_port()?;
        let log = fs::File::create(place.path().join("log"))?;
        let mut command = find("prometheus")?.command();
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", place.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        // Then it asks for protobuf.
        command.arg("--enable-feature=native-histograms");
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { child, port, _place: place })
    }

    /// The value of a query that has one; `None` where it has none, or does not answer yet.
    fn query(&self, query: &str) -> anyhow::Result<Option<f64>> {
        let escape = |byte: u8| format!("%{byte:02X}");
        let query: String = query.bytes().map(escape).collect();
        let Ok((_, body)) =
            get(self.port, &format!("/api/v1/query?query={query}"), &["Connection: close"])
        else {
            return Ok(None);
        };
        // It may come in chunks.
        let json = body.get(body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0));
        let Ok(answer) = serde_json::from_str::<Value>(json.unwrap_or_default()) else {
            return Ok(None);
        };
        let value = &answer["data"]["result"][0]["value"][1];
        Ok(value.as_str().map(str::parse).transpose()?)
    }

    /// Waits until a query has this value.
    fn until(&self, query: &str, expected: f64) -> Outcome {
        let began = Instant::now();
        loop {
            let value = self.query(query)?;
            if value.is_some_and(|value| (value - expected).abs() < 0.5) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "{query} is {value:?}, not {expected}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A herd and a reuseport group in namespaces of their own, and a listener that dies and is born again.
fn scraped() -> Outcome {
    let mut herd = Workload::start(&["--strategy", "epoll", "--workers", "8", "--netns"])?;
    let mut group = Workload::start(&["--strategy", "reuseport", "--workers", "4", "--netns"])?;
    let mut reborn = Actor::start("export-reborn")?;
    let port = reborn.port()?;
    let pids = [herd.id(), group.id(), reborn.pid()].map(|pid| pid.to_string());
    let flags: Vec<&str> = pids.iter().flat_map(|pid| ["--pid", pid]).collect();
    let exporter = Exporter::start(&flags)?;
    exporter.next_report()?;
    let prometheus = Prometheus::start(exporter.port)?;
    prometheus.until("up{job=\"observer\"}", 1.0)?;
    let (mut of_herd, mut of_group, mut of_reborn) = (Vec::new(), Vec::new(), 0.0);
    for connections in [2_u8, 5, 1] {
        of_herd.push(herd.round()?);
        of_group.push(group.round()?);
        reborn.ask(connections.into())?;
        reborn.line()?;
        of_reborn += f64::from(connections);
        // So that it is scraped in between.
        thread::sleep(Duration::from_millis(1500));
    }
    for (netns, tallies) in [(herd.ready.netns, &of_herd), (group.ready.netns, &of_group)] {
        let counted = sum(tallies);
        #[expect(clippy::cast_precision_loss, reason = "some hundred connections")]
        let (made, accepted) = (counted["connections"] as f64, counted["accepted"] as f64);
        let of = |name: &str| format!("sum({name}{{netns=\"{netns}\"}})");
        prometheus.until(&of("observer_connections_queued_total"), made)?;
        prometheus.until(&of("observer_connections_accepted_total"), accepted)?;
        // Native, since that is what it asked for.
        let native = |name: &str| format!("histogram_count(sum({name}{{netns=\"{netns}\"}}))");
        prometheus.until(&native("observer_accept_wait_seconds"), accepted)?;
        prometheus.until(&native("observer_accept_queue_depth"), made)?;
        let median = format!(
            "histogram_quantile(0.5, sum(observer_accept_wait_seconds{{netns=\"{netns}\"}}))"
        );
        let median = prometheus.query(&median)?.context("no median")?;
        ensure!(median > 0.0 && median < 60.0, "half wait longer than {median} s");
    }
    let name = format!("observer_connections_accepted_total{{port=\"{port}\"}}");
    prometheus.until(&format!("sum({name})"), of_reborn)?;
    prometheus.until(&format!("count({name})"), 1.0)?;
    for name in ["queued", "accepted", "discarded"] {
        let name = format!("observer_connections_{name}_total");
        prometheus.until(&format!("sum(resets({name}[10m]))"), 0.0)?;
    }
    let herding = format!(
        "max(observer_finding_seconds_total{{netns=\"{}\",finding=\"thundering-herd\"}}) > bool 0",
        herd.ready.netns
    );
    prometheus.until(&herding, 1.0)?;
    drop(prometheus);
    herd.quit()?;
    group.quit()?;
    reborn.kill()?;
    exporter.end()
}
