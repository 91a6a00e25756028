//! The report for people: one line per listener, its workers beneath it.
//!
//! Laid out here and not by a table crate. What this table needs is that columns leave whole when
//! there is no room, that a number is never cut, that a worker's line has a label across several
//! columns, and that no line is wider than the screen. comfy-table and tabled wrap or cut the cells
//! of any column to make room, numbers included (`12345…`), drop no column, and are wider than
//! asked once each column is down to its least. Deciding columns and widths is thus ours with them
//! too, and what would be left for them is to pad.

mod backlog;
mod cell;
mod columns;
mod details;
mod findings;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod heading;
mod layout;
mod legend;
mod live;
mod notes;
mod options;
mod order;
mod rows;
pub mod still;
mod tally;
#[cfg(test)]
mod tests;
mod words;

use cell::Line;

pub use live::{CLEAR_SCREEN, live_frame};
pub use options::TableOptions;
pub use words::{empty, flags};

use observer::model::{Report, WindowKind};

/// The report as text, each line ended by a line break and none wider than the options say.
pub fn render(report: &Report, options: &TableOptions) -> String {
    let mut page = Page::new(report, options);
    // A legend belongs to the last word, not beneath each of a hundred intervals.
    if report.window.kind == WindowKind::Interval {
        page.legend.clear();
    }
    let mut text = String::new();
    for line in page.lines() {
        text.push_str(&line.paint(options.width, options.colour));
        text.push('\n');
    }
    text
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
        let heading = heading::line(report, options.width);
        if report.listeners.is_empty() {
            let empty = match report.idle_listeners {
                0 => options.empty.clone(),
                1 => "nothing happened on 1 listener; --idle shows it".to_owned(),
                idle => format!("nothing happened on {idle} listeners; --idle shows them"),
            };
            let mut notes = notes::styled(&empty, anstyle::Style::new(), options.width);
            notes.extend(notes::lines(report, options.width));
            return Self { heading, table: Vec::new(), notes, legend: Vec::new() };
        }
        let seen = columns::Seen::new(report);
        let grid = rows::grid(report, &seen, options);
        let layout = grid.layout(options.width);
        Self {
            heading,
            table: grid.lines(&layout),
            notes: notes::lines(report, options.width),
            legend: legend::lines(report, &seen, &layout, options.width),
        }
    }

    /// All lines, a blank one between the parts that are there.
    fn lines(self) -> Vec<Line> {
        let mut lines = vec![self.heading];
        for part in [self.table, self.notes, self.legend] {
            if !part.is_empty() {
                lines.push(Line::default());
                lines.extend(part);
            }
        }
        lines
    }
}
