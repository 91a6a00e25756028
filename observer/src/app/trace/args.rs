//! Options of `observer trace`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::app::args::{ObserveArgs, positive_duration};
use observer::EventKind;

/// Options of `observer trace`.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// How long to observe, such as 8s or 2min; until Ctrl-C without it
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub duration: Option<Duration>,
    /// One block per connection: where it was queued, whom it woke, who accepted it, who was woken in vain
    #[arg(long, conflicts_with = "kind")]
    pub connection: bool,
    /// Only events of this kind (repeatable); the kernel programs send no other
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Vec<Kind>,
    /// How to print
    #[arg(long, value_enum, default_value_t = TraceFormat::Text)]
    pub format: TraceFormat,
    /// Leave out what goes beyond so many events in a second, and say how many; 0 for no limit [default: 1000 on
    /// a terminal, else none]
    #[arg(long, value_name = "N")]
    pub max_events_per_second: Option<u64>,
    /// Write the report of the whole window to a file too
    #[arg(long, hide = true, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TraceFormat {
    /// For people
    Text,
    /// For programs: one object per line
    Json,
    /// For Perfetto and chrome://tracing: Trace Event JSON
    TraceEvent,
}

/// Kind of events, by its name in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// A connection entered an accept queue
    Queued,
    /// A listener made a task runnable
    Woken,
    /// An accept call returned a connection
    Accepted,
    /// An accept call failed, EAGAIN included
    AcceptError,
    /// A woken task went back to sleep without having called accept
    Silent,
    /// A connection attempt was dropped
    Dropped,
    /// A socket began to listen
    Listening,
    /// A listener stopped listening
    Closed,
}

impl From<Kind> for EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Queued => Self::Queued,
            Kind::Woken => Self::Woken,
            Kind::Accepted => Self::Accepted,
            Kind::AcceptError => Self::AcceptError,
            Kind::Silent => Self::Silent,
            Kind::Dropped => Self::Dropped,
            Kind::Listening => Self::Listening,
            Kind::Closed => Self::Closed,
        }
    }
}
