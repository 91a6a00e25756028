//! Who holds the listener, and by which descriptor.

use std::collections::BTreeSet;

use ratatui::{style::Style, text::Line};

use super::{
    part::{About, Part},
    style,
};
use crate::app::render::{labels, text};
use observer::model::Holder;

/// Most holders that are told one by one.
const MOST: usize = 64;

/// The part.
pub fn part(about: &About<'_>) -> Option<Part> {
    let listener = &about.row.listener;
    let Some(holders) = &listener.holders else {
        let words = "not known: some processes could not be looked into";
        return Some(Part { name: "HELD BY", beside: words.to_owned(), lines: Vec::new() });
    };
    let pids: BTreeSet<u32> = holders.iter().map(|one| one.pid).collect();
    let beside = match (pids.len(), listener.server.as_ref()) {
        (0, _) => "nobody that can be seen".to_owned(),
        (count, server) => {
            let noun = if count == 1 { "process" } else { "processes" };
            let name = server.and_then(|server| server.name.as_ref());
            let unit = server.and_then(|server| server.unit.as_ref());
            let of = [name.map(|name| format!(", {name}")), unit.map(|unit| format!(", {unit}"))];
            let of: String = of.into_iter().flatten().collect();
            text::clean(&format!("{count} {noun}{of}"))
        }
    };
    let one = |holder: &Holder| {
        let Holder { pid, comm, fd, wait } = holder;
        let waits = match labels::wait(*wait).trim_start() {
            "" => String::new(),
            way => format!(" ({way})"),
        };
        format!("{comm} {pid} fd {fd}{waits}")
    };
    let mut told: Vec<String> = holders.iter().take(MOST).map(one).collect();
    if let more @ 1.. = holders.len().saturating_sub(MOST) {
        told.push(format!("{more} more"));
    }
    let lines: Vec<Line<'static>> = match told.is_empty() {
        true => Vec::new(),
        false => style::wrapped(&told.join(", "), "  ", Style::new(), about.width),
    };
    Some(Part { name: "HELD BY", beside, lines })
}
