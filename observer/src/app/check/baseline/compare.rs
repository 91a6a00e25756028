//! What is worse than in the baseline, by how much it must be to count. Pure.

pub(super) mod accepted;

use observer::{
    findings::id,
    model::Report,
    recording::matching::{OF_BASELINES, matched},
    units,
};

use super::{
    group::{Before, Group, groups},
    terms::{FEWEST, Terms},
};
use crate::app::{
    check::{
        doubt::{Needs, doubt, doubt_of, is_estimate},
        limits::{Judged, Row, State},
        measure::percent,
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
        value: |group| group.wait,
        samples: |group| group.waits,
        // The one of a hundred that takes longer.
        fewest: 100,
        // What the scheduler makes of a busy machine.
        floor: 10_000_000.0,
        show: |time| {
            if time.is_finite() { units::time(nanoseconds(time)) } else { "never".to_owned() }
        },
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
        let subject = now.subject_beside(before);
        let none = |shown: String| Row {
            subject: subject.clone(),
            shown,
            state: State::NotJudged,
            weight: f64::NEG_INFINITY,
        };
        let fewer = |group: &Group| (self.samples)(group).is_some_and(|count| count < self.fewest);
        let (value, was) = match ((self.value)(now), (self.value)(before)) {
            _ if fewer(before) => {
                return none(format!("fewer than {} connections in the baseline", self.fewest));
            }
            (_, None) => return none("not known in the baseline".to_owned()),
            _ if fewer(now) => return none(format!("fewer than {} connections", self.fewest)),
            (None, Some(was)) => {
                let shown = format!("not known, was {}", (self.show)(was));
                return Row { shown, state: State::Broken, weight: f64::INFINITY, subject };
            }
            (Some(value), Some(was)) => (value, was),
        };
        let is_worse = value > was * (1.0 + tolerance / 100.0) && value - was > self.floor;
        let weight = if was > 0.0 { value / was } else { value };
        Row {
            subject,
            shown: format!("{}, was {}", (self.show)(value), (self.show)(was)),
            state: if is_worse { State::Broken } else { State::Held },
            weight,
        }
    }
}

pub(super) fn compare(baseline: &Before, report: &Report, terms: Terms) -> Comparison {
    let Terms { tolerance, allow_estimates, .. } = terms;
    let now = groups(report);
    let (pairs, missing) = pairs(&now, &baseline.groups);
    let judged = |limit: String, needs: Needs, rows: Vec<Row>, explained_by| {
        let before = || {
            let doubt = doubt(needs, &baseline.providers, None, allow_estimates)?;
            Some(format!("in {}, {doubt}", baseline.file))
        };
        Judged {
            limit,
            explained_by,
            rows,
            doubt: doubt_of(needs, report, allow_estimates).or_else(before),
            estimate: is_estimate(needs, &report.providers)
                || is_estimate(needs, &baseline.providers),
        }
    };
    let numbers = COMPARED.iter().map(|one| {
        let rows = pairs.iter().map(|(now, before)| one.row(now, before, tolerance));
        judged(one.typed(tolerance), one.needs, rows.collect(), one.explained_by)
    });
    let numbers: Vec<Judged> = numbers.collect();
    let is_compared = |one: &Judged| one.rows.iter().any(|row| row.state != State::NotJudged);
    let is_empty = !numbers.iter().any(is_compared);
    let rows = pairs.iter().map(|&(now, before)| {
        accepted::row((now, report.window.seconds), (before, baseline.seconds), terms.fewer)
    });
    let accepted =
        judged(accepted::TYPED.to_owned(), accepted::NEEDS, rows.collect(), id::SILENT_CLIENTS);
    let is_told = accepted.is_broken();
    let mut judged: Vec<Judged> = numbers.into_iter().chain([accepted]).collect();
    if is_empty && !is_told {
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

/// Groups of now with those of before, and those of before that are left.
fn pairs<'a>(
    now: &'a [Group],
    before: &'a [Group],
) -> (Vec<(&'a Group, &'a Group)>, Vec<&'a Group>) {
    let [sought_before, sought_now] =
        [before, now].map(|all| all.iter().map(Group::sought).collect::<Vec<_>>());
    let (mut pairs, mut left) = (Vec::new(), Vec::new());
    for pair in matched(&sought_before, &sought_now, &OF_BASELINES) {
        match pair {
            (Some(before_index), Some(index)) => pairs.push((&now[index], &before[before_index])),
            (Some(index), None) => left.push(&before[index]),
            (None, _) => {}
        }
    }
    (pairs, left)
}

#[cfg(test)]
mod tests;
