//! Two recordings side by side.

use serde::Serialize;

use super::overview::word;
use crate::app::report::against::{is_telling, words};
use observer::{
    model::{ComparedListener, ComparedRecording, Comparison, Course, Finding},
    units,
};

/// Listeners that are compared at most.
const MOST: usize = 30;

#[derive(Serialize)]
pub struct SideBySide {
    before: String,
    after: String,
    hosts_differ: bool,
    listeners: Vec<Compared>,
    more: usize,
    idle: u64,
}

#[derive(Serialize)]
struct Compared {
    name: String,
    course: &'static str,
    class: &'static str,
    rows: Vec<Row>,
    findings: Vec<Said>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    before: String,
    after: String,
    word: &'static str,
    class: &'static str,
}

#[derive(Serialize)]
struct Said {
    word: &'static str,
    severity: &'static str,
    summary: String,
}

pub fn side_by_side(comparison: &Comparison) -> SideBySide {
    let of = |one: &ComparedRecording| {
        format!("{}, {} from {}", one.file, units::seconds(one.window.seconds), one.window.start)
    };
    SideBySide {
        before: of(&comparison.before),
        after: of(&comparison.after),
        hosts_differ: comparison.before.host != comparison.after.host,
        listeners: comparison.listeners.iter().take(MOST).map(compared).collect(),
        more: comparison.listeners.len().saturating_sub(MOST),
        idle: comparison.idle_listeners,
    }
}

fn compared(one: &ComparedListener) -> Compared {
    let numbers = one.numbers.iter().filter(|number| is_telling(number)).map(|number| Row {
        name: format!("{}{}", if number.estimate { "~" } else { "" }, words::number(&number.name)),
        before: words::value(&number.name, number.before),
        after: words::value(&number.name, number.after),
        word: words::of_number(number.course),
        class: class(number.course),
    });
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let changes = one.changes.iter().map(|change| Row {
        name: words::setting(&change.name).to_owned(),
        before: value(&change.before),
        after: value(&change.after),
        word: "changed",
        class: "",
    });
    let said = |word: &'static str| {
        move |finding: &Finding| Said {
            word,
            severity: self::word(finding.severity),
            summary: finding.summary.clone(),
        }
    };
    let gone =
        one.findings_gone.iter().map(said(if one.course == Course::Gone { "had" } else { "gone" }));
    let new =
        one.findings_new.iter().map(said(if one.course == Course::New { "has" } else { "new" }));
    let kept = one.findings_kept.iter().map(said("still"));
    Compared {
        name: words::name(one),
        course: words::of_listener(one.course),
        class: class(one.course),
        rows: numbers.chain(changes).collect(),
        findings: gone.chain(new).chain(kept).collect(),
    }
}

fn class(course: Course) -> &'static str {
    match course {
        Course::Better => "good",
        Course::Worse => "critical",
        Course::Mixed => "warning",
        Course::Same | Course::Unknown => "dim",
        Course::Moved | Course::New | Course::Gone => "",
    }
}
