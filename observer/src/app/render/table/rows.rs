//! The rows: listeners in order, their workers, and one line for those that are left out.

use anstyle::Style;

use super::{
    TableOptions,
    columns::COLUMNS,
    details,
    order::{by_trouble, idle},
    tally::Tally,
};
use crate::app::render::{
    cell::{Cell, DIM},
    columns::LEADING,
    findings::{self, FixesTold},
    grid::{Grid, Row},
    labels,
};
use observer::model::{Listener, Report, Worker};

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
pub(super) fn grid(report: &Report, options: &TableOptions) -> Grid {
    let mut listeners: Vec<&Listener> = report.listeners.iter().collect();
    listeners.sort_by(|a, b| by_trouble(a, b));
    let (idle, busy): (Vec<&Listener>, Vec<&Listener>) =
        listeners.into_iter().partition(|listener| idle(listener));

    let mut rows = Vec::new();
    let mut fixes = FixesTold::default();
    for listener in busy {
        rows.push(of_listener(listener, report, &mut fixes, options, Style::new()));
        rows.extend(of_workers(listener, report, options.workers));
    }
    let shown = idle.len().min(options.idle);
    for listener in &idle[..shown] {
        rows.push(of_listener(listener, report, &mut fixes, options, DIM));
    }
    let left_out = u64::try_from(idle.len() - shown).unwrap_or(u64::MAX);
    if let more @ 1.. = left_out.saturating_add(report.idle_listeners) {
        let of = if shown > 0 { "more idle" } else { "idle" };
        let noun = if more == 1 { "listener" } else { "listeners" };
        let label = Cell::text(&format!("… {more} {of} {noun}")).or(&format!("… {more} {of}"), "");
        rows.push(Row { label: Some(label), style: DIM, ..Row::default() });
    }
    let headings = COLUMNS.iter().map(|column| column.heading(&report.providers)).collect();
    Grid { headings, leading: LEADING, rows, ..Grid::default() }
}

fn of_listener(
    listener: &Listener,
    report: &Report,
    fixes: &mut FixesTold,
    options: &TableOptions,
    style: Style,
) -> Row {
    let says = COLUMNS.iter().map(|column| column.of_listener(listener, &report.providers));
    let mut beneath = findings::lines(listener, fixes, options.details, options.width);
    if options.details {
        beneath.extend(details::lines(listener, &report.providers, options.width));
    }
    Row { cells: says.collect(), style, beneath, ..Row::default() }
}

/// The first `most` workers, and one row for the rest.
fn of_workers(listener: &Listener, report: &Report, most: usize) -> Vec<Row> {
    if most == 0 {
        return Vec::new();
    }
    let row = |label: Cell, tally: &Tally| {
        let says = COLUMNS.iter().map(|column| column.of_tally(tally, &report.providers));
        Row { label: Some(label), cells: says.collect(), style: DIM, ..Row::default() }
    };
    let ranked = ranked(&listener.workers);
    let (shown, rest) = ranked.split_at(ranked.len().min(most));
    let one = |worker: &&Worker| row(labels::worker(worker), &Tally::of_workers([*worker]));
    let mut rows: Vec<Row> = shown.iter().map(one).collect();
    if let more @ 1.. = rest.len() {
        let noun = if more == 1 { "worker" } else { "workers" };
        let label =
            Cell::text(&format!("  … {more} more {noun}")).or(&format!("  … {more} more"), "");
        rows.push(row(label, &Tally::of_workers(rest.iter().copied())));
    }
    rows
}
