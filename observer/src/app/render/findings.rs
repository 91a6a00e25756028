//! Findings beneath their listener: what is wrong, and what to do about it.

use std::collections::BTreeSet;

use anstyle::Style;

use crate::app::render::{
    cell::severity_style,
    line::{Line, indented},
    text,
};
use observer::model::{Finding, Listener, Severity};

/// Fixes that the table has told already: ten listeners with one fault need its cure once.
#[derive(Debug, Default)]
pub struct FixesTold(BTreeSet<String>);

/// Summary and fix of each finding; summaries alone, a line each, where there is no room for details.
pub fn lines(listener: &Listener, told: &mut FixesTold, details: bool, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for Finding { severity, summary, fix, .. } in &listener.findings {
        let style = severity_style(*severity);
        let summary = format!("{}: {summary}", word(*severity));
        if !details {
            lines.push(Line::new(text::clean(&format!("  {summary}")), style));
        } else if told.0.insert(fix.clone()) {
            lines.extend(indented(&summary, "  ", style, width));
            let fix = format!("fix: {fix}");
            lines.extend(indented(&fix, "    ", Style::new(), width));
        } else {
            let summary = format!("{summary} (same fix)");
            lines.extend(indented(&summary, "  ", style, width));
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
