//! The section of one listener, or of a reuseport group.

use serde::Serialize;

use super::{marks::Marks, overview::word};
use crate::app::{
    render::{
        labels,
        table::group::{Block, address},
    },
    report::html::{
        plot::{Curve, Plot, Question, Span, plot},
        series::Point,
    },
};
use observer::{
    model::{Drops, Worker},
    units,
};

/// Bars of workers at most.
const WORKERS: usize = 16;

/// The section.
#[derive(Serialize)]
pub struct Listener {
    id: usize,
    name: String,
    held_by: String,
    severity: &'static str,
    summaries: Vec<(&'static str, String)>,
    facts: Vec<(&'static str, String)>,
    plots: Vec<Plot>,
    workers: Vec<Bar>,
    more_workers: usize,
    drops: Vec<(String, String)>,
}

/// What one worker accepted, and what it was woken for.
#[derive(Serialize)]
struct Bar {
    name: String,
    accepted: String,
    wakeups: String,
    /// Lengths, in units of the drawing: 0 to 200.
    accepted_width: String,
    wakeups_width: String,
}

impl Listener {
    /// Whether there is anything over time.
    pub fn has_plots(&self) -> bool {
        !self.plots.is_empty()
    }
}

/// Gathers it.
pub fn listener(
    block: &Block<'_>,
    id: usize,
    points: Option<(&[Point], Span)>,
    marks: &Marks,
) -> Listener {
    let one = block.row();
    let mut workers: Vec<&Worker> = block.members.iter().flat_map(|one| &one.workers).collect();
    workers.sort_by(|a, b| {
        (b.accepted, b.wakeups.total).cmp(&(a.accepted, a.wakeups.total)).then(a.tid.cmp(&b.tid))
    });
    let greatest = workers.iter().map(|one| one.accepted.max(one.wakeups.total)).max().unwrap_or(0);
    let bar = |worker: &&Worker| Bar {
        name: labels::worker(worker).whole().trim().to_owned(),
        accepted: marks.number(&["accepts"], &units::short_count(worker.accepted)),
        wakeups: marks.number(&["wakeups"], &units::short_count(worker.wakeups.total)),
        accepted_width: part(worker.accepted, greatest),
        wakeups_width: part(worker.wakeups.total, greatest),
    };
    let findings = block.members.iter().flat_map(|one| &one.findings);
    let mut summaries: Vec<(&'static str, String)> = Vec::new();
    for finding in findings {
        let told = (word(finding.severity), finding.summary.clone());
        if !summaries.contains(&told) {
            summaries.push(told);
        }
    }
    Listener {
        id,
        name: address(block).whole(),
        held_by: labels::held_by(one).whole(),
        severity: one.findings.iter().map(|one| one.severity).max().map_or("", word),
        summaries,
        facts: facts(block, marks),
        plots: points.map(|(points, span)| plots(points, span, marks)).unwrap_or_default(),
        workers: workers.iter().take(WORKERS).map(bar).collect(),
        more_workers: workers.len().saturating_sub(WORKERS),
        drops: dropped(block, marks),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
fn part(count: u64, of: u64) -> String {
    format!("{:.1}", 200.0 * count as f64 / of.max(1) as f64)
}

fn facts(block: &Block<'_>, marks: &Marks) -> Vec<(&'static str, String)> {
    let one = block.row();
    let backlog = &one.backlog;
    let known = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), units::count);
    let mut limit = known(backlog.limit);
    if backlog.clamped == Some(true) {
        limit.push_str(&format!(", clamped from {}", known(backlog.requested)));
    }
    let mut facts = vec![("Queue limit", limit), ("somaxconn", known(backlog.somaxconn))];
    if let Some(name) = one.server.as_ref().and_then(|server| server.name.clone()) {
        facts.insert(0, ("Server", name));
    }
    if let Some(fairness) = one.fairness {
        facts.push(("Fairness", marks.number(&["accepts"], &units::ratio(Some(fairness)))));
    }
    // Percentiles of a group are those of its members.
    let waits = if block.is_group() { None } else { Some(&one.accept_wait) };
    let named = waits
        .map(|wait| [("p50", wait.p50), ("p90", wait.p90), ("p99", wait.p99), ("max", wait.max)]);
    let told: Vec<String> = named
        .into_iter()
        .flatten()
        .filter_map(|(name, wait)| Some(format!("{name} {}", units::time(wait?))))
        .collect();
    if !told.is_empty() {
        let mark = marks.mark(&["accepts", "handshakes"]);
        facts.push(("Accept wait", format!("{mark}{}", told.join(", "))));
    }
    let errors: Vec<String> = one
        .accept_errors
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if !errors.is_empty() {
        facts.push(("Failed accepts", errors.join(", ")));
    }
    if let Some(discarded @ 1..) = one.discarded {
        facts.push(("Reset at closing", units::count(discarded)));
    }
    if one.incomplete {
        facts.push(("Incomplete", "the kernel maps had no room for all of it".to_owned()));
    }
    facts.push(("Network namespace", one.netns.to_string()));
    facts
}

fn dropped(block: &Block<'_>, marks: &Marks) -> Vec<(String, String)> {
    let mut reasons = std::collections::BTreeMap::<String, u64>::new();
    for Drops { by_reason, .. } in block.members.iter().map(|one| &one.drops) {
        for (reason, count) in by_reason.iter().flat_map(|all| all.iter()).filter(|(_, n)| **n > 0)
        {
            let sum = reasons.entry(reason.to_string()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    let told = reasons.into_iter().map(|(reason, count)| {
        (labels::drop_reason(&reason).to_owned(), marks.number(&["drops"], &units::count(count)))
    });
    told.collect()
}

#[expect(clippy::cast_precision_loss, reason = "to draw, 52 bits are enough")]
fn plots(points: &[Point], span: Span, marks: &Marks) -> Vec<Plot> {
    let values = |of: &dyn Fn(&Point) -> Option<f64>| -> Vec<Option<f64>> {
        points.iter().map(|point| point.is_known().then(|| of(point)).flatten()).collect()
    };
    let curve = |name, class, of: &dyn Fn(&Point) -> Option<f64>| Curve {
        name,
        class,
        values: values(of),
        bars: false,
    };
    let per_second = |count: u64, point: &Point| Some(count as f64 / point.seconds);
    let limit = points.iter().rev().find_map(|point| point.limit);
    let wait = |share| {
        move |point: &Point| {
            let wait = point.waits.percentile(share)?;
            Some(wait.min(point.longest.unwrap_or(u64::MAX)) as f64)
        }
    };
    let time =
        |value: f64| crate::app::report::against::words::value("accept_wait_max", Some(value));
    let count =
        |value: f64| crate::app::report::against::words::value("accepted_per_second", Some(value));
    let all: [(&[&str], Question<'_>); 5] = [
        (
            &["wakeups", "accepts"],
            Question {
                title: "Herd ratio: wakeups per connection",
                mark: marks.mark(&["wakeups", "accepts"]),
                curves: vec![curve("", "a", &|point| {
                    (point.accepted > 0).then(|| point.wakeups as f64 / point.accepted as f64)
                })],
                format: count,
                level: Some((1.0, "1 is ideal".to_owned())),
                least: 2.0,
            },
        ),
        (
            &["accepts"],
            Question {
                title: "Accepted per second",
                mark: marks.mark(&["accepts"]),
                curves: vec![curve("", "a", &|point| per_second(point.accepted, point))],
                format: count,
                level: None,
                least: 1.0,
            },
        ),
        (
            &["handshakes"],
            Question {
                title: "Accept queue: most waiting",
                mark: marks.mark(&["handshakes"]),
                curves: vec![curve("", "a", &|point| Some(point.depth as f64))],
                format: count,
                level: limit.map(|limit| (limit as f64, format!("limit {limit}"))),
                least: 1.0,
            },
        ),
        (
            &["accepts", "handshakes"],
            Question {
                title: "Accept wait",
                mark: marks.mark(&["accepts", "handshakes"]),
                curves: vec![curve("p99", "b", &wait(0.99)), curve("p50", "a", &wait(0.5))],
                format: time,
                level: None,
                least: 1_000.0,
            },
        ),
        (
            &["drops"],
            Question {
                title: "Drops per second",
                mark: marks.mark(&["drops"]),
                curves: vec![Curve {
                    bars: true,
                    ..curve("", "c", &|point| per_second(point.drops, point))
                }],
                format: count,
                level: None,
                least: 1.0,
            },
        ),
    ];
    let seen = all.into_iter().filter(|(signals, _)| !marks.is_blind(signals));
    seen.filter_map(|(_, question)| plot(&question, span)).collect()
}
