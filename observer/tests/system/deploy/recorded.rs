//! Series of a scene as promtool's tests have them, with the alerts that fired at its end.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::Context as _;
use serde_json::Value;

use super::{scene::Scene, text};
use crate::Outcome;

const HEAD: &str = "\
# Made by `cargo xtask fleet --scene`; not written by hand. A real Prometheus scraped a real `observer export` of three
# real servers in trouble: one with a herd of 8 workers, one whose queue overflows, and one without descriptors. The
# series are what it had of them, and the alerts those that it fired in the end.
rule_files:
  - ../recording.rules.yml
  - ../alerts.rules.yml
";

/// Rules that say which metrics are used.
const RULES: [&str; 2] =
    ["deploy/prometheus/alerts.rules.yml", "deploy/prometheus/recording.rules.yml"];

/// The file.
pub fn page(scene: &Scene) -> anyhow::Result<String> {
    let rules = RULES.map(text).into_iter().collect::<anyhow::Result<Vec<_>>>()?.join("\n");
    let step = scene.step;
    let mut page = HEAD.to_owned();
    writeln!(
        page,
        "evaluation_interval: {step}s\ntests:\n  - interval: {step}s\n    input_series:"
    )?;
    for metric in metrics(&rules) {
        for series in scene.prometheus.range(&metric, scene.window, step)? {
            let labels = series.labels.as_object().context("labels")?;
            let labels = labels.iter().filter(|(name, _)| *name != "__name__");
            let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={value}")).collect();
            let first = scene.window.0;
            let values = compact(&series.samples, |at| ((at - first) / step as f64).round());
            writeln!(page, "      - series: '{metric}{{{}}}'", labels.join(", "))?;
            writeln!(page, "        values: '{values}'")?;
        }
    }
    let whole = ((scene.window.1 - scene.window.0) / step as f64).floor() * step as f64;
    expected(&mut page, &rules, &scene.prometheus.alerts()?, whole)?;
    Ok(page)
}

/// Metrics of observer that the rules use.
fn metrics(rules: &str) -> BTreeSet<String> {
    let expressions = rules.lines().filter(|line| !line.trim_start().starts_with(['#', '-']));
    let words = expressions.flat_map(|line| {
        line.split(|one: char| !(one.is_ascii_alphanumeric() || one == '_' || one == ':'))
    });
    let metrics = words.filter(|word| word.starts_with("observer_") && !word.contains(':'));
    metrics
        .filter(|word| *word != "observer_docs")
        .map(str::to_owned)
        .chain(["up".into()])
        .collect()
}

/// Samples in promtool's short form: `a+bxn` is `a` and `n` more, each `b` greater; `_` is none.
fn compact(samples: &[(f64, f64)], place: impl Fn(f64) -> f64) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = 0.0;
    let mut index = 0;
    while index < samples.len() {
        let (at, value) = samples[index];
        let missing = place(at) - next;
        if missing > 0.0 {
            words.push(format!("_x{missing}"));
        }
        let step = |index: usize| -> Option<f64> {
            let (here, there) = (samples.get(index)?, samples.get(index + 1)?);
            (place(there.0) - place(here.0) == 1.0).then_some(there.1 - here.1)
        };
        let mut more = 0;
        // Sums of fractions would drift.
        let is_exact = |first: &f64| *first == 0.0 || first.fract() == 0.0 && value.fract() == 0.0;
        if let Some(first) = step(index).filter(is_exact) {
            while step(index + more) == Some(first) {
                more += 1;
            }
            words.push(match (more, first == 0.0) {
                (_, true) => format!("{value}x{more}"),
                (1, _) => {
                    more = 0;
                    format!("{value}")
                }
                _ => format!("{value}{first:+}x{more}"),
            });
        } else {
            words.push(format!("{value}"));
        }
        index += more + 1;
        next = place(samples[index - 1].0) + 1.0;
    }
    words.join(" ")
}

/// Every alert of the rules, with those that fired.
fn expected(page: &mut String, rules: &str, alerts: &[Value], seconds: f64) -> Outcome {
    writeln!(page, "    alert_rule_test:")?;
    let names = rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: "));
    for name in names {
        writeln!(page, "      - eval_time: {seconds}s\n        alertname: {name}")?;
        let fires = |one: &&Value| one["labels"]["alertname"] == name && one["state"] == "firing";
        let firing: Vec<_> = alerts.iter().filter(fires).collect();
        if !firing.is_empty() {
            writeln!(page, "        exp_alerts:")?;
        }
        for alert in firing {
            let mut labels = alert["labels"].as_object().context("labels")?.clone();
            labels.remove("alertname");
            // JSON is YAML.
            writeln!(page, "          - exp_labels: {}", Value::from(labels))?;
            writeln!(page, "            exp_annotations: {}", alert["annotations"])?;
        }
    }
    Ok(())
}
