//! Two recordings side by side, for people. Pure.

pub mod words;

use anstyle::{AnsiColor, Style};

use crate::app::render::{
    cell::{BAD, CAUTION, DIM, STRONG, severity_style},
    line::{Line, fitting, indented, joined, painted, wrapped},
    text,
};
use observer::{
    model::{
        ComparedListener, ComparedNumber, ComparedRecording, Comparison, Course, Finding, Severity,
        WindowKind,
    },
    units,
};

/// It became better.
const GOOD: Style = AnsiColor::Green.on_default();

/// Widest value of a column; longer ones go on a line of their own.
const VALUE: usize = 24;

/// The comparison as text, no line wider than `width`.
pub fn render(comparison: &Comparison, width: usize, colour: bool) -> String {
    let mut parts = vec![recordings(comparison, width)];
    parts.extend(comparison.listeners.iter().map(|one| listener(one, width)));
    if comparison.listeners.is_empty() && comparison.idle_listeners == 0 {
        parts.push(wrapped("no listener is in either of them", Style::new(), width));
    }
    parts.push(legend(comparison, width));
    painted(&joined(parts), width, colour)
}

fn recordings(comparison: &Comparison, width: usize) -> Vec<Line> {
    let line = |name: &str, one: &ComparedRecording| {
        let length = units::seconds(one.window.seconds);
        let window = match one.window.kind {
            WindowKind::Total => format!("total of {length}"),
            WindowKind::Interval => format!("{length} of it"),
        };
        let start = format!("from {}", one.window.start);
        let named = format!("{name}: {}", one.file);
        let kernel = format!("Linux {}", one.host.kernel);
        let cpus = match one.host.cpus {
            1 => "1 CPU".to_owned(),
            count => format!("{count} CPUs"),
        };
        fitting(
            [
                &[&named, &window, &start, &kernel, &cpus],
                &[&named, &window, &start],
                &[&named, &window],
                &[&named],
            ],
            width,
        )
    };
    let mut lines = vec![line("before", &comparison.before), line("after ", &comparison.after)];
    if comparison.before.host != comparison.after.host {
        let note = "they were made on different hosts or kernels, which may explain a difference";
        lines.extend(wrapped(note, CAUTION, width));
    }
    lines
}

fn listener(one: &ComparedListener, width: usize) -> Vec<Line> {
    let mut head = Line::new(text::clean(&words::name(one)), STRONG);
    head.push(": ".to_owned(), Style::new());
    head.push(words::of_listener(one.course).to_owned(), style(one.course));
    let mut lines = vec![head];
    lines.extend(table(one));
    for (word, findings, colour) in
        [("gone", &one.findings_gone, Some(GOOD)), ("new", &one.findings_new, None)]
    {
        // What is gone with its listener is not cured.
        let word = match one.course {
            Course::Gone => "had",
            Course::New => "has",
            _ => word,
        };
        let colour = if one.course == Course::Gone { Some(DIM) } else { colour };
        for finding in findings {
            lines.extend(said(finding, word, colour, width));
        }
    }
    for finding in &one.findings_kept {
        lines.extend(said(finding, "still", None, width));
    }
    lines
}

/// `gone: warning: thundering herd: …`; of what is there now, the fix too.
fn said(finding: &Finding, word: &str, colour: Option<Style>, width: usize) -> Vec<Line> {
    let severity = match finding.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let style = colour.unwrap_or_else(|| severity_style(finding.severity));
    let summary = format!("{word}: {severity}: {}", finding.summary);
    let mut lines = indented(&summary, "  ", style, width);
    if colour.is_none() {
        let fix = format!("fix: {}", finding.fix);
        lines.extend(indented(&fix, "    ", Style::new(), width));
    }
    lines
}

/// One line of the table.
struct Row {
    cells: [String; 3],
    word: &'static str,
    style: Style,
}

fn table(one: &ComparedListener) -> Vec<Line> {
    let numbers = one.numbers.iter().filter(|number| is_telling(number)).map(|number| {
        let mark = if number.estimate { "~" } else { "" };
        let value = |value| words::value(&number.name, value);
        Row {
            cells: [
                format!("{mark}{}", words::number(&number.name)),
                value(number.before),
                value(number.after),
            ],
            word: words::of_number(number.course),
            style: style(number.course),
        }
    });
    let changes = one.changes.iter().map(|change| {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let name = words::setting(&change.name).to_owned();
        let cells = [name, value(&change.before), value(&change.after)];
        Row { cells, word: "changed", style: Style::new() }
    });
    let heading = Row {
        cells: [String::new(), "BEFORE".to_owned(), "AFTER".to_owned()],
        word: "",
        style: STRONG,
    };
    let mut rows: Vec<Row> = [heading].into_iter().chain(numbers).chain(changes).collect();
    for row in &mut rows {
        row.cells = row.cells.each_ref().map(|cell| text::cut(&text::clean(cell), VALUE));
    }
    let widest =
        |column: usize| rows.iter().map(|row| text::width(&row.cells[column])).max().unwrap_or(0);
    let widths = [0, 1, 2].map(widest);
    let line = |row: &Row| {
        let Row { cells: [name, before, after], word, style } = row;
        let mut line = Line::default();
        line.pad(2);
        line.push(name.clone(), Style::new());
        line.pad(widths[0] - text::width(name) + 2 + widths[1] - text::width(before));
        line.push(before.clone(), Style::new());
        line.pad(2 + widths[2] - text::width(after));
        line.push(after.clone(), *style);
        line.pad(2);
        line.push((*word).to_owned(), *style);
        line
    };
    rows.iter().map(line).collect()
}

/// Whether a number says anything: nothing before and nothing after does not.
pub fn is_telling(number: &ComparedNumber) -> bool {
    let is_nothing = |value: Option<f64>| value.is_none_or(|value| value == 0.0);
    let always = ["accepted_per_second", "herd_ratio", "drops_per_second"];
    always.contains(&number.name.as_str())
        || !is_nothing(number.before)
        || !is_nothing(number.after)
}

fn style(course: Course) -> Style {
    match course {
        Course::Better => GOOD,
        Course::Worse => BAD,
        Course::Mixed => CAUTION,
        Course::Same | Course::Unknown => DIM,
        Course::Moved | Course::New | Course::Gone => Style::new(),
    }
}

fn legend(comparison: &Comparison, width: usize) -> Vec<Line> {
    let mut notes = Vec::new();
    match comparison.idle_listeners {
        0 => {}
        1 => notes.push("1 listener was idle in both".to_owned()),
        idle => notes.push(format!("{idle} listeners were idle in both")),
    }
    let numbers = || comparison.listeners.iter().flat_map(|one| &one.numbers);
    if numbers().any(|number| number.estimate && is_telling(number)) {
        notes.push("~ is an estimate: no hook sees every event".to_owned());
    }
    if numbers().next().is_some() {
        notes.push(
            "same = less than a tenth apart, or next to nothing; moved = neither better nor worse"
                .to_owned(),
        );
    }
    notes.iter().flat_map(|note| wrapped(note, DIM, width)).collect()
}

#[cfg(test)]
mod tests;
