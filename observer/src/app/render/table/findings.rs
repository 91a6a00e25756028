//! Findings beneath their listener: what is wrong, and what to do about it.

use std::collections::BTreeSet;

use anstyle::Style;

use super::TableOptions;
use super::cell::{Line, severity_style};
use super::notes;
use crate::app::render::text;
use observer::model::{Finding, Listener, Severity};

/// Fixes that the table has told already: ten listeners with one fault need its cure once.
#[derive(Debug, Default)]
pub(super) struct FixesTold(BTreeSet<String>);

/// Summary and fix of each finding; summaries alone, a line each, where there is no room for details.
pub(super) fn lines(
    listener: &Listener,
    told: &mut FixesTold,
    options: &TableOptions,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for Finding { severity, summary, fix, .. } in &listener.findings {
        let style = severity_style(*severity);
        let summary = format!("{}: {summary}", word(*severity));
        if !options.details {
            lines.push(Line::new(text::clean(&format!("  {summary}")), style));
        } else if told.0.insert(fix.clone()) {
            lines.extend(notes::indented(&summary, "  ", style, options.width));
            let fix = format!("fix: {fix}");
            lines.extend(notes::indented(&fix, "    ", Style::new(), options.width));
        } else {
            let summary = format!("{summary} (same fix)");
            lines.extend(notes::indented(&summary, "  ", style, options.width));
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
