//! The help: keys, and what the columns and signs mean.

use ratatui::{
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::style::{self, STRONG};
use crate::app::top::{keys::BINDINGS, state::State};

/// Columns that the names of keys take.
const KEYS: usize = 21;

/// What the columns and signs mean.
const MEANINGS: &[(&str, &str)] = &[
    ("!! ! i", "critical: connections are lost; warning; info"),
    ("HERD", "wakeups per accepted connection; 1.00 is ideal"),
    ("ACC/S", "connections that accept returned, per second"),
    ("QUEUE", "most that waited to be accepted, of the limit"),
    ("DROP/S", "connection attempts that the kernel dropped, per second"),
    ("P99", "99 of 100 connections waited no longer for accept"),
    ("~ and -", "an estimate; not known"),
];

/// All lines, as far as there is room.
pub fn lines(state: &State, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let said = |(name, does): (&str, &str)| {
        let words = style::wrapped(does, "", Style::new(), width.saturating_sub(KEYS).max(10));
        let line = |(at, line): (usize, Line<'static>)| {
            let name = style::field(if at == 0 { name } else { "" }, KEYS, false);
            let mut spans = vec![Span::styled(name, STRONG)];
            spans.extend(line.spans);
            Line::from(spans)
        };
        words.into_iter().enumerate().map(line).collect::<Vec<_>>()
    };
    let meanings: Vec<Line<'static>> = MEANINGS.iter().flat_map(|one| said(*one)).collect();
    let mut lines: Vec<Line<'static>> =
        BINDINGS.iter().flat_map(|one| said((one.keys, one.does))).collect();
    let room = usize::from(area.height);
    if lines.len() + meanings.len() + 2 <= room {
        lines.push(Line::default());
    }
    lines.extend(meanings);
    if lines.len() + 2 <= room {
        lines.push(Line::default());
        let words = format!(
            "{} intervals are kept to step back through, in {} KiB. `observer explain` tells of each finding.",
            state.past.count(),
            state.past.bytes() / 1_024
        );
        lines.extend(style::wrapped(&words, "", Style::new(), width));
    }
    lines
}
