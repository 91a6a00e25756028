//! The state as it is drawn. Pure.

mod details;
mod drops;
mod findings;
mod footer;
mod gauge;
mod heading;
mod help;
mod holders;
mod limits;
mod list;
mod members;
mod part;
mod style;
mod trends;
mod waits;
mod workers;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Line,
    widgets::{Clear, Paragraph},
};

use super::state::{Drawn, State};

/// Least columns and rows in which anything can be told.
const LEAST: (u16, u16) = (36, 6);

/// From this width on the details stand beside the list.
const WIDE: u16 = 140;

/// Below this height there is no room for details beneath the list.
const LOW: u16 = 12;

/// Draws it, and returns where things are.
pub fn draw(frame: &mut Frame<'_>, state: &State) -> Drawn {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let words =
            format!("enlarge to {}x{} (now {}x{})", LEAST.0, LEAST.1, area.width, area.height);
        frame.render_widget(Paragraph::new(words), area);
        return Drawn { first_row: state.first_row(), ..Drawn::default() };
    }
    let [top, body, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(area);
    frame.render_widget(heading::line(state, top.width.into()), top);
    frame.render_widget(footer::line(state, bottom.width.into()), bottom);
    let mut drawn = match &state.moment {
        Some(moment) if !moment.rows.is_empty() => panes(frame, state, body),
        _ => empty(frame, state, body),
    };
    if let Some(first) = state.help {
        let lines = help::lines(state, body);
        drawn.help_below = lines.len().saturating_sub(first + usize::from(body.height));
        frame.render_widget(Clear, body);
        frame
            .render_widget(Paragraph::new(lines.into_iter().skip(first).collect::<Vec<_>>()), body);
    }
    drawn
}

/// The list and the details.
fn panes(frame: &mut Frame<'_>, state: &State, body: Rect) -> Drawn {
    if state.zoomed {
        let drawn = Drawn { first_row: state.first_row(), ..Drawn::default() };
        return details::draw(frame, state, body, drawn);
    }
    if body.width >= WIDE {
        let list = body.width * 3 / 5;
        let [left, _, right] = Layout::horizontal([
            Constraint::Length(list),
            Constraint::Length(2),
            Constraint::Min(1),
        ])
        .areas(body);
        let drawn = list::draw(frame, state, left);
        return details::draw(frame, state, right, drawn);
    }
    if body.height < LOW {
        return list::draw(frame, state, body);
    }
    let rows = state.moment.as_ref().map_or(0, |moment| moment.rows.len());
    // The heading of the list too. What it does not need is for the details.
    let most = usize::from(body.height) * 2 / 5;
    let list = u16::try_from((rows + 1).min(most)).unwrap_or(body.height);
    let [above, below] =
        Layout::vertical([Constraint::Length(list), Constraint::Min(1)]).areas(body);
    let drawn = list::draw(frame, state, above);
    details::draw(frame, state, below, drawn)
}

/// What is waited for.
fn empty(frame: &mut Frame<'_>, state: &State, body: Rect) -> Drawn {
    let mut lines = vec![Line::default()];
    let words = match &state.moment {
        None if state.over.is_some() => "the recording has no report".to_owned(),
        None => format!(
            "counting; the first numbers come after {}",
            observer::units::seconds(state.interval.as_secs_f64())
        ),
        Some(moment) if moment.all > 0 => {
            format!("none of {} rows has the words {:?}; Esc shows all", moment.all, state.words)
        }
        Some(_) => state.observed.waits.clone(),
    };
    lines.extend(style::wrapped(&words, "  ", ratatui::style::Style::new(), body.width.into()));
    frame.render_widget(Paragraph::new(lines), body);
    Drawn::default()
}

#[cfg(test)]
mod tests;
