//! A part of the details, and what it is made of.

use ratatui::text::Line;

use crate::app::top::{moment::Moment, row::Row, state::State};

/// What a part of the details is made of.
pub struct About<'a> {
    /// The state.
    pub state: &'a State,
    /// What is on the screen.
    pub moment: &'a Moment,
    /// The chosen row.
    pub row: &'a Row,
    /// Columns that there are.
    pub width: usize,
}

/// A part: a heading with words beside it, and lines.
pub struct Part {
    /// Name.
    pub name: &'static str,
    /// What stands beside it.
    pub beside: String,
    /// Lines beneath it.
    pub lines: Vec<Line<'static>>,
}
