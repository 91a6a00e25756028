//! The report for people: one line per listener, its workers beneath it.

pub mod columns;
mod details;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod group;
pub mod heading;
mod hidden;
mod legend;
mod live;
pub mod notes;
mod options;
pub mod order;
mod rows;
pub mod tally;
#[cfg(test)]
mod tests;

use hidden::Hidden;
pub use live::{CLEAR_SCREEN, live_frame};
pub use options::TableOptions;

use crate::app::{
    args::FilterArgs,
    render::{
        labels,
        line::{Line, joined, painted, wrapped},
    },
};
use observer::model::{Report, WindowKind};

/// The sentence for a report without any listener.
pub fn empty(filters: &FilterArgs) -> String {
    labels::empty(filters, "in this window")
}

/// The report as text, each line ended by a line break and none wider than the options say.
pub fn render(report: &Report, options: &TableOptions) -> String {
    let mut page = Page::new(report, options);
    // A legend belongs to the last word, not beneath each of a hundred intervals.
    if report.window.kind == WindowKind::Interval {
        page.legend.clear();
    }
    painted(&page.lines(), options.width, options.colour)
}

/// The parts of what is shown, from top to bottom.
struct Page {
    heading: Line,
    table: Vec<Line>,
    notes: Vec<Line>,
    legend: Vec<Line>,
}

impl Page {
    fn new(report: &Report, options: &TableOptions) -> Self {
        let heading = heading::line(report, options.live, options.width);
        if report.listeners.is_empty() {
            let empty = match report.idle_listeners {
                0 => options.empty.clone(),
                1 => "nothing happened on 1 listener; --idle shows it".to_owned(),
                idle => format!("nothing happened on {idle} listeners; --idle shows them"),
            };
            let mut notes = wrapped(&empty, anstyle::Style::new(), options.width);
            notes.extend(notes::lines(report, options.width));
            return Self { heading, table: Vec::new(), notes, legend: Vec::new() };
        }
        let grid = rows::grid(report, options, &Hidden::default());
        let layout = grid.layout(options.width);
        let hidden = Hidden::of(&grid, &layout);
        // What stands beneath the rows changes no column.
        let grid = if hidden.any() { rows::grid(report, options, &hidden) } else { grid };
        Self {
            heading,
            table: grid.lines(&layout),
            notes: notes::lines(report, options.width),
            legend: legend::lines(report, &grid, &layout, options.width),
        }
    }

    /// All lines, a blank one between the parts that are there.
    fn lines(self) -> Vec<Line> {
        joined([vec![self.heading], self.table, self.notes, self.legend])
    }
}
