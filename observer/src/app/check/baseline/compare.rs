//! What is worse than in the baseline, by how much it must be to count. Pure.

use observer::{findings::id, model::Report, units};

use super::group::{Before, Group, groups};
use crate::app::{
    check::{
        doubt::{Needs, doubt, is_estimate},
        limits::{Judged, Row, State},
        measure::{float, percent},
        subject::Subject,
    },
    render::text,
};

/// What came of a comparison.
pub struct Comparison {
    /// One limit for each number that is compared.
    pub judged: Vec<Judged>,
    /// What is to be said besides: listeners of the baseline that are missing.
    pub notes: Vec<String>,
}

/// A number that is compared.
pub(super) struct Compared {
    /// Its name.
    noun: &'static str,
    pub(super) needs: Needs,
    /// The number itself; `None` where there is none.
    value: fn(&Group) -> Option<f64>,
    /// How often it was measured.
    samples: fn(&Group) -> Option<u64>,
    /// Fewest measurements, in both, from which on it is compared: those of fewer differ from run to run.
    fewest: u64,
    /// Difference that counts for nothing whatever the tolerance, because the same server differs as much from run to
    /// run.
    floor: f64,
    show: fn(f64) -> String,
    explained_by: &'static str,
}

/// Fewest connections from which on shares of them are compared.
const FEWEST: u64 = 20;

/// What is compared.
pub(super) const COMPARED: [Compared; 4] = [
    Compared {
        noun: "herd ratio",
        needs: Needs { signals: &["wakeups", "accepts"], exact: true },
        value: Group::herd_ratio,
        samples: |group| group.accepted,
        fewest: FEWEST,
        // One connection in ten that wakes a task more.
        floor: 0.1,
        show: |ratio| units::ratio(Some(ratio)),
        explained_by: id::THUNDERING_HERD,
    },
    Compared {
        noun: "p99 accept wait",
        needs: Needs { signals: &["accepts", "handshakes"], exact: true },
        value: |group| group.wait.map(float),
        samples: |group| group.waits,
        // The one of a hundred that takes longer.
        fewest: 100,
        // What the scheduler makes of a busy machine.
        floor: 10_000_000.0,
        show: |time| units::time(nanoseconds(time)),
        explained_by: id::SLOW_ACCEPT,
    },
    Compared {
        noun: "drops per 1000 connections",
        needs: Needs { signals: &["drops", "handshakes"], exact: true },
        value: |group| group.per_thousand(group.drops),
        samples: |group| group.attempts,
        fewest: FEWEST,
        floor: 1.0,
        show: |rate| units::ratio(Some(rate)),
        explained_by: id::ACCEPT_QUEUE_OVERFLOW,
    },
    Compared {
        noun: "accept errors per 1000 connections",
        needs: Needs { signals: &["accepts", "handshakes"], exact: true },
        value: |group| group.per_thousand(group.errors),
        samples: |group| group.attempts,
        fewest: FEWEST,
        floor: 1.0,
        show: |rate| units::ratio(Some(rate)),
        explained_by: id::FD_EXHAUSTED,
    },
];

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn nanoseconds(time: f64) -> u64 {
    time as u64
}

impl Compared {
    /// The limit in words.
    pub(super) fn typed(&self, tolerance: f64) -> String {
        format!("--baseline: {} +{}", self.noun, percent(tolerance))
    }

    fn row(&self, now: &Group, before: &Group, tolerance: f64) -> Row {
        let mut subject = now.subject.clone();
        if before.port != now.port {
            subject.at += &format!(" (port {} then)", before.port);
        }
        let none = |shown: String| Row {
            subject: subject.clone(),
            shown,
            state: State::NotJudged,
            weight: f64::NEG_INFINITY,
        };
        let fewer = |group: &Group| (self.samples)(group).is_some_and(|count| count < self.fewest);
        let (value, was) = match ((self.value)(now), (self.value)(before)) {
            _ if fewer(now) => return none(format!("fewer than {} connections", self.fewest)),
            _ if fewer(before) => {
                return none(format!("fewer than {} connections in the baseline", self.fewest));
            }
            (Some(value), Some(was)) => (value, was),
            (None, _) => return none("not known".to_owned()),
            (_, None) => return none("not known in the baseline".to_owned()),
        };
        let is_worse = value > was * (1.0 + tolerance / 100.0) && value - was > self.floor;
        let weight = if was > 0.0 { value / was } else { value };
        Row {
            subject: subject.clone(),
            shown: format!("{}, was {}", (self.show)(value), (self.show)(was)),
            state: if is_worse { State::Broken } else { State::Held },
            weight,
        }
    }
}

pub(super) fn compare(
    baseline: &Before,
    report: &Report,
    tolerance: f64,
    allow_estimates: bool,
) -> Comparison {
    let now = groups(report);
    let (pairs, missing) = matched(&now, &baseline.groups);
    let judged = COMPARED.iter().map(|compared| {
        let rows = pairs.iter().map(|(now, before)| compared.row(now, before, tolerance));
        let of = |providers, audit| doubt(compared.needs, providers, audit, allow_estimates);
        let now = of(&report.providers, Some(&report.audit));
        let before =
            || of(&baseline.providers, None).map(|doubt| format!("in {}, {doubt}", baseline.file));
        Judged {
            limit: compared.typed(tolerance),
            explained_by: compared.explained_by,
            rows: rows.collect(),
            doubt: now.or_else(before),
            estimate: is_estimate(compared.needs, &report.providers)
                || is_estimate(compared.needs, &baseline.providers),
        }
    });
    let mut judged: Vec<Judged> = judged.collect();
    let is_compared = |one: &Judged| one.rows.iter().any(|row| row.state != State::NotJudged);
    if !judged.iter().any(is_compared) {
        judged.push(nothing_compared(baseline, pairs.is_empty()));
    }
    Comparison { judged, notes: notes(baseline, &missing) }
}

/// What is compared with nothing must not pass.
fn nothing_compared(baseline: &Before, none_matched: bool) -> Judged {
    let shown = if none_matched {
        "no listener of the baseline is here"
    } else {
        "too few connections to compare anything"
    };
    let row = Row {
        subject: Subject::all(),
        shown: shown.to_owned(),
        state: State::Broken,
        weight: f64::INFINITY,
    };
    let limit = format!("--baseline {}", baseline.file);
    Judged { limit, explained_by: "", rows: vec![row], doubt: None, estimate: false }
}

/// Most missing listeners that are told one by one.
const MOST_MISSING: usize = 10;

/// Listeners of the baseline that are missing and had accepted something.
fn notes(baseline: &Before, missing: &[&Group]) -> Vec<String> {
    let busy: Vec<&&Group> =
        missing.iter().filter(|group| group.accepted.is_none_or(|count| count > 0)).collect();
    let told = busy.iter().take(MOST_MISSING);
    let told = told.map(|group| {
        let words = group.subject.words();
        format!("{words} of the baseline is not here, and was not compared")
    });
    let mut notes: Vec<String> = told.collect();
    if let Some(more @ 1..) = busy.len().checked_sub(MOST_MISSING) {
        notes.push(format!("{more} more listeners of {} are not here", baseline.file));
    }
    notes.iter().map(|note| text::clean(note)).collect()
}

/// Groups of now with those of before, and those of before that are left: of the same port and program; else of the same
/// port, where the program of one is not known; else, because tests often listen on whatever port is free, the only ones
/// of a program that are left on either side.
fn matched<'a>(
    now: &'a [Group],
    before: &'a [Group],
) -> (Vec<(&'a Group, &'a Group)>, Vec<&'a Group>) {
    let (mut now, mut before): (Vec<_>, Vec<_>) = (now.iter().collect(), before.iter().collect());
    let mut pairs = Vec::new();
    let rules: [fn(&Group, &Group) -> bool; 3] = [
        |a, b| a.port == b.port && a.name == b.name,
        |a, b| a.port == b.port && (a.name.is_none() || b.name.is_none()),
        |a, b| a.name.is_some() && a.name == b.name,
    ];
    for fits in rules {
        let (all_now, all_before) = (now.clone(), before.clone());
        for one in all_now {
            let fitting: Vec<&Group> =
                all_before.iter().copied().filter(|other| fits(one, other)).collect();
            let rivals = now.iter().filter(|other| fitting.iter().any(|it| fits(other, it)));
            if let ([other], 1) = (fitting.as_slice(), rivals.count()) {
                now.retain(|left| !std::ptr::eq(*left, one));
                before.retain(|left| !std::ptr::eq(*left, *other));
                pairs.push((one, *other));
            }
        }
    }
    (pairs, before)
}

#[cfg(test)]
mod tests;
