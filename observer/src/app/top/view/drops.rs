//! Connection attempts that were dropped, by reason.

use std::collections::BTreeMap;

use ratatui::text::Line;

use super::{
    gauge,
    part::{About, Part},
    style,
};
use crate::app::{
    render::{labels::drop_reason, text},
    top::columns::count_or_rate,
};
use observer::units;

/// The part; `None` where nothing was dropped, and where that is not known.
pub fn part(about: &About<'_>) -> Option<Part> {
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let (mut total, mut most, mut clients) = (0_u64, None, None);
    let mut tells_reasons = true;
    for drops in about.row.listeners().map(|one| &one.drops) {
        total = total.saturating_add(drops.total.unwrap_or(0));
        most = most.max(drops.at_most);
        clients = clients.max(drops.clients);
        tells_reasons &= drops.by_reason.is_some();
        for (reason, count) in drops.by_reason.iter().flat_map(|all| all.iter()) {
            *reasons.entry(reason.to_string()).or_default() += count;
        }
    }
    if total == 0 && most.is_none() {
        return None;
    }
    let per = about.state.per();
    let unit = if per.is_some() { " per second" } else { "" };
    let mut beside = format!("{}{unit}", count_or_rate(total, per).whole());
    if let Some(most) = most {
        beside += &format!(
            " to {}{unit}: several listeners may have dropped them",
            count_or_rate(most, per).whole()
        );
    }
    if let Some(clients @ 1..) = clients {
        beside += &format!(
            "; {} {}",
            units::count(clients),
            if clients == 1 { "client" } else { "clients" }
        );
    }
    if !tells_reasons {
        beside += "; no hook tells why";
    }
    let mut reasons: Vec<(String, u64)> =
        reasons.into_iter().filter(|(_, count)| *count > 0).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let greatest = reasons.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let bars = about.width.saturating_sub(2 + 46 + 9).clamp(4, 24);
    let line = |(reason, count): &(String, u64)| {
        #[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
        let bar = gauge::bar(*count as f64, greatest as f64, bars);
        let words = format!(
            "  {bar}{}  {}",
            style::field(&count_or_rate(*count, per).at(7), 7, true),
            drop_reason(reason)
        );
        Line::raw(text::cut(&words, about.width))
    };
    Some(Part { name: "DROPS", beside, lines: reasons.iter().map(line).collect() })
}
