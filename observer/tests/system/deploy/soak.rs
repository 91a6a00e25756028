//! Two minutes of a host (`OBSERVER_TEST_LONG=1`; else some seconds): a herd, a reuseport group, and a listener that dies and
//! is born again, in three network namespaces. A real Prometheus has what they counted for themselves, none of its samples
//! falls, and the alerts fire that must.
//!
//! The alerts' rules are those of `deploy/prometheus`, but for how long a finding must last (`for`), which is two seconds here.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};

use super::{prometheus::Prometheus, text};
use crate::{
    Need, Outcome, Test,
    export::play_reborn,
    observer::{Observer, program},
    role::{Actor, own_netns},
    servers::{
        program::Program,
        running::{free_port, until},
    },
    workload::Workload,
};

/// Whether it is to take two minutes.
const LONG: &str = "OBSERVER_TEST_LONG";

pub fn tests() -> Vec<Test> {
    let lacks = || Program::lacks("prometheus", "prometheus");
    vec![Test::new("deploy::counters_are_the_workloads_and_never_fall", Need::Also(lacks), soak)]
}

/// What the servers of one namespace counted for themselves.
struct Made {
    netns: u64,
    connections: u64,
    accepted: u64,
    /// Their accept calls that said EAGAIN; `None` where they block in accept.
    eagain: Option<u64>,
}

fn soak() -> Outcome {
    let long = env::var_os(LONG).is_some();
    let time = Duration::from_secs(if long { 120 } else { 15 });
    let place = tempfile::tempdir()?;
    let herd = ["--strategy", "epoll", "--workers", "8", "--netns", "--connections", "20"];
    let group = ["--strategy", "reuseport", "--workers", "4", "--netns", "--connections", "20"];
    let (mut herd, mut group) = (Workload::start(&herd)?, Workload::start(&group)?);
    let mut reborn = Actor::start("deploy-reborn")?;
    reborn.port()?;
    let netns = netns_of(reborn.pid())?;
    let none = |netns, eagain| Made { netns, connections: 0, accepted: 0, eagain };
    let mut made =
        [none(herd.ready.netns, Some(0)), none(group.ready.netns, Some(0)), none(netns, None)];
    let port = free_port()?;
    let mut export = Command::new(program());
    export.args(["export", "--listen", &format!("127.0.0.1:{port}"), "--interval", "1s"]);
    for pid in [herd.id(), group.id(), reborn.pid()] {
        export.args(["--pid", &pid.to_string()]);
    }
    let exporter = Observer::spawn(export)?;
    let prometheus = Prometheus::start(&configuration(port, &rules(place.path())?))?;
    until(|| Ok(!prometheus.query("observer_listeners")?.is_empty()))?;
    let (from, began) = (now()?, Instant::now());
    let mut lives = 0_u32;
    while began.elapsed() < time {
        for (workload, made) in [&mut herd, &mut group].into_iter().zip(&mut made) {
            let tally = workload.round()?;
            made.connections += tally.connections;
            made.accepted += tally.workers.iter().map(|worker| worker.accepted).sum::<u64>();
            let eagain: u64 = tally.workers.iter().map(|worker| worker.eagain).sum();
            made.eagain = made.eagain.map(|sum| sum + eagain);
        }
        let connections = u64::from(lives % 4);
        reborn.ask(connections)?;
        reborn.line()?;
        made[2].connections += connections;
        made[2].accepted += connections;
        lives += 1;
        sleep(Duration::from_millis(100));
    }
    for one in &made {
        let netns = one.netns;
        let of = |name: &str, labels: &str| format!("sum({name}{{netns=\"{netns}\"{labels}}})");
        let is = |expression: String, expected: u64| {
            let value = || sum(&prometheus, &expression);
            #[expect(clippy::cast_precision_loss, reason = "some ten thousand connections")]
            let expected = expected as f64;
            until(|| Ok(value()?.is_some_and(|value| (value - expected).abs() < 0.5)))
                .with_context(|| format!("{expression} is {:?}, not {expected}", value().ok()))
        };
        ensure!(one.connections > 0, "nothing happened");
        is(of("observer_connections_queued_total", ""), one.connections)?;
        is(of("observer_connections_accepted_total", ""), one.accepted)?;
        is(of("observer_accept_wait_seconds_count", ""), one.accepted)?;
        is(of("observer_accept_queue_depth_count", ""), one.connections)?;
        if let Some(eagain) = one.eagain.filter(|count| *count > 0) {
            is(of("observer_accept_errors_total", ",errno=\"EAGAIN\""), eagain)?;
        }
    }
    ensure!(lives >= 5, "it was born {lives} times");
    // One that ended before it was known whose it was has no name to tell.
    let of_reborn = format!(
        "count(observer_connections_accepted_total{{netns=\"{netns}\",process!=\"\"}}) by (port)"
    );
    let series = sum(&prometheus, &of_reborn)?;
    ensure!(series == Some(1.0), "{series:?} series of one place");
    alerts(&prometheus, &made)?;
    never_fall(&prometheus, (from.floor(), now()?.ceil()), time)?;
    drop(prometheus);
    herd.quit()?;
    group.quit()?;
    reborn.kill()?;
    drop(exporter);
    Ok(())
}

fn now() -> anyhow::Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

fn netns_of(pid: u32) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata(format!("/proc/{pid}/ns/net"))?.ino())
}

/// The value of an expression that has one.
fn sum(prometheus: &Prometheus, expression: &str) -> anyhow::Result<Option<f64>> {
    let series = prometheus.query(expression)?;
    Ok(series.first().and_then(|one| Some(one.samples.first()?.1)))
}

/// The rules, of which no alert waits for minutes.
fn rules(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let of = |name: &str| {
        let text = text(&format!("deploy/prometheus/{name}.rules.yml"))?;
        let lines = text.lines().map(|line| {
            let is_for = line.trim_start().starts_with("for: ");
            if is_for { "        for: 2s".to_owned() } else { line.to_owned() }
        });
        let path = directory.join(format!("{name}.yml"));
        fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n")?;
        Ok(path)
    };
    ["recording", "alerts"].into_iter().map(of).collect()
}

fn configuration(port: u16, rules: &[PathBuf]) -> String {
    let rules: String = rules.iter().map(|path| format!("  - {}\n", path.display())).collect();
    format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\nrule_files:\n{rules}\
         scrape_configs:\n  - job_name: observer\n    static_configs:\n      - targets: ['127.0.0.1:{port}']\n"
    )
}

/// The herd has its alert, the group and the one that is born again have none, and observer itself has none.
fn alerts(prometheus: &Prometheus, made: &[Made; 3]) -> Outcome {
    let [herd, ..] = made;
    let herd = herd.netns.to_string();
    let fires = || {
        let alerts = prometheus.alerts()?;
        Ok(alerts.iter().any(|one| {
            one["labels"]["alertname"] == "ObserverThunderingHerd"
                && one["labels"]["netns"] == herd.as_str()
                && one["state"] == "firing"
        }))
    };
    until(fires).context("no alert of the herd")?;
    let alerts = prometheus.alerts()?;
    for one in &alerts {
        let name = one["labels"]["alertname"].as_str().context("a name")?;
        let is_of_herd = one["labels"]["netns"] == herd.as_str();
        ensure!(name != "ObserverThunderingHerd" || is_of_herd, "{one}");
        let own = ["Down", "Stalled", "LosesCounts", "LeavesOutSeries"];
        ensure!(!own.iter().any(|own| name == format!("Observer{own}")), "{one}");
    }
    Ok(())
}

/// No sample of a counter is below the one before it.
fn never_fall(prometheus: &Prometheus, window: (f64, f64), time: Duration) -> Outcome {
    let counters = "{__name__=~\"observer_.+_(total|count|sum|bucket)\"}";
    let series = prometheus.range(counters, window, 1)?;
    ensure!(series.len() > 100, "{} series", series.len());
    let longest = series.iter().map(|one| one.samples.len()).max().unwrap_or(0);
    ensure!(u64::try_from(longest)? + 5 >= time.as_secs(), "{longest} samples");
    for one in &series {
        let falls = one.samples.windows(2).find(|pair| pair[1].1 < pair[0].1);
        ensure!(falls.is_none(), "{} falls: {falls:?}", one.labels);
    }
    // By the samples themselves, also those between two steps. One name at a time, because resets() takes it off.
    let names: BTreeSet<_> =
        series.iter().filter_map(|one| one.labels["__name__"].as_str()).collect();
    for name in names {
        let fell = prometheus.query(&format!("sum(resets({name}[10m])) > 0"))?;
        ensure!(fell.is_empty(), "{name} fell");
    }
    Ok(())
}

/// The role: that of export's tests, in a network namespace of its own.
pub fn reborn() -> Outcome {
    own_netns()?;
    play_reborn()
}
