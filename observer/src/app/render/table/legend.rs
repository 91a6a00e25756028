//! What the headings mean, for those who meet them for the first time.

use super::{columns::COLUMNS, order};
use crate::app::render::{
    cell::DIM,
    grid::{Grid, Layout},
    line::{Line, wrapped},
};
use observer::model::Report;

/// What the headings mean, for those that are shown; nothing where nothing happened.
pub(super) fn lines(report: &Report, grid: &Grid, layout: &Layout, width: usize) -> Vec<Line> {
    if report.listeners.iter().all(order::idle) {
        return Vec::new();
    }
    let columns = COLUMNS.iter().zip(&grid.headings).zip(&layout.widths);
    let words: Vec<String> = columns
        .filter(|((column, _), width)| width.is_some() && !column.meaning.is_empty())
        .map(|((column, heading), _)| format!("{} = {}", heading.name, column.meaning))
        .collect();
    // A screen too narrow for any number needs no words on numbers.
    if words.is_empty() { Vec::new() } else { wrapped(&words.join("; "), DIM, width) }
}
