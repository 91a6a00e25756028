//! A verdict for people. Pure.

use anstyle::Style;

use super::{
    limits::{Judged, Row, State},
    verdict::Verdict,
};
use crate::app::render::{
    cell::{BAD, CAUTION, DIM, STRONG},
    findings::{self, FixesTold, Room},
    line::{Line, hanging, indented, painted},
};

/// Most listeners that are told for one limit: the worst of them.
const MOST_ROWS: usize = 10;

/// Most listeners whose findings are told.
const MOST_EXPLAINED: usize = 3;

/// Most findings whose fixes are told.
const MOST_FIXES: usize = 4;

/// The verdict, in lines of at most `width` columns but for what is to be copied.
pub fn text(verdict: &Verdict, width: usize, colour: bool) -> String {
    let mut lines = hanging(
        &format!("observer: {}", verdict.headline()),
        "",
        "  ",
        if verdict.status() == 0 { STRONG } else { BAD },
        width,
    );
    if verdict.not_started().is_some() {
        return painted(&lines, width, colour);
    }
    if let Some(command) = &verdict.command {
        let style = if command.failure().is_some() { BAD } else { Style::new() };
        lines.extend(item("command", &command.words(), style, width));
    }
    for judged in &verdict.judged {
        lines.extend(limit(judged, width));
    }
    for note in &verdict.notes {
        lines.extend(item("note", note, CAUTION, width));
    }
    if verdict.judged.iter().any(|judged| judged.doubt.is_some()) {
        let sentence = "What is in doubt is so in this window: run the check again. --allow-estimates takes numbers that are only estimates.";
        lines.extend(indented(sentence, "  ", DIM, width));
    }
    lines.extend(explanations(verdict, width));
    painted(&lines, width, colour)
}

/// One limit: the listeners that broke it, or the one that came nearest.
fn limit(judged: &Judged, width: usize) -> Vec<Line> {
    let Judged { limit, doubt, .. } = judged;
    let rows = judged.worst_first();
    if let Some(doubt) = doubt {
        let shown = rows.first().map(|row| format!(" ({})", at(judged, row))).unwrap_or_default();
        return item("in doubt", &format!("{limit}{shown}: {doubt}"), CAUTION, width);
    }
    let broken: Vec<&&Row> = rows.iter().filter(|row| row.state == State::Broken).collect();
    if broken.is_empty() {
        let held = rows.iter().filter(|row| row.state == State::Held).count();
        let (word, told) = match (rows.as_slice(), held) {
            ([], _) => ("skipped", "no listener was there".to_owned()),
            ([first, ..], 0) => ("skipped", at(judged, first)),
            ([first, ..], 1) => ("ok", at(judged, first)),
            ([first, ..], several) => {
                ("ok", format!("on {several} listeners, the worst {}", at(judged, first)))
            }
        };
        return item(word, &format!("{limit}: {told}"), Style::new(), width);
    }
    let told = broken.iter().take(MOST_ROWS);
    let told = told.map(|row| format!("{limit}: {}", at(judged, row)));
    let mut lines: Vec<Line> = told.flat_map(|told| item("broken", &told, BAD, width)).collect();
    if let Some(more @ 1..) = broken.len().checked_sub(MOST_ROWS) {
        lines.extend(item("broken", &format!("{limit}: {more} more listeners"), BAD, width));
    }
    lines
}

fn at(judged: &Judged, row: &Row) -> String {
    let shown = judged.shown(row);
    match row.subject.listener {
        Some(_) => format!("{shown} at {}", row.subject.words()),
        None => shown,
    }
}

fn item(word: &str, text: &str, style: Style, width: usize) -> Vec<Line> {
    hanging(text, &format!("  {word:<9}"), &" ".repeat(11), style, width)
}

/// What is wrong with the listeners that broke a limit, and where more is to be read.
fn explanations(verdict: &Verdict, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let culprits = verdict.culprits();
    let mut fixes = FixesTold::up_to(MOST_FIXES);
    let listeners = culprits.iter().filter_map(|index| verdict.report.listeners.get(*index));
    let with_findings = listeners.filter(|listener| !listener.findings.is_empty());
    for listener in with_findings.take(MOST_EXPLAINED) {
        lines.push(Line::default());
        let address = crate::app::render::labels::address(listener).whole();
        lines.push(Line::new(address, STRONG));
        lines.extend(findings::lines(listener, &mut fixes, Room::Steps, width));
    }
    let mut explained: Vec<&str> =
        verdict.broken().map(|judged| judged.explained_by).filter(|id| !id.is_empty()).collect();
    explained.dedup();
    for id in explained {
        let sentence =
            format!("`observer explain {id}` tells what this number is, and how to mend it.");
        lines.extend(indented(&sentence, "  ", DIM, width));
    }
    lines
}

#[cfg(test)]
mod tests;
