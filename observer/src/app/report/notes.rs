//! What is said of a recording beside its report.

use super::load::{Part, Recording, clock, span};

/// Sentences on standard error: what was chosen, and what is missing.
pub fn of(recording: &Recording, part: Part) -> Vec<String> {
    let Recording { name, report, chosen, intervals, cut, .. } = recording;
    let mut notes = Vec::new();
    if let Some(cut) = cut {
        notes.push(format!("{name} is not whole: {cut}"));
    }
    if !recording.is_total {
        let of = match span(&report.window) {
            _ if *chosen == *intervals => "all".to_owned(),
            Some((start, _)) => format!("{chosen} of {intervals}, from {}", clock(start)),
            None => format!("{chosen} of {intervals}"),
        };
        let why = if part.is_whole() && !recording.has_total {
            ": there is no total, which a recording has at its end"
        } else {
            ""
        };
        notes.push(format!("this is the sum of interval reports ({of}){why}"));
    }
    if recording.skipped > 0 {
        notes.push(format!(
            "{} lines of {name} are of types that this observer does not know, and are left out",
            recording.skipped
        ));
    }
    notes
}
