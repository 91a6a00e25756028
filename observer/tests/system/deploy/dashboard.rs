//! The dashboard: every panel's query, by a real Prometheus that scraped servers in trouble.

use std::{env, fs, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    recorded,
    scene::{HERD, OVERFLOW, STARVED, Scene},
    text,
};
use crate::{Need, Outcome, Test, servers::program::Program};

const DASHBOARD: &str = "deploy/grafana/observer.json";

/// Directory that the answers and the series are written to: `cargo xtask fleet --scene` makes the picture of the
/// dashboard and the series for promtool of them.
const KEEP: &str = "OBSERVER_TEST_DEPLOY_KEEP";

pub fn tests() -> Vec<Test> {
    let lacks = || Program::lacks("prometheus", "prometheus");
    vec![Test::new("deploy::panels_and_alerts_of_servers_in_trouble", Need::Also(lacks), panels)]
}

/// Metrics that are absent where no hook sees them: by tracepoints.
const UNSEEN: [&str; 2] = ["observer_audit_difference", "observer_syn_cookies_sent_total"];

/// A query of a panel.
struct Query {
    panel: Value,
    expression: String,
    legend: String,
    /// Asked at one moment, and not over time.
    instant: bool,
}

/// All queries, in the order of the panels.
fn queries(dashboard: &Value) -> anyhow::Result<Vec<Query>> {
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push(Query {
                panel: panel.clone(),
                expression: target["expr"].as_str().context("expr")?.to_owned(),
                legend: target["legendFormat"].as_str().context("legendFormat")?.to_owned(),
                instant: target["instant"] == true,
            });
        }
    }
    Ok(queries)
}

/// An expression as Grafana sends it: of all that is chosen.
fn expand(expression: &str, step: u64) -> String {
    let mut text = expression.replace("$__rate_interval", &format!("{}s", 4 * step));
    for variable in ["$job", "$instance", "$process"] {
        text = text.replace(variable, ".*");
    }
    text
}

fn panels() -> Outcome {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)?)?;
    let scene = Scene::play()?;
    let by_tracepoint =
        !scene.prometheus.query("observer_signal_exact{via=\"tracepoint\"}")?.is_empty();
    let mut answers = Vec::new();
    for query in queries(&dashboard)? {
        let expression = expand(&query.expression, scene.step);
        ensure!(!expression.contains('$'), "an unknown variable: {expression}");
        let title = query.panel["title"].as_str().context("title")?.to_owned();
        let series = if query.instant {
            scene.prometheus.query(&expression)?
        } else {
            scene.prometheus.range(&expression, scene.window, scene.step)?
        };
        let known = series.iter().flat_map(|one| &one.samples).any(|(_, value)| value.is_finite());
        let may_lack = by_tracepoint && UNSEEN.iter().any(|metric| expression.contains(metric));
        ensure!(known || may_lack, "{title}: no data: {expression}");
        let series: Vec<_> = series
            .iter()
            .map(|one| json!({"labels": one.labels, "samples": one.samples}))
            .collect();
        answers.push(json!({
            "panel": query.panel["id"], "legend": query.legend, "series": series,
        }));
    }
    let all = |title: &str| values(&dashboard, &answers, title);
    let most = |title: &str| all(title).into_iter().fold(f64::NEG_INFINITY, f64::max);
    ensure!(most("Critical findings") >= 2.0, "critical: {:?}", all("Critical findings"));
    ensure!(most("Connections dropped, by reason") > 1.0, "no drops");
    ensure!(most("Accept queue, of its limit") > 1.0, "no queue was full");
    ensure!(most("Accept errors") > 1.0, "no accept failed");
    ensure!(most("Descriptors used, of the limit") >= 1.0, "descriptors are left");
    ensure!(most("Accept wait") > 0.1, "nobody waited");
    // Eight workers are woken for each connection; by tracepoints that is an estimate.
    ensure!(most("Wakeups for each accepted connection") > 3.0, "no herd");
    ensure!((most("Listeners") - 3.0).abs() < 0.5, "listeners: {:?}", all("Listeners"));
    ensure!(most("CPU") > 0.0 && most("Memory") > 1e6, "observer costs nothing");
    alerts(&scene)?;
    if let Some(directory) = env::var_os(KEEP) {
        let directory = Path::new(&directory);
        let kept = json!({"window": scene.window, "step": scene.step, "answers": answers});
        fs::write(directory.join("answers.json"), kept.to_string())?;
        fs::write(directory.join("recorded.yml"), recorded::page(&scene)?)?;
    }
    Ok(())
}

/// All values that a panel shows.
fn values(dashboard: &Value, answers: &[Value], title: &str) -> Vec<f64> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let ids: Vec<_> =
        panels.filter(|panel| panel["title"] == title).map(|panel| &panel["id"]).collect();
    let of = answers.iter().filter(|answer| ids.contains(&&answer["panel"]));
    let series = of.flat_map(|answer| answer["series"].as_array().into_iter().flatten());
    let samples = series.flat_map(|one| one["samples"].as_array().into_iter().flatten());
    samples.filter_map(|sample| sample[1].as_f64()).collect()
}

/// Alerts that have no time to wait fire for the servers that they are about, and for no others.
fn alerts(scene: &Scene) -> Outcome {
    let alerts = scene.prometheus.alerts()?;
    let of = |name: &str| -> Vec<(&str, &str)> {
        let of = alerts.iter().filter(|one| one["labels"]["alertname"] == name);
        of.map(|one| {
            let word = |value: &'static str| one["labels"][value].as_str().unwrap_or_default();
            (word("process"), one["state"].as_str().unwrap_or_default())
        })
        .collect()
    };
    ensure!(of("ObserverFdExhausted") == [(STARVED, "firing")], "{alerts:?}");
    ensure!(of("ObserverAcceptQueueOverflow") == [(OVERFLOW, "firing")], "{alerts:?}");
    let herd = of("ObserverThunderingHerd");
    ensure!(herd.len() == 1 && herd[0].0 == HERD, "{alerts:?}");
    for own in ["Down", "Stalled", "LosesCounts", "LeavesOutSeries"] {
        ensure!(of(&format!("Observer{own}")).is_empty(), "{alerts:?}");
    }
    Ok(())
}
