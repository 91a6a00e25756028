//! What is said beneath the table: nothing happened, or a number is not what it seems. What is wrong is a
//! finding, and stands beneath its listener.

use std::{cmp::Reverse, fmt::Write};

use anstyle::Style;

use super::{order, tally::Tally};
use crate::app::render::{
    cell::{BAD, CAUTION, DIM},
    doubts, labels,
    line::{Line, wrapped},
};
use observer::findings::id;
use observer::model::{Audit, Listener, NetnsAudit, NoRoom, Report, Via, Worth};

/// The most notes of one kind; the others are counted.
const MOST: usize = 10;

/// The kernel's counters that tell of lost connections, and what they mean.
const COUNTERS: [(&str, &str); 4] = [
    ("ListenOverflows", "accept queue full"),
    ("ListenDrops", "attempts dropped, for any reason"),
    ("TCPReqQFullDrop", "SYN queue full"),
    ("TCPReqQFullDoCookies", "SYN queue full, answered with cookies"),
];

/// All notes on a report, in lines.
pub fn lines(report: &Report, width: usize) -> Vec<Line> {
    all(report).iter().flat_map(|(note, style)| wrapped(note, *style, width)).collect()
}

/// All notes on a report, with their colours.
pub fn all(report: &Report) -> Vec<(String, Style)> {
    let mut listeners: Vec<&Listener> = report.listeners.iter().collect();
    listeners.sort_by(|a, b| order::by_trouble(a, b));
    let plain = |note| (note, Style::new());

    let mut notes = Vec::new();
    notes.extend(nothing_accepted(report).map(plain));
    add(&mut notes, accept_errors(&listeners), "listeners on which accept failed");
    let busy = listeners.iter().filter(|listener| !order::idle(listener));
    notes.extend(doubts::sentence(busy.map(|listener| &listener.backlog)).map(plain));
    notes.extend(no_room(&report.audit));
    notes.extend(losses(report));
    add(&mut notes, kernel_counters(report), "network namespaces with such counts");
    add(&mut notes, differences(report), "network namespaces in which counts differ");
    notes.extend(estimates(report).map(plain));
    notes.extend(unobserved(report).map(plain));
    notes
}

/// Notes on what was lost, had no room, or was counted otherwise by the kernel.
pub fn of_audit(report: &Report) -> Vec<String> {
    let mut notes: Vec<_> = no_room(&report.audit).into_iter().collect();
    notes.extend(losses(report));
    add(&mut notes, differences(report), "network namespaces in which counts differ");
    notes.into_iter().map(|(note, _)| note).collect()
}

fn nothing_accepted(report: &Report) -> Option<String> {
    let unobserved = report.providers.accepts.via == Via::None;
    let mut findings = report.listeners.iter().flat_map(|listener| &listener.findings);
    // It says the same, and of which listener.
    let is_told = findings.any(|finding| finding.id == id::SILENT_CLIENTS);
    if report.listeners.is_empty()
        || unobserved
        || is_told
        || report.listeners.iter().any(|listener| listener.accepted != Some(0))
    {
        return None;
    }
    let mut note = "no connection was accepted in this window".to_owned();
    let queued = report.listeners.iter().filter_map(|one| one.queued).fold(0, u64::saturating_add);
    if queued > 0 {
        let _ = write!(note, ", though {queued} completed the handshake and were queued");
    }
    Some(note)
}

/// Adds the first of these notes, and how many of what are left out.
fn add(notes: &mut Vec<(String, Style)>, told: Vec<(String, Style)>, what: &str) {
    let more = told.len().saturating_sub(MOST);
    notes.extend(told.into_iter().take(MOST));
    if more > 0 {
        notes.push((format!("… {more} more {what}"), DIM));
    }
}

/// Errors of accept that no finding is about: the column may have room for their sum only.
fn accept_errors(listeners: &[&Listener]) -> Vec<(String, Style)> {
    let mut failed: Vec<(&Listener, Tally)> = listeners
        .iter()
        .filter_map(|listener| Some((*listener, Tally::of(listener)?)))
        .filter(|(_, tally)| tally.other_errors() > 0)
        .collect();
    failed.sort_by_key(|(_, tally)| Reverse(tally.other_errors()));
    let told = failed.into_iter().filter_map(|(listener, tally)| {
        let address = labels::address(listener).whole();
        let is_told = listener.findings.iter().any(|finding| finding.id == id::FD_EXHAUSTED);
        let mut errors = tally.named_errors();
        if is_told {
            errors.retain(|error| !error.starts_with("EMFILE ") && !error.starts_with("ENFILE "));
        }
        let errors = errors.join(", ");
        (!errors.is_empty())
            .then(|| (format!("accept failed on {address}: {errors}"), Style::new()))
    });
    told.collect()
}

/// What had no room in the kernel maps, and whether that touches anything here.
fn no_room(audit: &Audit) -> Option<(String, Style)> {
    let NoRoom { workers, backlogs, processes, closed, lives, .. } = audit.no_room;
    let of_listeners = match audit.incomplete {
        0 => "of listeners that are not shown here".to_owned(),
        1 => "of listeners, of which 1 is shown here and its numbers are too low".to_owned(),
        shown => {
            format!("of listeners, of which {shown} are shown here and their numbers are too low")
        }
    };
    let parts: Vec<String> = [
        (audit.no_room.of_listeners(), of_listeners.as_str()),
        (workers, "of workers, which are in a row (others)"),
        (backlogs, "of backlogs that were requested"),
        (processes, "of processes below --pid"),
        (closed, "of listeners that closed"),
        (lives, "of beginnings and ends of idle listeners"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let count = match audit.map_full {
        0 => return None,
        1 => "1 count".to_owned(),
        several => format!("{several} counts"),
    };
    let which = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    Some((format!("{count} found no room in a kernel map{which}"), CAUTION))
}

fn losses(report: &Report) -> Vec<(String, Style)> {
    let audit = &report.audit;
    let told = [
        (
            audit.events_lost,
            "event was lost because the buffer was full, and is missing here",
            "events were lost because the buffer was full, and are missing here",
        ),
        (
            audit.unsettled,
            "task ended while it was read, each time: what it did may be missing here, or counted twice",
            "tasks ended while they were read, each time: what they did may be missing here, or \
             counted twice",
        ),
        (
            audit.unanswered,
            "process does not answer when it is looked at: whether its tasks wait is not known",
            "processes do not answer when they are looked at: whether their tasks wait is not known",
        ),
        (
            audit.missed_runs,
            "run of observer's programs was skipped by the kernel: numbers here may be too low",
            "runs of observer's programs were skipped by the kernel: numbers here may be too low",
        ),
    ];
    told.into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| {
            (format!("{count} {}", if count == 1 { one } else { many }), CAUTION)
        })
        .collect()
}

fn kernel_counters(report: &Report) -> Vec<(String, Style)> {
    let audited = &report.audit.netns;
    let told = audited.iter().filter_map(|audit| {
        let counters = counters(audit)? + &elsewhere(report, audit);
        let note = match audited.len() {
            1 => format!("the kernel counted {counters}"),
            _ => format!("netns {}: the kernel counted {counters}", audit.netns),
        };
        Some((note, BAD))
    });
    told.collect()
}

/// That drops were those of other listeners too, which are not shown.
fn elsewhere(report: &Report, audit: &NetnsAudit) -> String {
    if let Some(unattributed @ 1..) = audit.unattributed {
        return format!("; whose {unattributed} of the drops were is not known");
    }
    let here = report.listeners.iter().filter(|one| one.netns == audit.netns);
    let shown = here.map(|one| one.drops.total).try_fold(0_u64, |sum, one| sum.checked_add(one?));
    let all = audit.counters.get("ListenDrops").and_then(|one| one.observed.or(one.kernel));
    let (Some(shown), Some(all)) = (shown, all) else { return String::new() };
    match (shown, all) {
        _ if shown >= all => String::new(),
        (0, _) => ": all at other listeners of the network namespace".to_owned(),
        _ => format!(": {shown} of them here, the others at other listeners of the namespace"),
    }
}

/// The counters that are not zero; `None` when there is none.
fn counters(audit: &NetnsAudit) -> Option<String> {
    let told: Vec<String> = COUNTERS
        .iter()
        .filter_map(|(name, meaning)| {
            let kernel = audit.counters.get(*name)?.kernel.filter(|kernel| *kernel > 0)?;
            Some(format!("{kernel} {name} ({meaning})"))
        })
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// Where observer and the kernel counted differently.
fn differences(report: &Report) -> Vec<(String, Style)> {
    let audited = &report.audit.netns;
    let told = audited.iter().filter_map(|audit| {
        let told: Vec<String> = COUNTERS
            .iter()
            .filter_map(|(name, _)| {
                let counter = audit.counters.get(*name)?;
                let (kernel, observed) = counter.kernel.zip(counter.observed)?;
                let by = observed.abs_diff(kernel);
                (by > 0)
                    .then(|| format!("{by} {name} (observer saw {observed}, the kernel {kernel})"))
            })
            .collect();
        let netns = match audited.len() {
            1 => String::new(),
            _ => format!("netns {}: ", audit.netns),
        };
        (!told.is_empty()).then(|| {
            (format!("{netns}counts disagree with the kernel by {}", told.join(", ")), CAUTION)
        })
    });
    told.collect()
}

/// What `~` means, once, if it is used.
fn estimates(report: &Report) -> Option<String> {
    if report.listeners.is_empty() {
        return None;
    }
    let told: Vec<String> = report
        .providers
        .signals()
        .into_iter()
        .filter(|(_, _, worth)| *worth == Worth::Estimate)
        .map(|(signal, provider, _)| {
            let many = provider.inferred.map(|count| format!("at most {count} too many"));
            let few = provider.uncounted.map(|count| format!("{count} that may be missing"));
            let bounds: Vec<String> = many.into_iter().chain(few).collect();
            match provider.via {
                _ if !bounds.is_empty() => format!("{signal}, {}", bounds.join(" and ")),
                Via::None => format!("{signal}, by the socket's own counter"),
                _ => signal.to_owned(),
            }
        })
        .collect();
    let listed = told.join("; ");
    (!told.is_empty()).then(|| format!("~ is an estimate: no hook sees every event ({listed})"))
}

fn unobserved(report: &Report) -> Option<String> {
    let signals = report.providers.signals().into_iter();
    let told: Vec<&str> = signals
        .filter(|(_, _, worth)| *worth == Worth::Nothing)
        .map(|(signal, _, _)| signal)
        .collect();
    let listed = told.join(", ");
    (!told.is_empty())
        .then(|| format!("not observed: {listed}; `observer doctor` tells what this kernel allows"))
}
