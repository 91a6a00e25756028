//! One line of a recording. Pure.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    model::{Event, RecordingHeader, Report, SCHEMA_VERSION, WindowKind},
    stream::{Because, Ended, Update},
};

/// What a line holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The header of a recording, or of a part of one.
    Header(RecordingHeader),
    /// A report or an event. A report of everything since the window opened is taken for the end of the window,
    /// which it is where the others are of intervals.
    Update(Update),
    /// Something of a type that this version does not know.
    Unknown,
}

/// Reason why a line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The line is JSON of a schema that is newer than this program.
    Newer(u64),
    /// The line is JSON, or begins like it, but is no line of a recording: the words of what is wrong.
    Foreign(String),
    /// The line is no JSON: the words of what is wrong, with the column.
    Broken(String),
    /// The line ends before its JSON does.
    Unfinished,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer(version) => write!(
                formatter,
                "is of schema version {version}, and this observer ({}) knows versions up to {SCHEMA_VERSION}",
                env!("CARGO_PKG_VERSION")
            ),
            Self::Foreign(why) => write!(formatter, "is no line of a recording ({why})"),
            Self::Broken(why) => write!(formatter, "is no JSON ({why})"),
            Self::Unfinished => formatter.write_str("ends in the middle of an object"),
        }
    }
}

/// What every line begins with, as far as it must be known to read the rest.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    schema_version: Option<u64>,
}

/// Reads one line, with or without its line break.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse_line(line: &[u8]) -> Result<Line, Damage> {
    let head: Head<'_> = serde_json::from_slice(line).map_err(|error| damage(&error, line))?;
    match head.schema_version {
        None => return Err(Damage::Foreign("it has no schema_version".into())),
        Some(version) if version > u64::from(SCHEMA_VERSION) => return Err(Damage::Newer(version)),
        Some(_) => {}
    }
    match head.kind.as_deref() {
        Some("recording") => of(line).map(Line::Header),
        Some("event") => of(line).map(|event: Event| Line::Update(Update::Event(event))),
        // Reports of before recordings have no type.
        Some("report") | None => of(line).map(|report| Line::Update(update(report))),
        Some(_) => Ok(Line::Unknown),
    }
}

fn of<T: DeserializeOwned>(line: &[u8]) -> Result<T, Damage> {
    serde_json::from_slice(line).map_err(|error| damage(&error, line))
}

fn update(report: Box<Report>) -> Update {
    match report.window.kind {
        WindowKind::Total => Update::Ended(Ended { total: report, because: Because::Closed }),
        WindowKind::Interval => Update::Report(report),
    }
}

fn damage(error: &serde_json::Error, line: &[u8]) -> Damage {
    // The line is always the first, of which only the column tells anything.
    let column = error.column();
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    match error.classify() {
        serde_json::error::Category::Eof => Damage::Unfinished,
        // A number that ends at its point.
        serde_json::error::Category::Syntax if column >= line.len() => Damage::Unfinished,
        serde_json::error::Category::Data => {
            Damage::Foreign(format!("{words}, at column {column}"))
        }
        _ => Damage::Broken(format!("{words}, at column {column}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"schema_version":1,"type":"event","time":"2026-01-02T03:04:05Z","netns":null,"inode":null,"address":null,"port":null,"kind":"lost","count":3}"#;

    #[test]
    fn an_event_is_read_and_a_prefix_of_it_is_unfinished() {
        let read = parse_line(EVENT.as_bytes());
        assert!(matches!(read, Ok(Line::Update(Update::Event(_)))), "{read:?}");
        for end in 1..EVENT.len() {
            assert_eq!(parse_line(&EVENT.as_bytes()[..end]), Err(Damage::Unfinished), "{end}");
        }
    }

    #[test]
    fn what_is_no_line_of_a_recording_says_why() {
        let of = |line: &str| parse_line(line.as_bytes()).expect_err("no line").to_string();
        assert!(of("{\"schema_version\":2,\"anything\":[]}").contains("schema version 2"));
        assert!(of("{\"a\":1}").contains("no schema_version"));
        assert!(of("[1]").contains("is no line of a recording"), "{}", of("[1]"));
        assert!(
            of("hello").contains("is no JSON (expected value, at column 1)"),
            "{}",
            of("hello")
        );
        assert!(of("{\"schema_version\":1}").contains("missing field"));
        assert!(of("\u{0}\u{0}").contains("is no JSON"));
    }

    #[test]
    fn another_type_of_this_version_is_left_alone() {
        let line = br#"{"schema_version":1,"type":"note","text":"x"}"#;
        assert_eq!(parse_line(line), Ok(Line::Unknown));
    }
}
