//! Two recordings side by side. Pure.
//!
//! It says what moved and in which direction. What is wrong is said by the findings of each.

mod numbers;
mod place;
mod settings;

use std::cmp::Reverse;

use self::place::Place;
use super::matching::{OF_RECORDINGS, matched};
use crate::model::{
    ComparedListener, ComparedRecording, Comparison, ComparisonLine, Course, Finding, Providers,
    Report, SCHEMA_VERSION, Tool,
};

/// One of two recordings.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Its report.
    pub report: &'a Report,
}

/// Compares two recordings.
#[must_use]
pub fn compare(before: Side<'_>, after: Side<'_>) -> Comparison {
    let (places_before, places_after) = (Place::of_all(before.report), Place::of_all(after.report));
    let [sought_before, sought_after] = [&places_before, &places_after]
        .map(|all| all.iter().map(Place::sought).collect::<Vec<_>>());
    let pairs = matched(&sought_before, &sought_after, &OF_RECORDINGS);
    let estimates = [before, after].map(|side| side.report.providers.clone());
    let (mut idle, mut listeners) = (0, Vec::new());
    for (before, after) in pairs {
        let before = before.map(|index| &places_before[index]);
        let after = after.map(|index| &places_after[index]);
        if [before, after].into_iter().flatten().all(Place::is_idle) {
            idle += 1;
        } else {
            listeners.push(listener(before, after, &estimates));
        }
    }
    listeners.sort_by_key(|one| {
        let rank = match one.course {
            Course::Worse => 0,
            Course::Mixed => 1,
            Course::Better => 2,
            Course::New => 3,
            Course::Gone => 4,
            _ => 5,
        };
        (rank, Reverse(one.changes.len()), one.port, one.address.clone())
    });
    let side = |side: Side<'_>| ComparedRecording {
        file: side.file.to_owned(),
        host: side.report.host.clone(),
        window: side.report.window.clone(),
    };
    Comparison {
        schema_version: SCHEMA_VERSION,
        line: ComparisonLine::Comparison,
        tool: Tool { name: "observer".into(), version: env!("CARGO_PKG_VERSION").into() },
        before: side(before),
        after: side(after),
        listeners,
        idle_listeners: idle,
    }
}

fn listener(
    before: Option<&Place<'_>>,
    after: Option<&Place<'_>>,
    providers: &[Providers; 2],
) -> ComparedListener {
    let numbers = numbers::numbers(before, after, providers);
    let findings = |place: Option<&Place<'_>>| place.map(Place::findings).unwrap_or_default();
    let (had, has) = (findings(before), findings(after));
    let without = |all: &[Finding], others: &[Finding]| -> Vec<Finding> {
        let is_new = |one: &&Finding| !others.iter().any(|other| other.id == one.id);
        all.iter().filter(is_new).cloned().collect()
    };
    let (gone, new) = match (before, after) {
        (Some(_), Some(_)) => (without(&had, &has), without(&has, &had)),
        (_, None) => (had.clone(), Vec::new()),
        (None, _) => (Vec::new(), has.clone()),
    };
    let kept = has.iter().filter(|one| had.iter().any(|other| other.id == one.id)).cloned();
    let shown = after.or(before);
    let course = match (before, after) {
        (Some(_), None) => Course::Gone,
        (None, _) => Course::New,
        (Some(_), Some(_)) => {
            let courses = numbers.iter().map(|one| one.course);
            let of_findings = gone.iter().map(|_| Course::Better);
            let of_new = new.iter().map(|_| Course::Worse);
            together(courses.chain(of_findings).chain(of_new))
        }
    };
    ComparedListener {
        address: shown.map(|place| place.address.to_owned()).unwrap_or_default(),
        port: shown.map_or(0, |place| place.port),
        comm: shown.and_then(|place| place.comm.clone()),
        netns_before: before.map(|place| place.netns),
        netns_after: after.map(|place| place.netns),
        course,
        findings_kept: kept.collect(),
        numbers,
        changes: before
            .zip(after)
            .map(|(before, after)| settings::changes(before, after))
            .unwrap_or_default(),
        findings_gone: gone,
        findings_new: new,
    }
}

/// The course of a whole of which these are the parts.
fn together(courses: impl Iterator<Item = Course>) -> Course {
    let (mut better, mut worse) = (false, false);
    for course in courses {
        better |= course == Course::Better;
        worse |= course == Course::Worse;
    }
    match (better, worse) {
        (true, true) => Course::Mixed,
        (true, false) => Course::Better,
        (false, true) => Course::Worse,
        (false, false) => Course::Same,
    }
}

#[cfg(test)]
mod tests;
