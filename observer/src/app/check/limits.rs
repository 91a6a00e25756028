//! Limits, and what a report makes of each. Pure.

use observer::{
    findings::id,
    model::{Finding, Listener, Report, Severity, Window},
};

use super::{
    args::{FailOn, LimitArgs},
    doubt::{Needs, doubt_of, is_estimate},
    measure::{
        ACCEPT_ERRORS, ACCEPT_WAIT, DROPS, HERD_RATIO, Measure, QUEUE_USED, Value, float, percent,
        typed,
    },
    subject::Subject,
};
use crate::app::render::text;

/// Something that must hold.
pub enum Limit {
    /// No listener's number may be above this.
    Most(&'static Measure, f64, String),
    /// Fewest connections that all listeners together must have accepted.
    MinAccepted(u64),
    /// No listener may have such a finding.
    NoFinding(FailOn),
}

/// What became of one limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The limit as it is typed: `--max-herd-ratio 2`.
    pub limit: String,
    /// Finding whose explanation tells what the number means; empty where there is none.
    pub explained_by: &'static str,
    /// One row for each listener, or one for all.
    pub rows: Vec<Row>,
    /// Why its numbers decide nothing here, in one sentence; `None` where they do.
    pub doubt: Option<String>,
    /// Whether its numbers are estimates.
    pub estimate: bool,
}

/// A limit and what it was held against.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it was held against.
    pub subject: Subject,
    /// The number as people read it, or why there is none. Safe to print.
    pub shown: String,
    /// What became of it.
    pub state: State,
    /// Number to order by, the worst first.
    pub weight: f64,
}

/// What became of a limit on one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is broken.
    Broken,
    /// It holds.
    Held,
    /// There is no number that it would be about.
    NotJudged,
}

/// The limits that the arguments ask for, without the baseline. Beside any other there is one of at least one accepted
/// connection, so that a window in which nothing happened does not pass.
pub fn limits(args: &LimitArgs) -> Vec<Limit> {
    let mut limits = Vec::new();
    let mut most = |measure, limit: Option<(f64, String)>| {
        limits.extend(limit.map(|(limit, typed)| Limit::Most(measure, limit, typed)));
    };
    let count = |limit: Option<u64>| limit.map(|limit| (float(limit), limit.to_string()));
    most(&HERD_RATIO, args.max_herd_ratio.map(|ratio| (ratio, ratio.to_string())));
    most(&DROPS, count(args.max_drops));
    let nanoseconds =
        |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    most(
        &ACCEPT_WAIT,
        args.max_accept_wait_p99.map(|time| (float(nanoseconds(time)), typed(time))),
    );
    most(&QUEUE_USED, args.max_queue_used.map(|limit| (limit, percent(limit))));
    most(&ACCEPT_ERRORS, count(args.max_accept_errors));
    limits.extend(args.fail_on.iter().cloned().map(Limit::NoFinding));
    limits.push(Limit::MinAccepted(args.min_accepted.unwrap_or(1)));
    limits
}

impl Limit {
    /// The limit as it is typed.
    pub fn typed(&self) -> String {
        match self {
            Self::Most(measure, _, typed) => format!("{} {typed}", measure.flag),
            Self::MinAccepted(least) => format!("--min-accepted {least}"),
            Self::NoFinding(FailOn::Finding(id)) => format!("--fail-on {id}"),
            Self::NoFinding(FailOn::Severity(severity)) => format!("--fail-on {}", word(*severity)),
        }
    }

    /// What it needs of the hooks. The fewest accepted connections need not be exact: hooks miss some at worst, and see
    /// none that was not.
    pub fn needs(&self) -> Needs {
        let signals = self.signals();
        Needs { signals, exact: !matches!(self, Self::MinAccepted(_)) }
    }

    /// Signals that it depends on.
    fn signals(&self) -> &'static [&'static str] {
        match self {
            Self::Most(measure, ..) => measure.signals,
            Self::MinAccepted(_) => &["accepts"],
            Self::NoFinding(FailOn::Severity(_)) => &["wakeups", "accepts", "handshakes", "drops"],
            Self::NoFinding(FailOn::Finding(id)) => match id.as_str() {
                id::THUNDERING_HERD => &["wakeups", "accepts"],
                id::ONE_WORKER_TAKES_ALL | id::FD_EXHAUSTED => &["accepts"],
                id::ACCEPT_QUEUE_OVERFLOW | id::SILENT_CLIENTS => &["handshakes", "drops"],
                id::ACCEPT_QUEUE_NEAR_LIMIT => &["handshakes"],
                id::SYN_QUEUE_OVERFLOW => &["drops"],
                id::SLOW_ACCEPT => &["accepts", "handshakes"],
                // What was asked of listen() does not come from counts.
                _ => &[],
            },
        }
    }

    /// Holds it against a report.
    pub fn judge(&self, report: &Report, subjects: &[Subject], allow_estimates: bool) -> Judged {
        let each = |row: &dyn Fn(&Listener, Subject) -> Row| {
            let all = report.listeners.iter().zip(subjects.iter().cloned());
            all.map(|(listener, subject)| row(listener, subject)).collect::<Vec<_>>()
        };
        let (explained_by, rows) = match self {
            Self::Most(measure, limit, _) => (
                measure.explained_by,
                each(&|listener, subject| {
                    most(measure, *limit, (listener, &report.window), subject)
                }),
            ),
            Self::MinAccepted(least) => ("", vec![min_accepted(*least, report)]),
            Self::NoFinding(which) => {
                ("", each(&|listener, subject| no_finding(which, listener, subject)))
            }
        };
        let doubt = doubt_of(self.needs(), report, allow_estimates);
        let estimate = is_estimate(self.needs(), &report.providers);
        Judged { limit: self.typed(), explained_by, rows, doubt, estimate }
    }
}

fn most(
    measure: &Measure,
    limit: f64,
    (listener, window): (&Listener, &Window),
    subject: Subject,
) -> Row {
    let show = |value: f64| {
        let (text, of_limit) = ((measure.show)(value), (measure.show)(limit));
        // A value that is above its limit must not look like it.
        if value > limit && text == of_limit { (measure.show_precisely)(value) } else { text }
    };
    let judged = |value: f64| if value > limit { State::Broken } else { State::Held };
    let (shown, state, weight) = match (measure.value)(listener, window) {
        Value::Is(value) => (show(value), judged(value), value),
        Value::Of(value, what) => (format!("{} ({what})", show(value)), judged(value), value),
        Value::Endless(words) => (words, State::Broken, f64::INFINITY),
        Value::AtLeast(least, most) => {
            let shown = format!("{} to {}", show(least), (measure.show)(most));
            match (judged(least), judged(most)) {
                // Nobody can say that it holds.
                (State::Held, State::Broken) => {
                    let limit = (measure.show)(limit);
                    (format!("{shown}, not known whether above {limit}"), State::Broken, most)
                }
                (_, state) => (shown, state, most),
            }
        }
        Value::None(why) => (why.to_owned(), State::NotJudged, f64::NEG_INFINITY),
        Value::Unknown(why) => (format!("not known: {why}"), State::Broken, f64::INFINITY),
    };
    Row { subject, shown, state, weight }
}

fn min_accepted(least: u64, report: &Report) -> Row {
    let accepted = report.listeners.iter().filter_map(|listener| listener.accepted);
    let sum = accepted.fold(0, u64::saturating_add);
    let state = if sum < least { State::Broken } else { State::Held };
    let shown = match (sum, report.listeners.len()) {
        (0, 0) => "no listener was there".to_owned(),
        (0, _) => "nothing was accepted".to_owned(),
        (sum, _) => sum.to_string(),
    };
    Row { subject: Subject::all(), shown, state, weight: -float(sum) }
}

fn no_finding(which: &FailOn, listener: &Listener, subject: Subject) -> Row {
    let is_meant = |finding: &&Finding| match which {
        FailOn::Finding(id) => finding.id == *id,
        FailOn::Severity(least) => finding.severity >= *least,
    };
    // The worst comes first.
    let found: Vec<&Finding> = listener.findings.iter().filter(is_meant).collect();
    let asks_for_clamp = matches!(which, FailOn::Finding(one) if one == id::BACKLOG_CLAMPED);
    if found.is_empty() && asks_for_clamp && listener.backlog.clamped.is_none() {
        let shown = "not known: its listen() was before the window".to_owned();
        return Row { subject, shown, state: State::NotJudged, weight: f64::NEG_INFINITY };
    }
    let Some(first) = found.first() else {
        return Row { subject, shown: "none".to_owned(), state: State::Held, weight: 0.0 };
    };
    let more = match found.len() {
        1 => String::new(),
        several => format!(" (and {} more)", several - 1),
    };
    let shown = text::clean(&format!("{}: {}{more}", first.id, first.summary));
    let weight = match first.severity {
        Severity::Info => 1.0,
        Severity::Warning => 2.0,
        Severity::Critical => 3.0,
    };
    Row { subject, shown, state: State::Broken, weight }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

impl Judged {
    /// The number of one of its rows, marked where it is an estimate.
    pub fn shown(&self, row: &Row) -> String {
        let starts = row.shown.starts_with(|first: char| first.is_ascii_digit() || first == '<');
        if self.estimate && starts { format!("~{}", row.shown) } else { row.shown.clone() }
    }

    /// Whether it is broken, by numbers that decide.
    pub fn is_broken(&self) -> bool {
        self.doubt.is_none() && self.has_broken()
    }

    /// Whether there was nothing that it could have been held against.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|row| row.state == State::NotJudged)
    }

    /// Whether a row is broken, whatever its number is worth.
    pub fn has_broken(&self) -> bool {
        self.rows.iter().any(|row| row.state == State::Broken)
    }

    /// Its rows, the worst first.
    pub fn worst_first(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.state.cmp(&b.state).then(b.weight.total_cmp(&a.weight)));
        rows
    }
}

#[cfg(test)]
mod tests;
