//! One line per event, for people.

use std::collections::BTreeMap;

use anstyle::Style;
use observer::{
    model::{Event, LostReason, What},
    units,
};

use super::{kinds, names};
use crate::app::render::{
    cell::{BAD, CAUTION, Cell, DIM, NOTABLE, STRONG},
    labels,
    line::Line,
    text,
};

/// Columns of the time, of the time since the event before, of the kind, and the least and most of the listener.
const TIME: usize = 10;
const SINCE: usize = 8;
const KIND: usize = 12;
const LISTENER: (usize, usize) = (15, 21);

/// Screens below these have no room for the time since the event before, and for the listener.
const NARROW: (usize, usize) = (76, 60);

/// Lines of events: what the ones before have to do with the next.
#[derive(Debug)]
pub struct Lines {
    /// Width of the screen; `None` where lines may be as long as they are.
    width: Option<usize>,
    last: Option<u64>,
    listener: usize,
}

impl Lines {
    /// Lines for a screen of this width; for a file or a pipe with `None`.
    pub fn new(width: Option<usize>) -> Self {
        Self { width, last: None, listener: LISTENER.0 }
    }

    /// The names of the columns.
    pub fn heading(&self) -> Line {
        let (times, listener) = (self.times("SECONDS", "SINCE"), self.padded("LISTENER"));
        Line::new(format!("{times}{:<KIND$} {listener}WHAT", "EVENT"), STRONG)
    }

    /// The line of an event that happened at `at`, nanoseconds since the window opened.
    pub fn line(&mut self, event: &Event, at: u64) -> Line {
        let since =
            self.last.map_or_else(String::new, |last| names::since(at.saturating_sub(last)));
        self.last = Some(at);
        let listener = names::of_event(event);
        self.listener = self.listener.max(text::width(&listener).min(LISTENER.1));
        let kind = kinds::name(&event.what);
        let style = style(&event.what);
        let mut line = Line::default();
        line.push(self.times(&names::seconds(at), &since), DIM);
        line.push(format!("{kind:<KIND$} "), style);
        let is_lost = matches!(event.what, What::Lost { .. });
        // What is about no listener may have its room.
        let listener = if is_lost { String::new() } else { self.padded(&listener) };
        let taken = TIME + 1 + KIND + 1 + text::width(&listener);
        let taken = if self.tells_since() { taken + SINCE + 1 } else { taken };
        line.push(listener, DIM);
        let room = self.width().saturating_sub(taken);
        line.push(what(&event.what).at(room), if style == DIM { DIM } else { Style::new() });
        line
    }

    /// Columns of the screen.
    pub fn width(&self) -> usize {
        self.width.unwrap_or(usize::MAX)
    }

    fn times(&self, time: &str, since: &str) -> String {
        match self.tells_since() {
            true => format!("{time:>TIME$} {since:>SINCE$} "),
            false => format!("{time:>TIME$} "),
        }
    }

    fn tells_since(&self) -> bool {
        self.width() >= NARROW.0
    }

    fn padded(&self, listener: &str) -> String {
        if self.width() < NARROW.1 {
            return String::new();
        }
        let room = self.listener.saturating_sub(text::width(listener));
        format!("{listener}{} ", " ".repeat(room))
    }
}

/// What happened, in words, and in fewer where there is less room: numbers are never cut.
fn what(what: &What) -> Cell {
    match what {
        What::Queued { connection, client, depth, limit } => {
            let number = names::connection(*connection);
            let client = names::client(client.as_deref());
            let (host, port) = client.split_at(client.rfind(':').unwrap_or(client.len()));
            Cell::text(&format!("{number} {depth} of {limit} from {client}"))
                .or(&format!("{number} {depth} of {limit} {host}"), port)
        }
        What::Woken { connection: None, task } => {
            let (comm, id) = names::task_parts(task);
            Cell::text(&format!("#? {comm}{id}, connection not known"))
                .or(&format!("#? {comm}"), &id)
        }
        What::Woken { connection, task } => {
            let (comm, id) = names::task_parts(task);
            Cell::blank().or(&format!("{} {comm}", names::connection(*connection)), &id)
        }
        What::Accepted { connection, task, wait, since_wakeup } => {
            let number = names::connection(*connection);
            let (comm, id) = names::task_parts(task);
            let Some(wait) = wait.map(units::time) else {
                return Cell::blank().or(&format!("{number} {comm}"), &id);
            };
            let waited = format!("{number} {comm}{id} waited {wait}");
            let woken = since_wakeup.map(units::time);
            let woken = woken.map(|since| format!("{waited}, {since} after its wakeup"));
            Cell::text(woken.as_ref().unwrap_or(&waited))
                .or(&waited, "")
                .or(&format!("{number} in {wait} {comm}"), &id)
        }
        What::AcceptError { task, errno } => {
            let (comm, id) = names::task_parts(task);
            Cell::blank().or(&format!("{errno} {comm}"), &id)
        }
        What::Silent { task } => {
            let (comm, id) = names::task_parts(task);
            Cell::text(&format!("{comm}{id}, asleep again without accept")).or(&comm, &id)
        }
        What::Dropped { client, reason } => {
            let reason = labels::drop_reason(reason);
            let client = names::client(client.as_deref());
            Cell::text(&format!("{reason}: {client}")).or(reason, "")
        }
        What::Listening { task, backlog } | What::Closed { task, backlog } => {
            let (comm, id) = names::task_parts(task);
            Cell::text(&format!("{comm}{id}, backlog {backlog}")).or(&comm, &id)
        }
        What::Lost { count, reason, kinds } => lost(*count, *reason, kinds.as_ref()),
    }
}

/// How many events are missing, and why.
fn lost(count: u64, reason: LostReason, kinds: Option<&BTreeMap<String, u64>>) -> Cell {
    let events = if count == 1 { "1 event".to_owned() } else { format!("{count} events") };
    match reason {
        LostReason::BufferFull => {
            let missing = format!("{events} missing before this");
            Cell::text(&format!("{missing}: they came faster than they were read"))
                .or(&missing, "")
                .or(&format!("{count} missing before this"), "")
        }
        LostReason::RateLimit => {
            let left_out = format!("{events} left out by the rate limit");
            let words = kinds.map(|kinds| {
                kinds::words(kinds.iter().map(|(kind, count)| (kind.as_str(), *count)))
            });
            Cell::text(
                &words.map_or_else(|| left_out.clone(), |words| format!("{left_out}: {words}")),
            )
            .or(&left_out, "")
            .or(&format!("{count} left out by the limit"), "")
        }
    }
}

/// The colour of an event's kind.
fn style(what: &What) -> Style {
    match what {
        What::Queued { .. } | What::Listening { .. } | What::Closed { .. } => NOTABLE,
        What::Accepted { .. } => STRONG,
        What::Woken { .. } => Style::new(),
        What::AcceptError { .. } => CAUTION,
        What::Silent { .. } => DIM,
        What::Dropped { .. } | What::Lost { reason: LostReason::BufferFull, .. } => BAD,
        What::Lost { reason: LostReason::RateLimit, .. } => CAUTION,
    }
}

#[cfg(test)]
mod tests;
