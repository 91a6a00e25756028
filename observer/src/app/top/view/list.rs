//! The list: one row for each listener or group, the worst first.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    gauge,
    style::{self, CHOSEN, STRONG},
};
use crate::app::top::{
    columns::{By, COLUMNS, Column},
    moment::Moment,
    row::Row,
    state::{Drawn, Pane, State},
};

/// Room for the sign of the worst finding, and a blank.
const SIGN: usize = 3;

/// Least and most columns of a sparkline beside a number.
const SPARKLINE: (usize, usize) = (4, 12);

/// The most that an address and the names of holders take.
const LONG: [usize; 2] = [40, 32];

/// The least that the names of holders take.
const HOLDER: usize = 12;

/// Rows whose names are measured.
const MEASURED: usize = 200;

/// Widths of the columns, and of the sparkline beside each number.
#[derive(Debug)]
struct Widths {
    columns: Vec<usize>,
    sparkline: usize,
}

/// An address is whole where that can be had; what is left over goes to sparklines first, then to who holds it.
fn widths(moment: &Moment, state: &State, room: usize) -> Widths {
    let mut columns: Vec<usize> = COLUMNS.iter().map(|column| column.width).collect();
    let sum =
        |columns: &[usize]| SIGN + columns.iter().sum::<usize>() + columns.len().saturating_sub(1);
    // Columns at the end go where even the least has no room.
    while columns.len() > 2 && sum(&columns) - (columns[1] - HOLDER) > room {
        columns.pop();
    }
    let needs = |at: usize| {
        let cells = moment.rows.iter().take(MEASURED);
        let cells = cells.map(|row| cell(&COLUMNS[at], row, moment, state).natural());
        cells.max().unwrap_or(0).min(LONG[at])
    };
    columns[1] = HOLDER;
    let mut left = room.saturating_sub(sum(&columns));
    let widen = |columns: &mut [usize], at: usize, to: usize, left: &mut usize| {
        let more = to.saturating_sub(columns[at]).min(*left);
        columns[at] += more;
        *left -= more;
    };
    widen(&mut columns, 0, needs(0), &mut left);
    widen(&mut columns, 1, COLUMNS[1].width, &mut left);
    let shown = COLUMNS.iter().take(columns.len());
    let numbers = shown.filter(|column| column.sample.is_some()).count();
    let mut sparkline = 0;
    if left >= numbers * (SPARKLINE.0 + 1) && numbers > 0 {
        sparkline = SPARKLINE.0;
        left -= numbers * (sparkline + 1);
        widen(&mut columns, 1, needs(1), &mut left);
        let longer = (left / numbers).min(SPARKLINE.1 - sparkline);
        sparkline += longer;
        left -= numbers * longer;
    }
    widen(&mut columns, 1, LONG[1], &mut left);
    Widths { columns, sparkline }
}

fn cell(
    column: &Column,
    row: &Row,
    moment: &Moment,
    state: &State,
) -> crate::app::render::cell::Cell {
    if column.by == By::Listener {
        return row.address();
    }
    column.cell(&row.listener, &moment.providers, state.per())
}

/// Draws it, and returns where it is.
pub fn draw(frame: &mut Frame<'_>, state: &State, area: Rect) -> Drawn {
    let Some(moment) = &state.moment else { return Drawn::default() };
    let widths = widths(moment, state, area.width.into());
    let [top, body] = ratatui::layout::Layout::vertical([
        ratatui::layout::Constraint::Length(1),
        ratatui::layout::Constraint::Min(0),
    ])
    .areas(area);
    let (line, headings) = heading(moment, state, &widths, top);
    frame.render_widget(line, top);
    let height = usize::from(body.height).max(1);
    let first = first_row(state, moment.rows.len(), height);
    let rows = moment.rows.iter().enumerate().skip(first).take(height);
    let lines: Vec<Line<'static>> = rows
        .map(|(at, row)| {
            let mut line = of_row(row, moment, state, &widths);
            if at == state.position() {
                let room = usize::from(area.width).saturating_sub(line.width());
                line.spans.push(Span::raw(" ".repeat(room)));
                // In one look: its sign tells how bad it is.
                let mark = if state.pane == Pane::List { CHOSEN } else { STRONG };
                line.spans.iter_mut().for_each(|span| span.style = mark);
            }
            line
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), body);
    Drawn { rows: body, headings, first_row: first, ..Drawn::default() }
}

/// The first row that is drawn: where it was, but so that the chosen one is there.
fn first_row(state: &State, rows: usize, height: usize) -> usize {
    let at = state.position();
    // Who chose nothing looks at the worst.
    let first = if state.chosen.is_none() { 0 } else { state.first_row() };
    first.clamp((at + 1).saturating_sub(height), at).min(rows.saturating_sub(height))
}

/// The headings, and where each is.
fn heading(
    moment: &Moment,
    state: &State,
    widths: &Widths,
    area: Rect,
) -> (Line<'static>, Vec<(Rect, By)>) {
    let mut spans = vec![Span::raw(" ".repeat(SIGN))];
    let (mut areas, mut at) = (Vec::new(), SIGN);
    for (column, width) in COLUMNS.iter().zip(&widths.columns) {
        let mut name = column.heading(&moment.providers, state.totals);
        let mut style = STRONG;
        if column.by == state.by {
            name = format!("{name}{}", if state.reverse { "▲" } else { "▼" });
            style = style.add_modifier(Modifier::UNDERLINED);
        }
        let mut whole = style::field(&name, *width, column.number);
        if column.number && widths.sparkline > 0 {
            whole += &" ".repeat(widths.sparkline + 1);
        }
        let columns = crate::app::render::text::width(&whole);
        let left = area.x + u16::try_from(at).unwrap_or(0);
        let columns = u16::try_from(columns).unwrap_or(0);
        areas.push((Rect::new(left, area.y, columns, 1).intersection(area), column.by));
        at += usize::from(columns) + 1;
        spans.push(Span::styled(whole, style));
        spans.push(Span::raw(" "));
    }
    (Line::from(spans), areas)
}

fn of_row(row: &Row, moment: &Moment, state: &State, widths: &Widths) -> Line<'static> {
    let severity = row.severity();
    let mark = severity.map_or(Style::new(), |one| style::severity(one, state.colour));
    let mut spans = vec![Span::styled(format!("{} ", style::sign(severity)), mark)];
    let samples = match widths.sparkline {
        0 => Vec::new(),
        width => row.samples(&state.known, moment.tick, width),
    };
    for (column, width) in COLUMNS.iter().zip(&widths.columns) {
        let cell = cell(column, row, moment, state);
        let own = style::of_table(cell.style(anstyle::Style::new()), state.colour);
        let mut words = cell.at(*width);
        if column.by == By::Queue {
            words = with_level(&words, row, *width);
        }
        let style = if column.by == By::Listener { mark } else { own };
        spans.push(Span::styled(style::field(&words, *width, column.number), style));
        if let Some(of) = column.sample.filter(|_| widths.sparkline > 0) {
            let values: Vec<f32> = samples.iter().map(of).collect();
            spans.push(Span::styled(format!(" {}", gauge::sparkline(&values)), style));
        }
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

/// The queue with one letter before it that shows how full it was, where there is room.
fn with_level(words: &str, row: &Row, width: usize) -> String {
    let full = crate::app::render::table::columns::fullest(&row.listener);
    if full <= 0.0 || crate::app::render::text::width(words) + 2 > width {
        return words.to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the height of a letter")]
    let level = gauge::sparkline(&[full.min(1.0) as f32, 1.0]);
    format!("{} {words}", level.chars().next().unwrap_or(' '))
}
