//! What the numbers were in the last intervals.

use ratatui::text::Line;

use super::{
    gauge,
    part::{About, Part},
    style,
};
use crate::app::top::columns::COLUMNS;

/// Most columns of a sparkline.
const MOST: usize = 120;

/// The part; `None` where nothing happened in any of them.
pub fn part(about: &About<'_>) -> Option<Part> {
    let columns = about.width.saturating_sub(24).clamp(8, MOST);
    let samples = about.row.samples(&about.state.known, about.moment.tick, columns);
    let mut lines = Vec::new();
    for column in COLUMNS {
        let Some(of) = column.sample else { continue };
        let values: Vec<f32> = samples.iter().map(of).collect();
        if values.iter().all(|value| *value <= 0.0) {
            continue;
        }
        let per = about.moment.report.window.seconds;
        let now = column.cell(
            &about.row.listener,
            &about.moment.providers,
            about.state.per().or(Some(per)),
        );
        let now = if about.state.totals { String::new() } else { now.at(11) };
        lines.push(Line::raw(format!(
            "  {} {} {now}",
            style::field(&column.heading(&about.moment.providers, false), 8, false),
            gauge::sparkline(&values),
        )));
    }
    if lines.is_empty() {
        return None;
    }
    let beside = format!("the last {columns} intervals, each line as high as its greatest");
    Some(Part { name: "HISTORY", beside, lines })
}
