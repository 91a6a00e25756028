//! The first line: what is seen, of when, and whether it goes on.

use std::time::Duration;

use ratatui::text::{Line, Span};

use super::style::{CHOSEN, STRONG};
use crate::app::{
    render::{table::heading, text},
    top::state::State,
};
use observer::{
    model::{Severity, Window},
    units,
};

/// The line.
pub fn line(state: &State, width: usize) -> Line<'static> {
    let mode = format!(" {} ", mode(state));
    let room = width.saturating_sub(text::width(&mode) + 1);
    let left = fitting(&parts(state), room);
    let gap = width.saturating_sub(text::width(&left) + text::width(&mode));
    Line::from(vec![
        Span::styled(left, STRONG),
        Span::raw(" ".repeat(gap)),
        Span::styled(mode, CHOSEN),
    ])
}

/// As many of the parts as there is room for; those that are least to be missed come first.
fn fitting(parts: &[String], width: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let longer = if line.is_empty() { part.clone() } else { format!("{line} · {part}") };
        if text::width(&longer) > width && !line.is_empty() {
            continue;
        }
        line = longer;
    }
    text::cut(&line, width)
}

fn parts(state: &State) -> Vec<String> {
    let Some(moment) = &state.moment else { return vec!["observer top".to_owned()] };
    let mut parts = vec![listeners(moment.listeners, &worst(state))];
    if !state.words.is_empty() && moment.rows.len() < moment.all {
        parts.push(format!("{} of {} rows", moment.rows.len(), moment.all));
    }
    parts.push(match state.totals {
        true => format!("totals of {}", units::seconds(moment.seconds)),
        false => format!("rates over {}", units::seconds(moment.report.window.seconds)),
    });
    parts.extend(clock(&moment.report.window));
    parts.extend(state.observed.replay.as_ref().map(|name| text::clean(name)));
    parts.push(format!("Linux {}", text::clean(&moment.report.host.kernel)));
    parts.push(heading::hooks(&moment.providers).1);
    parts
}

fn listeners(count: usize, worst: &str) -> String {
    let noun = if count == 1 { "listener" } else { "listeners" };
    format!("{count} {noun}: {worst}")
}

/// `1 critical, 2 warning`: how many listeners have which worst finding.
fn worst(state: &State) -> String {
    let rows = state.moment.iter().flat_map(|moment| &moment.rows);
    let all: Vec<Severity> = rows
        .flat_map(|row| row.listeners())
        .filter_map(|one| one.findings.iter().map(|finding| finding.severity).max())
        .collect();
    let of = |severity: Severity, name: &str| {
        let count = all.iter().filter(|one| **one == severity).count();
        (count > 0).then(|| format!("{count} {name}"))
    };
    let told: Vec<String> = [
        of(Severity::Critical, "critical"),
        of(Severity::Warning, "warning"),
        of(Severity::Info, "info"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if told.is_empty() { "nothing is wrong".to_owned() } else { told.join(", ") }
}

fn mode(state: &State) -> String {
    let behind = state.behind();
    match (state.paused, &state.over, &state.observed.replay) {
        (Some(_), ..) if behind > 0 => format!("PAUSED, {behind} s ago"),
        (Some(_), ..) => "PAUSED".to_owned(),
        (None, Some(why), _) => why.clone(),
        (None, None, Some(_)) => "REPLAY".to_owned(),
        (None, None, None) => "LIVE".to_owned(),
    }
}

/// Time of day at which a window ended; `None` where it tells none.
fn clock(window: &Window) -> Option<String> {
    let start = humantime::parse_rfc3339(&window.start).ok()?;
    let end = start.checked_add(Duration::try_from_secs_f64(window.seconds).ok()?)?;
    Some(format!("{}Z", units::rfc3339(end)?.get(11..19)?))
}
