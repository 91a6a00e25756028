//! Updates as lines of JSON and back: what `--format json` prints, and what a recording holds.
//!
//! Each line stands alone. A report has the type `report` and an event the type `event`; the end of a window is
//! its last report, which is about all of it.

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    model::{Event, Report, WindowKind},
    stream::{Because, Ended, Update},
};

/// A line of a recording.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Event(Event),
    Report(Box<Report>),
}

impl Serialize for Update {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Event(event) => event.serialize(serializer),
            Self::Report(report) => report.serialize(serializer),
            Self::Ended(ended) => ended.total.serialize(serializer),
        }
    }
}

/// Update that a line tells of. A report of everything since the window opened is taken for its end, which it is
/// where the others are of intervals.
///
/// # Errors
///
/// When the line is none of an update.
pub fn parse(line: &str) -> serde_json::Result<Update> {
    Ok(match serde_json::from_str(line)? {
        Line::Event(event) => Update::Event(event),
        Line::Report(report) if report.window.kind == WindowKind::Total => {
            Update::Ended(Ended { total: report, because: Because::Closed })
        }
        Line::Report(report) => Update::Report(report),
    })
}
