//! Findings of the chosen row: what is wrong, what was seen, the fix with its steps and its source.

use ratatui::{style::Style, text::Line};

use super::{details::About, style};
use crate::app::{
    render::findings::{FixesTold, Room, lines as of_table},
    top::known::id,
};
use observer::model::Listener;

/// The lines.
pub fn lines(about: &About<'_>) -> Vec<Line<'static>> {
    let row = about.row;
    let mut listener: Listener = (*row.listener).clone();
    if listener.findings.is_empty() {
        let words = match listener.closed {
            true => "it is closed; nothing was wrong with it of late",
            false => "nothing is wrong with it",
        };
        return style::wrapped(words, "", Style::new(), about.width);
    }
    let time = about.state.time();
    for finding in &mut listener.findings {
        let known = row.listeners().filter_map(|one| about.state.known.get(id(one)));
        let ago = known.map(|one| one.ago(&finding.id, time)).min().unwrap_or(0);
        if ago >= 1_000 {
            finding.summary += &format!(" ({} s ago)", ago / 1_000);
        }
    }
    let mut told = FixesTold::up_to(usize::MAX);
    let lines = of_table(&listener, &mut told, Room::Steps, about.width);
    style::of_lines(&lines, about.width, about.state.colour)
}
