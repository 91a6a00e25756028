//! The details of the chosen row, one part below the other.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    drops, findings, holders, limits, members,
    part::{About, Part},
    style::{self, STRONG},
    trends, waits, workers,
};
use crate::app::{
    render::{labels, table::notes, text},
    top::state::{Drawn, Pane, State},
};

/// Parts from the one that is least to be missed.
const PARTS: &[fn(&About<'_>) -> Option<Part>] = &[
    members::part,
    workers::part,
    trends::part,
    waits::part,
    drops::part,
    limits::part,
    holders::part,
];

/// Draws them, and adds where they are.
pub fn draw(frame: &mut Frame<'_>, state: &State, area: Rect, drawn: Drawn) -> Drawn {
    let (Some(moment), Some(row)) = (&state.moment, state.row()) else { return drawn };
    let [top, body] = ratatui::layout::Layout::vertical([
        ratatui::layout::Constraint::Length(1),
        ratatui::layout::Constraint::Min(0),
    ])
    .areas(area);
    let about = About { state, moment, row, width: body.width.into() };
    let lines = lines(&about);
    let all = lines.len();
    let height = usize::from(body.height);
    let first = state.first_line.min(all.saturating_sub(height));
    frame.render_widget(title(&about, (first, height, all), top.width.into()), top);
    let shown: Vec<Line<'static>> = lines.into_iter().skip(first).take(height).collect();
    frame.render_widget(Paragraph::new(shown), body);
    Drawn { details: body, lines: all, ..drawn }
}

/// A rule with the name of the row, and how much there is above and below.
fn title(
    about: &About<'_>,
    (first, height, all): (usize, usize, usize),
    width: usize,
) -> Line<'static> {
    let listener = &about.row.listener;
    let name = about.row.address().whole();
    let who = labels::held_by(listener).at(width.saturating_sub(text::width(&name) + 26));
    let left = format!("── {name}  {who} ");
    let below = all.saturating_sub(first + height);
    let right = match (first, below) {
        (0, 0) => String::new(),
        (0, below) => format!(" {below} more lines "),
        (first, 0) => format!(" {first} lines above "),
        (first, below) => format!(" {first} above, {below} below "),
    };
    let left = text::cut(&left, width);
    let rule = width.saturating_sub(text::width(&left) + text::width(&right));
    let style = match about.state.pane {
        Pane::Details => super::style::CHOSEN,
        Pane::List => STRONG,
    };
    Line::from(vec![
        Span::styled(left, style),
        Span::raw("─".repeat(rule)),
        Span::raw(text::cut(&right, width)),
    ])
}

fn lines(about: &About<'_>) -> Vec<Line<'static>> {
    let mut lines = findings::lines(about);
    for part in PARTS.iter().filter_map(|part| part(about)) {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        let beside = text::cut(&part.beside, about.width.saturating_sub(part.name.len() + 2));
        lines.push(Line::from(vec![
            Span::styled(part.name, STRONG),
            Span::raw(format!("  {beside}")),
        ]));
        lines.extend(part.lines);
    }
    let mut notes = style::of_lines(
        &notes::lines(&about.moment.report, about.width),
        about.width,
        about.state.colour,
    );
    if let Some(remark) = &about.state.observed.remark {
        notes.extend(style::wrapped(remark, "", Style::new(), about.width));
    }
    if !notes.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("ABOUT ALL NUMBERS", STRONG));
        lines.extend(notes);
    }
    lines
}
