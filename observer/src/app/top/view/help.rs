//! The help: keys, and what the columns and signs mean.

use ratatui::{layout::Rect, style::Style, text::Line};

use super::style::{self, STRONG};
use crate::app::top::{keys::BINDINGS, state::State};

/// Columns that the names of keys take.
const KEYS: usize = 22;

/// What the columns and signs mean.
const MEANINGS: &[(&str, &str)] = &[
    ("!! ! i", "critical: connections are lost; warning: it costs something; info"),
    ("HERD", "wakeups per accepted connection: 1.00 is ideal, 8.00 wakes eight tasks for each"),
    ("ACC/S", "connections that accept returned, per second"),
    ("QUEUE", "most connections that waited to be accepted, of the limit"),
    ("DROP/S", "connection attempts that the kernel dropped, per second"),
    ("P99", "99 of 100 connections waited no longer to be accepted"),
    ("~ and -", "an estimate; not known"),
];

/// All lines, as far as there is room.
pub fn lines(state: &State, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let mut lines = vec![Line::styled("keys", STRONG)];
    let said = |(name, does): (&str, &str)| {
        Line::from(vec![
            ratatui::text::Span::styled(style::field(name, KEYS, false), STRONG),
            ratatui::text::Span::styled(does.to_owned(), Style::new()),
        ])
    };
    let meanings: Vec<Line<'static>> = MEANINGS.iter().map(|one| said(*one)).collect();
    lines.extend(BINDINGS.iter().map(|one| said((one.keys, one.does))));
    let room = usize::from(area.height);
    if lines.len() + meanings.len() + 2 <= room {
        lines.push(Line::default());
    }
    lines.extend(meanings);
    if lines.len() + 2 <= room {
        lines.push(Line::default());
        let words = format!(
            "{} of the last minutes are kept, in {} KiB; `observer explain` tells of each finding",
            match state.past.oldest() {
                Some(_) => "intervals",
                None => "no intervals",
            },
            state.past.bytes() / 1_024
        );
        lines.extend(style::wrapped(&words, "", Style::new(), width));
    }
    lines
}
