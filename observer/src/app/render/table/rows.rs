//! The rows: listeners in order, their workers, and one line for those that are left out.

use std::{cmp::Ordering, collections::BTreeMap};

use anstyle::Style;

use super::TableOptions;
use super::cell::{Cell, DIM};
use super::columns::{COLUMNS, LEADING, Seen};
use super::layout::{Grid, Row};
use super::{
    details,
    findings::{self, FixesTold},
    words,
};
use observer::report::model::{Listener, Report, Wakeups, Worker};

/// The counts that listeners and workers share, and that can be summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) wakeups: Wakeups,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn of(listener: &Listener) -> Self {
        Self {
            accepted: listener.accepted,
            wakeups: listener.wakeups,
            errors: listener.accept_errors.clone(),
        }
    }

    fn of_workers<'a>(workers: impl IntoIterator<Item = &'a Worker>) -> Self {
        workers.into_iter().fold(Self::default(), |mut sum, worker| {
            sum.accepted = sum.accepted.saturating_add(worker.accepted);
            sum.wakeups = added(sum.wakeups, worker.wakeups);
            for (name, count) in &worker.accept_errors {
                let errors = sum.errors.entry(name.clone()).or_default();
                *errors = errors.saturating_add(*count);
            }
            sum
        })
    }

    /// Wakeups that came to nothing, as far as decided.
    pub(super) fn wasted(&self) -> u64 {
        let Wakeups { lost, silent, failed, .. } = self.wakeups;
        lost.saturating_add(silent).saturating_add(failed)
    }

    pub(super) fn eagain(&self) -> u64 {
        self.errors.get("EAGAIN").copied().unwrap_or(0)
    }

    /// Errors of accept that are no answer to `nothing there yet`.
    pub(super) fn other_errors(&self) -> u64 {
        self.others().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The same by name, the most frequent first: `EMFILE 12`.
    pub(super) fn named_errors(&self) -> Vec<String> {
        let mut others: Vec<_> = self.others().filter(|(_, count)| **count > 0).collect();
        others.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        others.into_iter().map(|(name, count)| format!("{name} {count}")).collect()
    }

    fn others(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.errors.iter().filter(|(name, _)| *name != "EAGAIN")
    }
}

fn added(a: Wakeups, b: Wakeups) -> Wakeups {
    Wakeups {
        total: a.total.saturating_add(b.total),
        won: a.won.saturating_add(b.won),
        lost: a.lost.saturating_add(b.lost),
        failed: a.failed.saturating_add(b.failed),
        silent: a.silent.saturating_add(b.silent),
        pending: a.pending.saturating_add(b.pending),
    }
}

/// Whether a listener has nothing to show, and nothing is wrong with it.
pub(super) fn idle(listener: &Listener) -> bool {
    listener.findings.is_empty()
        && listener.accepted == 0
        && listener.queued == 0
        && listener.wakeups.total == 0
        && listener.accept_errors.values().all(|count| *count == 0)
        && listener.drops.total.unwrap_or(0) == 0
        && listener.drops.at_most.is_none()
        && listener.accept_queue.max == 0
        && listener.accept_queue.now.unwrap_or(0) == 0
        // A flood may never come further than this.
        && listener.syn_queue.max.max(listener.syn_queue.now).unwrap_or(0) == 0
        && listener.syn_queue.cookies_sent.unwrap_or(0) == 0
}

/// The worst finding first: what loses connections must not be the line that the screen has no room for. Then
/// the worst herd; no ratio last; then the busiest; then what still listens; then by port. The rest of the
/// comparison only keeps listeners in their places from one frame to the next.
pub(super) fn by_trouble(a: &Listener, b: &Listener) -> Ordering {
    let ratio = |listener: &Listener| listener.herd_ratio.filter(|ratio| ratio.is_finite());
    let herd = match (ratio(a), ratio(b)) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    let worst = |listener: &Listener| listener.findings.iter().map(|one| one.severity).max();
    worst(b)
        .cmp(&worst(a))
        .then(herd)
        .then(b.accepted.cmp(&a.accepted))
        .then(a.closed.cmp(&b.closed))
        .then(a.port.cmp(&b.port))
        .then_with(|| a.address.cmp(&b.address))
        .then(a.netns.cmp(&b.netns))
        .then(a.inode.cmp(&b.inode))
}

/// The listener's workers, those that got most first.
fn ranked(workers: &[Worker]) -> Vec<&Worker> {
    let mut ranked: Vec<&Worker> = workers.iter().collect();
    ranked.sort_by(|a, b| {
        b.accepted
            .cmp(&a.accepted)
            .then(b.wakeups.total.cmp(&a.wakeups.total))
            .then(a.pid.cmp(&b.pid))
            .then(a.tid.cmp(&b.tid))
    });
    ranked
}

/// The whole table, before anything is known about room.
pub(super) fn grid(report: &Report, seen: &Seen, options: &TableOptions) -> Grid {
    let mut grid = Grid {
        shapes: COLUMNS
            .iter()
            .filter(|column| seen.shows(**column))
            .map(|column| column.shape(seen, options.width))
            .collect(),
        leading: COLUMNS[..LEADING].iter().filter(|column| seen.shows(**column)).count(),
        rows: Vec::new(),
    };
    let mut listeners: Vec<&Listener> = report.listeners.iter().collect();
    listeners.sort_by(|a, b| by_trouble(a, b));
    let (idle, busy): (Vec<&Listener>, Vec<&Listener>) =
        listeners.into_iter().partition(|listener| idle(listener));

    let mut fixes = FixesTold::default();
    for listener in busy {
        grid.rows.push(listener_row(listener, seen, &mut fixes, options, Style::new()));
        workers(&mut grid.rows, listener, seen, options.workers);
    }
    let shown = idle.len().min(options.idle);
    for listener in &idle[..shown] {
        grid.rows.push(listener_row(listener, seen, &mut fixes, options, DIM));
    }
    let left_out = u64::try_from(idle.len() - shown).unwrap_or(u64::MAX);
    if let more @ 1.. = left_out.saturating_add(report.idle_listeners) {
        let of = if shown > 0 { "more idle" } else { "idle" };
        let noun = if more == 1 { "listener" } else { "listeners" };
        let label = Cell::text(&format!("… {more} {of} {noun}")).or(&format!("… {more} {of}"), "");
        let cells = shown_columns(seen).map(|_| Cell::blank()).collect();
        grid.rows.push(Row { label: Some(label), cells, style: DIM, beneath: Vec::new() });
    }
    grid
}

fn shown_columns(seen: &Seen) -> impl Iterator<Item = super::columns::Column> {
    COLUMNS.into_iter().filter(|column| seen.shows(*column))
}

fn listener_row(
    listener: &Listener,
    seen: &Seen,
    fixes: &mut FixesTold,
    options: &TableOptions,
    style: Style,
) -> Row {
    let cells = shown_columns(seen).map(|column| column.of_listener(listener, seen)).collect();
    let mut beneath = findings::lines(listener, fixes, options);
    if options.details {
        beneath.extend(details::lines(listener, seen, options.width));
    }
    Row { label: None, cells, style, beneath }
}

fn workers(rows: &mut Vec<Row>, listener: &Listener, seen: &Seen, most: usize) {
    if most == 0 {
        return;
    }
    let row = |label: Cell, tally: &Tally| Row {
        label: Some(label),
        cells: shown_columns(seen).map(|column| column.of_tally(tally, seen)).collect(),
        style: DIM,
        beneath: Vec::new(),
    };
    let ranked = ranked(&listener.workers);
    let (shown, rest) = ranked.split_at(ranked.len().min(most));
    for worker in shown {
        rows.push(row(words::worker(worker), &Tally::of_workers([*worker])));
    }
    if !rest.is_empty() {
        let more = rest.len();
        let noun = if more == 1 { "worker" } else { "workers" };
        let label =
            Cell::text(&format!("  … {more} more {noun}")).or(&format!("  … {more} more"), "");
        rows.push(row(label, &Tally::of_workers(rest.iter().copied())));
    }
}
