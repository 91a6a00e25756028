//! What was written of a recording, in numbers and in words.

use std::time::Duration;

use crate::model::{Report, Window};

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of lines in the last part, its header included.
    pub lines: u64,
    /// Number of reports in all parts, the total not included.
    pub reports: u64,
    /// Number of events in all parts.
    pub events: u64,
    /// Whether the total was written.
    pub total: bool,
    /// Bytes of all parts, as large as they are in their files.
    pub bytes: u64,
    /// Time up to which it goes: RFC 3339, UTC; `None` before the first update.
    pub until: Option<String>,
}

impl Written {
    /// What is kept, where no more can be written.
    pub(super) fn words(&self) -> String {
        let Self { lines, reports, events, until, .. } = self;
        match until {
            None => "nothing was recorded; make room, or choose another file".to_owned(),
            Some(until) => {
                let reports = counted(*reports, "report");
                let events = counted(*events, "event");
                format!(
                    "what was recorded up to {until} is kept and can be read ({reports}, {events}, up to line {lines} \
                     of the file); make room, or bound the recording with --max-size and --keep"
                )
            }
        }
    }
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// End of a report's window.
pub(super) fn until(report: &Report) -> Option<String> {
    let Window { start, seconds, .. } = &report.window;
    let start = humantime::parse_rfc3339(start).ok()?;
    let end = start.checked_add(Duration::try_from_secs_f64(*seconds).ok()?)?;
    Some(humantime::format_rfc3339_millis(end).to_string())
}
