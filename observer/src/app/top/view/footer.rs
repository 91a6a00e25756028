//! The last line: what is typed, what was done, or which keys there are.

use ratatui::text::{Line, Span};

use super::style::{CHOSEN, STRONG};
use crate::app::{
    render::text,
    top::state::{Pane, State},
};

/// Keys and what they do, in a word: those that are least to be missed first.
const KEYS: &[(&str, &str)] = &[
    ("?", "help"),
    ("q", "quit"),
    ("Enter", "details"),
    ("c", "copy fix"),
    ("/", "filter"),
    ("Space", "pause"),
    ("<>", "sort"),
    ("t", "totals"),
    ("w", "write fix"),
    ("←→", "step"),
    ("+-", "interval"),
    ("Tab", "scroll details"),
];

/// The line.
pub fn line(state: &State, width: usize) -> Line<'static> {
    if state.typing {
        let words = format!("/{}", text::clean(&state.words));
        return Line::from(vec![
            Span::styled("rows with ", STRONG),
            Span::raw(words),
            Span::styled(" ", CHOSEN),
            Span::raw("  Enter: keep, Esc: all rows"),
        ]);
    }
    if let Some(message) = &state.message {
        return Line::styled(text::cut(&text::clean(message), width), STRONG);
    }
    let mut spans = Vec::new();
    let mut used = 0;
    let zoomed = [("Esc", "back"), ("↑↓", "scroll")];
    let details = [("Tab", "back to the list"), ("↑↓", "scroll")];
    let first: &[(&str, &str)] = match (state.zoomed, state.pane) {
        (true, _) => &zoomed,
        (false, Pane::Details) => &details,
        (false, Pane::List) => &[],
    };
    for (key, does) in first.iter().chain(KEYS) {
        let needs = text::width(key) + 1 + text::width(does) + 2;
        if used + needs > width + 2 {
            break;
        }
        used += needs;
        spans.push(Span::styled((*key).to_owned(), STRONG));
        spans.push(Span::raw(format!(" {does}  ")));
    }
    Line::from(spans)
}
