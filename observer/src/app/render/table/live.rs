//! The live view: each report in the place of the one before.

use super::{Page, TableOptions, render};
use crate::app::render::{cell::DIM, line::Line};
use observer::model::Report;

/// Takes the last frame away: for what is printed when the live view ends, whole and in its place.
pub const CLEAR_SCREEN: &str = "\x1b[H\x1b[J";

/// About twice as many cures as a screen has room for.
const FIXES: usize = 16;

/// Cursor to the upper left corner.
const HOME: &str = "\x1b[H";
/// Clears from the cursor to the end of the line.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears from the cursor to the end of the screen.
const CLEAR_BELOW: &str = "\x1b[J";

/// One frame: on a terminal of so many rows it takes the place of the frame before; without rows
/// (a pipe, a dumb terminal) it is a block to append, a blank line after it.
///
/// A frame leaves the cursor on a free line beneath it, so that whatever is written next does not
/// run into it. To be written with one call, which keeps a terminal from showing half of it.
pub fn live_frame(report: &Report, options: &TableOptions, rows: Option<usize>) -> String {
    let Some(rows) = rows else { return render(report, options) + "\n" };
    let rows = rows.saturating_sub(1);
    let mut lines = fit(page(report, options, rows), rows);
    lines.truncate(rows.max(1));
    let mut frame = HOME.to_owned();
    for line in lines {
        // Cleared before and not after it is written: a line as wide as the screen leaves the
        // cursor upon its last character, which clearing would take away.
        frame.push_str(CLEAR_LINE);
        frame.push_str(&line.paint(options.width, options.colour));
        frame.push('\n');
    }
    frame.push_str(CLEAR_BELOW);
    frame
}

/// The page with as many worker lines, then numbers, idle listeners and fixes, as leave room for every
/// listener that has something to show, if that can be had. What is wrong and how to cure it goes last.
fn page(report: &Report, options: &TableOptions, rows: usize) -> Page {
    let mut options = TableOptions { live: true, ..options.clone() };
    loop {
        let mut page = Page::new(report, &options);
        if options.fixes < usize::MAX {
            page.legend.clear();
        }
        // The heading, and a blank line above each part.
        if page.table.len() + page.notes.len() + 3 <= rows {
            return page;
        }
        match options {
            TableOptions { workers: workers @ 1.., .. } => options.workers = workers / 2,
            TableOptions { numbers: true, .. } => options.numbers = false,
            TableOptions { idle: idle @ 1.., .. } => options.idle = idle / 2,
            TableOptions { fixes: fixes @ 1.., .. } => options.fixes = fixes.min(FIXES) / 2,
            TableOptions { .. } => return page,
        }
    }
}

/// The page in so many rows: notes keep a third of them, the legend comes only into free ones.
fn fit(mut page: Page, rows: usize) -> Vec<Line> {
    let room = rows.saturating_sub(1);
    let table = page.table.len() + usize::from(!page.table.is_empty());
    let notes = page.notes.len() + usize::from(!page.notes.is_empty());
    let for_notes = notes.min((room / 3).max(room.saturating_sub(table)));
    let for_table = table.min(room - for_notes);
    // One row of each part is the blank line above it.
    shorten(&mut page.notes, for_notes.saturating_sub(1), "");
    shorten(&mut page.table, for_table.saturating_sub(1), ": enlarge the window, or filter");
    if room - for_notes - for_table <= page.legend.len() {
        page.legend.clear();
    }
    page.lines()
}

/// Keeps the first lines, the last of them saying how many are left out.
fn shorten(lines: &mut Vec<Line>, most: usize, advice: &str) {
    if lines.len() <= most {
        return;
    }
    let kept = most.saturating_sub(1);
    let left_out = lines.len() - kept;
    lines.truncate(kept);
    if most > 0 {
        let noun = if left_out == 1 { "line" } else { "lines" };
        lines.push(Line::new(format!("… {left_out} more {noun}{advice}"), DIM));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures::{self, options};

    #[test]
    fn a_frame_redraws_in_place_and_never_scrolls() {
        for report in fixtures::all() {
            for rows in (0..12).chain([24, 25, 43, 60]) {
                let frame = live_frame(&report, &options(80), Some(rows));
                assert!(frame.starts_with(HOME) && frame.ends_with("\n\x1b[J"));
                let lines = frame.matches('\n').count();
                assert!(lines < rows.max(2), "{lines} lines on {rows} rows");
                assert_eq!(frame.matches(CLEAR_LINE).count(), lines);
            }
        }
    }

    #[test]
    fn a_high_screen_shows_everything() {
        let mut report = fixtures::herd(8);
        // But for what is there to be copied, which is not redrawn.
        for finding in report.listeners.iter_mut().flat_map(|one| &mut one.findings) {
            assert!(!finding.source.is_empty());
            (finding.steps, finding.source) = (Vec::new(), String::new());
        }
        let frame = live_frame(&report, &options(80), Some(100));
        let plain = frame.replace(HOME, "").replace(CLEAR_LINE, "").replace(CLEAR_BELOW, "");
        let printed = render(&report, &options(80));
        let (heading, table) = plain.split_once('\n').expect("a heading");
        assert_eq!(heading, "observer 0.1.0 · 5.0 s so far · by tracepoint · more: observer top");
        assert_eq!(Some(table), printed.split_once('\n').map(|(_, table)| table));
    }

    #[test]
    fn a_low_screen_says_what_it_leaves_out_and_keeps_the_notes() {
        let mut report = fixtures::many(300);
        report.audit.events_lost = 7;
        let frame = live_frame(&report, &options(80), Some(24));
        assert_eq!(frame.matches('\n').count(), 23);
        assert!(frame.contains("7 events were lost"), "{frame}");
        assert!(frame.contains("more lines: enlarge the window, or filter"), "{frame}");
        assert!(!frame.contains("HERD wakeups"), "{frame}");
    }

    /// What is left of an incident on a screen of so many rows: workers of one listener, evidence, idle
    /// listeners, fixes, the legend.
    fn left(rows: usize) -> (usize, [bool; 4]) {
        let frame = live_frame(&fixtures::incident(), &options(120), Some(rows));
        for told in ["critical: accept failed 412 times", "thundering herd", "12 connections wait"]
        {
            assert!(frame.contains(told), "{told} {rows}: {frame}");
        }
        let workers = frame.lines().filter(|line| line.contains("\x1b[K  envoy ")).count();
        (workers, ["seen: ", "*:26", "fix: ", "HERD = "].map(|words| frame.contains(words)))
    }

    #[test]
    fn workers_numbers_and_idle_listeners_give_way_before_fixes() {
        assert_eq!(left(60), (4, [true; 4]));
        assert_eq!(left(49), (1, [true, true, true, false]));
        assert_eq!(left(46), (0, [true; 4]));
        assert_eq!(left(35), (0, [false, true, true, true]));
        assert_eq!(left(27), (0, [false, false, true, false]));
        // At an ordinary terminal's 24 rows, the worst has its cure still, and the legend is gone.
        assert_eq!(left(24), (0, [false, false, true, false]));
        assert_eq!(left(18), (0, [false; 4]));
    }

    #[test]
    fn a_pipe_gets_blocks_without_codes() {
        let frame = live_frame(&fixtures::herd(8), &options(80), None);
        assert!(!frame.contains('\x1b'));
        assert!(frame.ends_with("\n\n"));
    }
}
