//! The summary, the findings, the table of listeners and the audit.

use std::cmp::Reverse;

use serde::Serialize;

use super::marks::{Marks, rate};
use crate::app::render::{
    columns::{drops, queue},
    labels,
    table::group::{Block, address},
};
use crate::app::report::against::words;
use observer::{
    model::{Audit, Providers, Report, Severity, Via, Worth},
    units,
};

/// One number of the summary.
#[derive(Serialize)]
pub struct Tile {
    name: &'static str,
    value: String,
    note: String,
    /// Severity that colours it; empty for none.
    class: &'static str,
}

/// A finding, and the listeners that have it.
#[derive(Serialize)]
pub struct FoundAt {
    severity: &'static str,
    listener: String,
    id: String,
    summary: String,
    evidence: String,
    fix: String,
    steps: Vec<String>,
    source: String,
    #[serde(skip)]
    rank: Severity,
}

/// Row of the table of listeners.
#[derive(Serialize)]
pub struct Row {
    name: String,
    /// Number of its section; `None` where it has none.
    section: Option<usize>,
    held_by: String,
    severity: &'static str,
    cells: Vec<String>,
}

/// How one signal was observed.
#[derive(Serialize)]
pub struct Signal {
    name: &'static str,
    via: &'static str,
    worth: &'static str,
}

/// Counters of one network namespace.
#[derive(Serialize)]
pub struct Counters {
    netns: u64,
    rows: Vec<CounterRow>,
}

#[derive(Serialize)]
struct CounterRow {
    name: String,
    kernel: String,
    observed: String,
    verdict: &'static str,
    class: &'static str,
}

/// The name of a severity, which is its class too.
pub fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// All findings, the worst first; those of one group that say the same are one.
pub fn findings(blocks: &[&Block<'_>]) -> Vec<FoundAt> {
    let mut all: Vec<FoundAt> = Vec::new();
    for block in blocks {
        let listener = address(block).whole();
        for finding in block.members.iter().flat_map(|one| &one.findings) {
            let is_told =
                |one: &FoundAt| one.listener == listener && one.summary == finding.summary;
            if all.iter().any(is_told) {
                continue;
            }
            all.push(FoundAt {
                severity: word(finding.severity),
                listener: listener.clone(),
                id: finding.id.clone(),
                summary: finding.summary.clone(),
                evidence: finding.evidence.clone(),
                fix: finding.fix.clone(),
                steps: finding.steps.clone(),
                source: finding.source.clone(),
                rank: finding.severity,
            });
        }
    }
    all.sort_by_key(|one| Reverse(one.rank));
    all
}

/// The numbers at the top.
pub fn tiles(report: &Report, findings: &[FoundAt], marks: &Marks) -> Vec<Tile> {
    let seconds = report.window.seconds;
    let sum = |of: fn(&observer::model::Listener) -> Option<u64>| {
        let mut counts = report.listeners.iter().map(of);
        counts.try_fold(0_u64, |sum, count| Some(sum.saturating_add(count?)))
    };
    let number = |signals: &[&str], count: Option<u64>| match count {
        Some(count) => marks.number(signals, &units::short_count(count)),
        None => "-".to_owned(),
    };
    let accepted = sum(|one| one.accepted);
    let wakeups = sum(|one| one.wakeups.map(|all| all.total));
    let dropped = sum(|one| one.drops.total);
    let worst = findings.first().map(|one| one.severity);
    let with = |severity: &str| findings.iter().filter(|one| one.severity == severity).count();
    let counted: Vec<String> = ["critical", "warning", "info"]
        .into_iter()
        .filter_map(|one| match with(one) {
            0 => None,
            count => Some(format!("{count} {one}")),
        })
        .collect();
    let per_second = |count: Option<u64>| {
        count.map_or_else(String::new, |count| format!("{} per second", rate(count, seconds)))
    };
    let herds = report.listeners.iter().filter_map(|one| Some((one.herd_ratio?, one)));
    let herd = herds.max_by(|a, b| a.0.total_cmp(&b.0));
    let fullest = report
        .listeners
        .iter()
        .filter_map(|one| Some((one.accept_queue.used_percent?, one)))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let at = |one: &observer::model::Listener| format!("on {}", labels::address(one).whole());
    let is_bad = |ids: &[&str]| {
        let about = findings.iter().filter(|one| ids.contains(&one.id.as_str()));
        about.map(|one| (one.rank, one.severity)).max().map_or("", |(_, word)| word)
    };
    use observer::findings::id;
    vec![
        Tile {
            name: "Findings",
            value: findings.len().to_string(),
            note: if counted.is_empty() {
                "nothing is wrong".to_owned()
            } else {
                counted.join(", ")
            },
            class: worst.unwrap_or("good"),
        },
        Tile {
            name: "Accepted",
            value: number(&["accepts"], accepted),
            note: per_second(accepted),
            class: "",
        },
        Tile {
            name: "Wakeups",
            value: number(&["wakeups"], wakeups),
            note: per_second(wakeups),
            class: "",
        },
        Tile {
            name: "Highest herd ratio",
            value: herd.as_ref().map_or_else(
                || "-".to_owned(),
                |(ratio, _)| marks.number(&["wakeups", "accepts"], &units::ratio(Some(*ratio))),
            ),
            note: herd.map_or_else(String::new, |(_, one)| at(one)),
            class: is_bad(&[id::THUNDERING_HERD]),
        },
        Tile {
            name: "Fullest accept queue",
            value: fullest.as_ref().map_or_else(
                || "-".to_owned(),
                |(used, _)| {
                    marks.number(
                        &["handshakes"],
                        &words::value("accept_queue_used_percent", Some(*used)),
                    )
                },
            ),
            note: fullest.map_or_else(String::new, |(_, one)| at(one)),
            class: is_bad(&[id::ACCEPT_QUEUE_OVERFLOW, id::ACCEPT_QUEUE_NEAR_LIMIT]),
        },
        Tile {
            name: "Drops",
            value: number(&["drops"], dropped),
            note: per_second(dropped.filter(|count| *count > 0)),
            class: is_bad(&[id::ACCEPT_QUEUE_OVERFLOW, id::SYN_QUEUE_OVERFLOW]),
        },
    ]
}

/// The row of a listener or of a group.
pub fn row(block: &Block<'_>, section: Option<usize>, marks: &Marks) -> Row {
    let one = block.row();
    let wasted = one.wakeups.map(|all| {
        let wasted = all.lost.saturating_add(all.failed).saturating_add(all.silent);
        units::share(wasted, all.total)
    });
    let count = |signals: &[&str], count: Option<u64>| match count {
        Some(count) => marks.number(signals, &units::short_count(count)),
        None => "-".to_owned(),
    };
    let severity = one.findings.iter().map(|one| one.severity).max();
    Row {
        name: address(block).whole(),
        section,
        held_by: labels::held_by(one).whole(),
        severity: severity.map_or("", word),
        cells: vec![
            count(&["accepts"], one.accepted),
            count(&["wakeups"], one.wakeups.map(|all| all.total)),
            marks.number(&["wakeups", "accepts"], &units::ratio(one.herd_ratio)),
            marks.number(&["wakeups"], &wasted.unwrap_or_else(|| "-".to_owned())),
            marks.number(&["handshakes"], &queue(one).whole()),
            one.accept_wait.p99.map_or_else(
                || "-".to_owned(),
                |wait| marks.number(&["accepts", "handshakes"], &units::time(wait)),
            ),
            marks.number(&["drops"], &drops(one).whole()),
        ],
    }
}

/// How each signal was observed.
pub fn signals(providers: &Providers) -> Vec<Signal> {
    let signal = |(name, provider, worth): (&'static str, &observer::model::Provider, Worth)| {
        let via = match provider.via {
            Via::Fentry => "fentry",
            Via::Kprobe => "kprobe",
            Via::Tracepoint => "tracepoint",
            Via::None if worth == Worth::Estimate => "kernel counters",
            Via::None => "nothing",
        };
        let worth = match worth {
            Worth::Exact => "exact",
            Worth::Estimate => "estimate",
            Worth::Nothing => "not observed",
        };
        Signal { name, via, worth }
    };
    providers.signals().into_iter().map(signal).collect()
}

/// What the kernel counted, beside what observer saw.
pub fn audit(audit: &Audit) -> Vec<Counters> {
    let shown = audit.netns.iter().take(50);
    let of = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), units::count);
    shown
        .map(|one| Counters {
            netns: one.netns,
            rows: one
                .counters
                .iter()
                .map(|(name, counter)| {
                    let (verdict, class) = match counter.kernel.zip(counter.observed) {
                        None => ("not compared", "dim"),
                        Some((kernel, observed)) if kernel == observed => ("agrees", "good"),
                        Some(_) => ("differs", "warning"),
                    };
                    CounterRow {
                        name: name.clone(),
                        kernel: of(counter.kernel),
                        observed: of(counter.observed),
                        verdict,
                        class,
                    }
                })
                .collect(),
        })
        .collect()
}
