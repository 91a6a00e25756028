//! The rows: listeners in order, their workers, and one line for those that are left out.

use anstyle::Style;

use super::{
    TableOptions,
    columns::COLUMNS,
    details,
    group::{self, Block},
    hidden::Hidden,
    tally::Tally,
};
use crate::app::render::{
    cell::{Cell, DIM},
    columns::LEADING,
    findings::{self, FixesTold, Room},
    grid::{Grid, Row},
    labels,
    line::{Line, indented},
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
pub(super) fn grid(report: &Report, options: &TableOptions, hidden: &Hidden) -> Grid {
    let (idle, busy): (Vec<Block>, Vec<Block>) =
        Block::of_all(report.listeners.iter()).into_iter().partition(Block::is_idle);

    let mut rows = Vec::new();
    let mut making = Making { report, options, hidden, fixes: FixesTold::up_to(options.fixes) };
    for block in &busy {
        if block.is_group() {
            rows.extend(making.of_group(block));
        } else {
            rows.push(making.of_listener(block.row(), Style::new()));
            rows.extend(of_workers(block.row(), report, options.workers));
        }
    }
    let (shown, rest) = idle.split_at(idle.len().min(options.idle));
    for block in shown {
        let mut row = making.of_listener(block.row(), DIM);
        row.cells[0] = group::address(block);
        rows.push(row);
    }
    let left_out = rest.iter().map(|block| block.members.len()).sum::<usize>();
    let left_out = u64::try_from(left_out).unwrap_or(u64::MAX);
    if let more @ 1.. = left_out.saturating_add(report.idle_listeners) {
        let of = if !shown.is_empty() { "more idle" } else { "idle" };
        let noun = if more == 1 { "listener" } else { "listeners" };
        let label = Cell::text(&format!("… {more} {of} {noun}")).or(&format!("… {more} {of}"), "");
        rows.push(Row { label: Some(label), style: DIM, ..Row::default() });
    }
    let headings = COLUMNS.iter().map(|column| column.heading(&report.providers)).collect();
    Grid { headings, leading: LEADING, rows, ..Grid::default() }
}

/// What rows are made of, and what the rows above have said already.
struct Making<'a> {
    report: &'a Report,
    options: &'a TableOptions,
    hidden: &'a Hidden,
    fixes: FixesTold,
}

impl Making<'_> {
    fn of_listener(&mut self, listener: &Listener, style: Style) -> Row {
        let beneath = self.beneath(listener);
        Row { style, beneath, ..self.bare(listener) }
    }

    /// Its numbers alone.
    fn bare(&self, listener: &Listener) -> Row {
        let providers = &self.report.providers;
        let says = COLUMNS.iter().map(|column| column.of_listener(listener, providers));
        Row { cells: says.collect(), ..Row::default() }
    }

    /// What is wrong with a listener, and more of its numbers.
    fn beneath(&mut self, listener: &Listener) -> Vec<Line> {
        let (width, providers) = (self.options.width, &self.report.providers);
        let room = match (self.options.live, self.options.numbers) {
            (false, _) => Room::Steps,
            (true, true) => Room::All,
            (true, false) => Room::Fixes,
        };
        let mut beneath = findings::lines(listener, &mut self.fixes, room, width);
        if self.options.numbers {
            let words = self.hidden.words(listener, providers).into_iter();
            beneath.extend(words.flat_map(|words| indented(&words, "  ", DIM, width)));
            beneath.extend(details::lines(listener, providers, width));
        }
        beneath
    }

    /// A reuseport group: its sum, and beneath it its members, the worst first. Those with a finding are all
    /// shown, the others only so far as workers would be.
    fn of_group(&mut self, block: &Block<'_>) -> Vec<Row> {
        let mut sum = self.bare(block.row());
        sum.cells[0] = group::address(block);
        let least = block.least().filter(|_| self.options.numbers).into_iter();
        sum.beneath.extend(least.flat_map(|least| indented(&least, "  ", DIM, self.options.width)));
        let mut rows = vec![sum];
        let told = block.members.iter().filter(|one| !one.findings.is_empty()).count();
        let shown = told.max(self.options.workers).min(block.members.len());
        let (shown, rest) = block.members.split_at(shown);
        for member in shown {
            let row = self.of_listener(member, DIM);
            rows.push(Row { label: Some(group::label(member)), ..row });
        }
        if !rest.is_empty() && self.options.workers > 0 {
            let noun = if rest.len() == 1 { "member" } else { "members" };
            let label = Cell::text(&format!("  … {} more {noun}", rest.len()));
            if let Some(tally) = Tally::of_all(rest) {
                rows.push(of_tally(label, &tally, self.report));
            }
        }
        rows
    }
}

fn of_tally(label: Cell, tally: &Tally, report: &Report) -> Row {
    let says = COLUMNS.iter().map(|column| column.of_tally(tally, &report.providers));
    Row { label: Some(label), cells: says.collect(), style: DIM, ..Row::default() }
}

/// The first `most` workers, and one row for the rest.
fn of_workers(listener: &Listener, report: &Report, most: usize) -> Vec<Row> {
    if most == 0 {
        return Vec::new();
    }
    let row = |label: Cell, tally: &Tally| of_tally(label, tally, report);
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
