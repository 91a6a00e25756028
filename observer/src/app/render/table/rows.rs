//! The rows: listeners in order, their workers, and one line for those that are left out.

use anstyle::Style;

use super::TableOptions;
use super::cell::{Cell, DIM};
use super::columns::{COLUMNS, LEADING, Seen};
use super::layout::{Grid, Row};
use super::order::{by_trouble, idle};
use super::tally::Tally;
use super::{
    details,
    findings::{self, FixesTold},
    words,
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
