//! `observer trace`: one line per event, one block per connection, or a file for a trace viewer.

pub mod args;
mod blocks;
mod clock;
mod face;
#[cfg(test)]
mod fixtures;
mod kinds;
mod limit;
mod lines;
mod names;
mod story;
mod trace_event;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;

use self::{
    args::{TraceArgs, TraceFormat},
    face::Tracer,
};
use crate::app::run;
use observer::{Config, EventKind, Reports, error::Failure};

/// How often the holders of listeners are looked at, which may choose more of them, and how often what was left out
/// is told.
const TICK: Duration = Duration::from_secs(1);

/// Kinds of events that the story of a connection is made of.
const OF_CONNECTIONS: [EventKind; 6] = [
    EventKind::Queued,
    EventKind::Woken,
    EventKind::Accepted,
    EventKind::AcceptError,
    EventKind::Silent,
    EventKind::Closed,
];

/// Runs it.
///
/// # Errors
///
/// See [`observer::Observer::open`]; when nothing can be written, and when two arguments do not fit.
pub fn run(args: &TraceArgs) -> Result<ExitCode> {
    if args.connection && args.format == TraceFormat::TraceEvent {
        return Err(Failure::usage(
            "--connection is for text and JSON: a trace viewer shows connections by itself; leave out --connection, \
             or use --format json",
        )
        .into());
    }
    let mut face = Tracer::new(args)?;
    run::run(&config(args), args.duration, &mut face)?;
    Ok(ExitCode::SUCCESS)
}

fn config(args: &TraceArgs) -> Config {
    let events = match (args.connection, args.kind.is_empty()) {
        (true, _) => OF_CONNECTIONS.to_vec(),
        (false, true) => EventKind::ALL.to_vec(),
        (false, false) => args.kind.iter().copied().map(EventKind::from).collect(),
    };
    Config { events, reports: Reports::Intervals(TICK), ..args.observe.config() }
}
