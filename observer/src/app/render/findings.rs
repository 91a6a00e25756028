//! Findings beneath their listener: what is wrong, and what to do about it.

use std::collections::BTreeSet;

use anstyle::Style;

use crate::app::render::{
    cell::{DIM, severity_style},
    line::{Line, indented},
    text,
};
use observer::model::{Finding, Listener, Severity};

/// Fixes that the table has told already: ten listeners with one fault need its cure once.
#[derive(Debug)]
pub struct FixesTold {
    told: BTreeSet<String>,
    /// Steps that were told, which several fixes may share.
    steps: BTreeSet<Vec<String>>,
    most: usize,
}

impl FixesTold {
    /// None yet, and no more than so many.
    pub fn up_to(most: usize) -> Self {
        Self { told: BTreeSet::new(), steps: BTreeSet::new(), most }
    }
}

/// Summary, evidence and fix of each finding: as much of it as there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Summary and fix.
    Fixes,
    /// The evidence too.
    All,
    /// And the steps of the fix, to be copied, with the source of the advice: not where lines are redrawn, since steps are
    /// never cut.
    Steps,
}

/// What is wrong with a listener.
pub fn lines(listener: &Listener, told: &mut FixesTold, room: Room, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for Finding { severity, summary, evidence, fix, steps, source, .. } in &listener.findings {
        let style = severity_style(*severity);
        let summary = format!("{}: {summary}", word(*severity));
        let seen = (room >= Room::All && !evidence.is_empty()).then(|| format!("seen: {evidence}"));
        let seen = seen.into_iter().flat_map(|seen| indented(&seen, "    ", DIM, width));
        let fits = told.told.contains(fix) || told.told.len() < told.most;
        if !fits {
            lines.push(Line::new(text::clean(&format!("  {summary}")), style));
        } else if told.told.insert(fix.clone()) {
            lines.extend(indented(&summary, "  ", style, width));
            lines.extend(seen);
            let fix = format!("fix: {fix}");
            lines.extend(indented(&fix, "    ", Style::new(), width));
            if room == Room::Steps {
                let step = |step: &String| format!("      {}", text::clean(step));
                if told.steps.insert(steps.clone()) {
                    lines.extend(steps.iter().map(|one| Line::whole(step(one), Style::new())));
                }
                let source = Some(source).filter(|source| !source.is_empty());
                let source = source.map(|source| format!("source: {source}"));
                let by = source.into_iter().flat_map(|by| indented(&by, "    ", DIM, width));
                lines.extend(by);
            }
        } else {
            let summary = format!("{summary} (same fix)");
            lines.extend(indented(&summary, "  ", style, width));
            lines.extend(seen);
        }
    }
    lines
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}
