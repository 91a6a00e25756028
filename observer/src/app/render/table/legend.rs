//! What the headers mean, for those who meet them for the first time.

use super::cell::{DIM, Line};
use super::columns::{COLUMNS, Column, Seen};
use super::layout::Layout;
use super::notes::styled;
use super::order;
use observer::model::Report;

/// What the headers mean, for those that are shown; nothing where nothing happened.
pub(super) fn lines(report: &Report, seen: &Seen, layout: &Layout, width: usize) -> Vec<Line> {
    if report.listeners.iter().all(order::idle) {
        return Vec::new();
    }
    let shown = COLUMNS.into_iter().filter(|column| seen.shows(*column)).zip(&layout.widths);
    let words: Vec<&str> = shown
        .filter(|(_, width)| width.is_some())
        .filter_map(|(column, _)| meaning(column))
        .collect();
    // A screen too narrow for any number needs no words on numbers.
    if words.is_empty() { Vec::new() } else { styled(&words.join("; "), DIM, width) }
}

fn meaning(column: Column) -> Option<&'static str> {
    Some(match column {
        Column::Queued => "QUEUED = connections that completed the handshake",
        Column::Wakeups => "WAKEUPS = tasks woken by the listener",
        Column::Herd => "HERD = wakeups per accepted connection, 1.00 is ideal",
        Column::Wasted => "WASTED = share of wakeups that accepted nothing",
        Column::Won => "WON = wakeups that accepted",
        Column::Lost => "LOST = found nothing left (EAGAIN)",
        Column::Silent => "SILENT = slept again without calling accept",
        Column::Failed => "FAILED = got another error",
        Column::Pending => "PENDING = not decided yet",
        Column::Eagain => "EAGAIN = accept calls that found nothing",
        Column::Queue => "QUEUE = most connections that waited for accept/limit",
        Column::Wait => "P99 WAIT = from queued to accepted, 99 of 100 took less",
        Column::Drops => "DROPS = connection attempts refused",
        Column::Fairness => "FAIRNESS = how evenly workers accept, 1.00 is evenly",
        _ => return None,
    })
}
