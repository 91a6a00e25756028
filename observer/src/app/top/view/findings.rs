//! Findings of the chosen row: what is wrong, the fix with its steps, what was seen, and where the advice is from. The
//! fix comes before the evidence, so that a small screen has it.

use ratatui::{style::Style, text::Line};

use super::{part::About, style};
use crate::app::{
    render::{line, text},
    top::known::id,
};
use observer::model::{Finding, Severity};

/// The lines.
pub fn lines(about: &About<'_>) -> Vec<Line<'static>> {
    let listener = &about.row.listener;
    if listener.findings.is_empty() {
        let words = match listener.closed {
            true => "it is closed; nothing was wrong with it of late",
            false => "nothing is wrong with it",
        };
        return style::wrapped(words, "", Style::new(), about.width);
    }
    let mut lines = Vec::new();
    for (at, finding) in listener.findings.iter().enumerate() {
        let told = listener.findings[..at].iter().any(|one| one.fix == finding.fix);
        lines.extend(of_one(about, finding, told));
    }
    lines
}

fn of_one(about: &About<'_>, finding: &Finding, told: bool) -> Vec<Line<'static>> {
    let Finding { severity, summary, evidence, fix, steps, source, .. } = finding;
    let (width, mark) = (about.width, style::severity(*severity, about.state.colour));
    let words = |words: String, style| style::wrapped(&words, "  ", style, width);
    let mut lines = style::wrapped(
        &format!("{}: {summary}{}", word(*severity), ago(about, finding)),
        "",
        mark,
        width,
    );
    if told {
        lines.extend(words("fix: the same".to_owned(), Style::new()));
    } else {
        lines.extend(words(format!("fix: {fix}"), style::STRONG));
        let step = |step: &String| {
            line::Line::whole(format!("    {}", text::clean(step)), anstyle::Style::new())
        };
        let steps: Vec<line::Line> = steps.iter().map(step).collect();
        lines.extend(style::of_lines(&steps, width, about.state.colour));
    }
    if !evidence.is_empty() {
        lines.extend(words(format!("seen: {evidence}"), Style::new()));
    }
    if !told && !source.is_empty() {
        lines.extend(words(format!("source: {source}"), Style::new()));
    }
    lines
}

/// ` (12 s ago)` of a finding that the last interval did not have.
fn ago(about: &About<'_>, finding: &Finding) -> String {
    let known = about.row.listeners().filter_map(|one| about.state.known.get(id(one)));
    let time = about.state.time();
    match known.map(|one| one.ago(&finding.id, time)).min().unwrap_or(0) / 1_000 {
        0 => String::new(),
        seconds => format!(" ({seconds} s ago)"),
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}
