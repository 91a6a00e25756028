//! The first line of a recording.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Host, SCHEMA_VERSION, Tool};

/// First line of a recording: what was recorded, where and by which arguments.
///
/// The lines after it are reports and events, one per line, in their order. The last report is the total of the
/// window, where the recording was not cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordingHeader {
    /// Kind of line among the lines of a recording: always `recording`.
    #[serde(rename = "type")]
    pub line: RecordingLine,
    /// Version of this format. Fields are added within a version; none is renamed, dropped or given another
    /// meaning.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Program that made the recording.
    pub tool: Tool,
    /// Host that the recording was made on.
    pub host: Host,
    /// Arguments that the recording was made with, as they were typed, without the program's name.
    pub arguments: Vec<String>,
    /// Time at which the recording began: RFC 3339, UTC, with milliseconds; `null` where that is not known.
    #[serde(default)]
    pub start: Option<String>,
    /// Number of this file among the parts of a recording that is split by size, from 1.
    #[serde(default = "first_part")]
    pub part: u64,
}

impl RecordingHeader {
    /// Header of a recording that this program makes now.
    #[must_use]
    pub fn new(host: Host, arguments: Vec<String>, start: String) -> Self {
        Self {
            line: RecordingLine::Recording,
            schema_version: SCHEMA_VERSION,
            tool: Tool { name: "observer".into(), version: env!("CARGO_PKG_VERSION").into() },
            host,
            arguments,
            start: Some(start),
            part: first_part(),
        }
    }
}

const fn first_part() -> u64 {
    1
}

/// Kind of line that a header is among the lines of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordingLine {
    /// The header of a recording.
    #[default]
    Recording,
}
