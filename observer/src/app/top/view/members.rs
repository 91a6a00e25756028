//! Members of a reuseport group as bars.

use ratatui::text::Line;

use super::{
    gauge,
    part::{About, Part},
    style,
};
use crate::app::{
    render::{columns::queue, text},
    top::{columns::count_or_rate, row::member},
};
use observer::units;

/// Most members that are told one by one.
const MOST: usize = 32;

/// The part; `None` where it is one listener.
pub fn part(about: &About<'_>) -> Option<Part> {
    let members = &about.row.members;
    if members.is_empty() {
        return None;
    }
    let most = members.iter().filter_map(|one| one.accepted).max().unwrap_or(0);
    let bars = about.width.saturating_sub(24 + 8 + 10 + 12).clamp(4, 24);
    let mut lines = Vec::new();
    for one in members.iter().take(MOST) {
        let accepted = one
            .accepted
            .map_or_else(|| "-".to_owned(), |count| count_or_rate(count, about.state.per()).at(7));
        #[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
        let bar = gauge::bar(one.accepted.unwrap_or(0) as f64, most as f64, bars);
        let severity = one.findings.iter().map(|finding| finding.severity).max();
        let words = format!(
            "{}{} {bar}{}  herd {}  queue {}",
            style::sign(severity),
            style::field(&member(one), 22, false),
            style::field(&accepted, 7, true),
            units::ratio(one.herd_ratio),
            queue(one).whole(),
        );
        lines.push(Line::raw(text::cut(&words, about.width)));
    }
    if let more @ 1.. = members.len().saturating_sub(MOST) {
        lines.push(Line::raw(format!("  … {more} more")));
    }
    let unit =
        if about.state.per().is_some() { "accepts per second" } else { "accepts since the start" };
    let uneven = about.row.uneven.as_ref().map(|words| format!("; {words}")).unwrap_or_default();
    Some(Part { name: "MEMBERS", beside: format!("{}, {unit}{uneven}", members.len()), lines })
}
