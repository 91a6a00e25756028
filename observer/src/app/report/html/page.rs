//! What the page says, in texts that the template only places.

mod listener;
mod marks;
mod overview;
mod side_by_side;

use serde::Serialize;

use self::marks::Marks;
use super::{
    plot::Span,
    series::{PLOTTED, Series},
};
use crate::app::{
    render::table::{group::Block, heading, notes},
    report::load::{Recording, span},
};
use observer::{
    model::{Comparison, Report},
    units,
};

/// Rows of the table of listeners at most.
const ROWS: usize = 200;

/// Findings at most.
const FINDINGS: usize = 50;

/// The whole page.
#[derive(Serialize)]
pub struct Page {
    style: &'static str,
    title: String,
    /// What was recorded, by name and value.
    facts: Vec<(&'static str, String)>,
    notes: Vec<String>,
    tiles: Vec<overview::Tile>,
    findings: Vec<overview::FoundAt>,
    more_findings: usize,
    rows: Vec<overview::Row>,
    more_rows: usize,
    idle: u64,
    listeners: Vec<listener::Listener>,
    /// How many intervals a point stands for, where it is more than one.
    merged: Option<u64>,
    has_plots: bool,
    comparison: Option<side_by_side::SideBySide>,
    signals: Vec<overview::Signal>,
    audit: Vec<overview::Counters>,
    doubts: Vec<String>,
    version: &'static str,
}

/// Gathers it.
pub fn page(
    recording: &Recording,
    said: &[String],
    series: Option<&Series>,
    comparison: Option<&Comparison>,
) -> Page {
    let report = &recording.report;
    let blocks = Block::of_all(report.listeners.iter());
    let (idle, busy): (Vec<&Block<'_>>, Vec<&Block<'_>>) =
        blocks.iter().partition(|block| block.is_idle());
    let marks = Marks::of(report);
    let findings = overview::findings(&busy);
    let span = series.map(|series| Span { start: series.start, end: series.end });
    let points = |index: usize| Some((series?.points.get(index)?.as_slice(), span?));
    let listeners: Vec<listener::Listener> = busy
        .iter()
        .take(PLOTTED)
        .enumerate()
        .map(|(index, block)| listener::listener(block, index, points(index), &marks))
        .collect();
    let idle_members: usize = idle.iter().map(|block| block.members.len()).sum();
    Page {
        style: include_str!("style.css"),
        title: title(recording),
        facts: facts(recording),
        notes: said.to_vec(),
        tiles: overview::tiles(report, &findings, &marks),
        more_findings: findings.len().saturating_sub(FINDINGS),
        findings: findings.into_iter().take(FINDINGS).collect(),
        rows: busy
            .iter()
            .take(ROWS)
            .enumerate()
            .map(|(index, block)| overview::row(block, (index < PLOTTED).then_some(index), &marks))
            .collect(),
        more_rows: busy.len().saturating_sub(ROWS),
        idle: report.idle_listeners.saturating_add(u64::try_from(idle_members).unwrap_or(u64::MAX)),
        has_plots: listeners.iter().any(listener::Listener::has_plots),
        listeners,
        merged: series.map(|series| series.merged).filter(|merged| *merged > 1),
        comparison: comparison.map(side_by_side::side_by_side),
        signals: overview::signals(&report.providers),
        audit: overview::audit(&report.audit),
        doubts: notes::all(report).into_iter().map(|(note, _)| note).collect(),
        version: env!("CARGO_PKG_VERSION"),
    }
}

fn title(recording: &Recording) -> String {
    let name = recording.name.rsplit('/').next().unwrap_or_default();
    format!("observer: {name}")
}

fn facts(recording: &Recording) -> Vec<(&'static str, String)> {
    let Report { host, window, tool, providers, .. } = &recording.report;
    let cpus = if host.cpus == 1 { "CPU" } else { "CPUs" };
    let when = match span(window) {
        Some((start, end)) => format!(
            "{} to {} UTC, {}",
            humantime::format_rfc3339_seconds(start).to_string().replace('T', " ").replace('Z', ""),
            super::plot::clock(end),
            units::seconds(window.seconds)
        ),
        None => units::seconds(window.seconds),
    };
    let arguments = recording.header.as_ref().map(|header| header.arguments.join(" "));
    let mut facts = vec![
        ("Time", when),
        ("Host", format!("Linux {} {}, {} {cpus}", host.kernel, host.arch, host.cpus)),
        ("Observed", heading::hooks(providers).0),
        ("File", recording.name.clone()),
    ];
    facts.extend(arguments.map(|words| ("Command", format!("{} {words}", tool.name))));
    if recording.events > 0 {
        facts.push((
            "Events",
            format!("{} in the file, which this page does not show", recording.events),
        ));
    }
    facts
}
