//! A verdict for GitHub Actions: a table for the summary of the job, and lines that become annotations. Pure.

use std::fmt::Write as _;

use super::{
    limits::{Judged, Row, State},
    verdict::Verdict,
};

/// Most rows of the table for one limit. GitHub takes 1 MiB of summary for each step, and people less.
const MOST_ROWS: usize = 50;

/// Most annotations: GitHub shows ten errors of a step.
const MOST_ERRORS: usize = 10;

/// The summary in Markdown.
pub fn summary(verdict: &Verdict) -> String {
    let sign = if verdict.status() == 0 { "✅" } else { "❌" };
    let mut page = format!("### {sign} observer {}\n\n", escaped(&verdict.headline()));
    if let Some(command) = &verdict.command {
        let _written = write!(page, "Command: {}\n\n", escaped(&command.words()));
    }
    page += "| | Limit | Number | Listener |\n| --- | --- | --- | --- |\n";
    for judged in &verdict.judged {
        let rows = judged.worst_first();
        for row in rows.iter().take(MOST_ROWS) {
            page += &table_row([
                word(judged, row),
                &judged.limit,
                &judged.shown(row),
                &row.subject.words(),
            ]);
        }
        if let Some(more @ 1..) = rows.len().checked_sub(MOST_ROWS) {
            page += &table_row(["", &judged.limit, "", &format!("{more} more listeners")]);
        }
        if rows.is_empty() {
            page += &table_row(["not judged", &judged.limit, "", "no listener was there"]);
        }
    }
    page.push('\n');
    let doubts = verdict
        .judged
        .iter()
        .filter_map(|judged| Some(format!("{}: {}", judged.limit, judged.doubt.as_ref()?)));
    let findings =
        verdict.culprits().into_iter().filter_map(|index| verdict.report.listeners.get(index));
    let findings = findings
        .flat_map(|listener| &listener.findings)
        .map(|finding| format!("{}: {} {}", finding.id, finding.summary, finding.fix));
    let mut told = Vec::new();
    for line in doubts.chain(verdict.notes.iter().cloned()).chain(findings) {
        if !told.contains(&line) && told.len() < MOST_ROWS {
            let _written = writeln!(page, "- {}", escaped(&line));
            told.push(line);
        }
    }
    if !told.is_empty() {
        page.push('\n');
    }
    page
}

/// Lines that GitHub shows beside the job.
pub fn annotations(verdict: &Verdict) -> String {
    let mut sentences = Vec::new();
    if let Some(command) = verdict.command.as_ref().filter(|command| command.failure().is_some()) {
        sentences.push(command.words());
    }
    for judged in &verdict.judged {
        if let Some(doubt) = &judged.doubt {
            sentences.push(format!("{} cannot be decided: {doubt}", judged.limit));
            continue;
        }
        let broken = judged.worst_first().into_iter().filter(|row| row.state == State::Broken);
        sentences.extend(broken.map(|row| {
            format!("{} is broken: {} at {}", judged.limit, judged.shown(row), row.subject.words())
        }));
    }
    if verdict.status() == 0 {
        return String::new();
    }
    let told = sentences.iter().take(MOST_ERRORS);
    told.map(|sentence| format!("::error title=observer check::{}\n", data(sentence))).collect()
}

fn word(judged: &Judged, row: &Row) -> &'static str {
    match (&judged.doubt, row.state) {
        (_, State::NotJudged) => "not judged",
        (Some(_), _) => "in doubt",
        (None, State::Broken) => "**broken**",
        (None, State::Held) => "ok",
    }
}

fn table_row([word, limit, number, listener]: [&str; 4]) -> String {
    format!("| {word} | {} | {} | {} |\n", escaped(limit), escaped(number), escaped(listener))
}

/// Text within Markdown: nothing in it is markup, HTML, the end of a cell or of a line, or somebody's name.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // GitHub tells whoever is called so.
            '@' => escaped.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests;
