//! Recordings: updates as lines of JSON and back.
//!
//! What `--format json` prints and what `observer record` writes is the same: one object per line, each of which
//! stands alone. A report has the type `report`, an event the type `event`; the last report is the total, which is
//! about all of the window. A recording has a [`Header`] before them, of the type `recording`.
//!
//! [`Writer`] writes a file that is readable at any moment, whatever ends it. [`Reader`] reads it, or what is left
//! of it, in bounded memory, and [`Sum`] adds up the reports of any part of its time:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use observer::{Update, recording::Reader};
//!
//! # fn example() -> anyhow::Result<()> {
//! let mut reader = Reader::open(Path::new("incident.ndjson.zst"))?;
//! while let Some(update) = reader.next()? {
//!     match update {
//!         Update::Report(report) => println!("{}: {}", reader.line(), report.window.start),
//!         Update::Event(event) => println!("{}: {}", reader.line(), event.time),
//!         Update::Ended(ended) => println!("{} listeners", ended.total.listeners.len()),
//!     }
//! }
//! if let Some(cut) = reader.cut() {
//!     eprintln!("{cut}");
//! }
//! # Ok(())
//! # }
//! ```

mod compare;
mod files;
mod input;
mod line;
pub mod matching;
mod options;
mod output;
mod reader;
mod sum;
#[cfg(test)]
mod tests;
mod writer;
mod written;

use serde::{Serialize, Serializer};

pub use self::{
    compare::{Side, compare},
    line::{Damage, Line, parse_line},
    options::Options,
    reader::{Cut, Reader},
    sum::Sum,
    writer::Writer,
    written::Written,
};
pub use crate::model::RecordingHeader as Header;
use crate::stream::Update;

impl Serialize for Update {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Event(event) => event.serialize(serializer),
            Self::Report(report) => report.serialize(serializer),
            Self::Ended(ended) => ended.total.serialize(serializer),
        }
    }
}
