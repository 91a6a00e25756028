//! The columns of the report: one row each.

use super::tally::Tally;
use crate::app::render::{
    cell::Cell,
    columns::{self, About, DROPS, HELD_BY, LISTENER, NETNS, OF_DROPS, OF_QUEUE, QUEUE},
    grid::{Heading, Shown},
    labels,
};
use observer::{
    findings::id,
    model::{Listener, Providers, Worth},
    units,
};

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    heading: Heading,
    about: About,
    says: Says,
    /// Explanation beneath the table; empty where the name says it.
    pub(super) meaning: &'static str,
}

/// What a column says.
#[derive(Debug)]
enum Says {
    /// Of a listener only.
    OfListener(fn(&Listener) -> Cell),
    /// Of a listener, of a worker, and of several workers.
    OfCounts(fn(&Tally) -> Cell),
}

use Says::{OfCounts, OfListener};

const IDENTITY: About = About::signals(&[]);
const WAKEUPS: About = About::signals(&["wakeups"]);
const ACCEPTS: About = About::signals(&["accepts"]);
const HANDSHAKES: About = About::signals(&["handshakes"]);
const HERD: About = About { signals: &["wakeups", "accepts"], findings: &[id::THUNDERING_HERD] };
const ERRORS: About = About { findings: &[id::FD_EXHAUSTED], ..ACCEPTS };
const FAIRNESS: About = About { findings: &[id::ONE_WORKER_TAKES_ALL], ..ACCEPTS };

/// Accept waits.
pub(super) const OF_WAIT: About =
    About { signals: &["accepts", "handshakes"], findings: &[id::SLOW_ACCEPT] };

/// A column of counts, of which workers have a part.
const fn counts(
    name: &'static str,
    rank: u8,
    about: About,
    says: fn(&Tally) -> Cell,
    meaning: &'static str,
) -> Column {
    Column { heading: Heading::numbers(name, rank), about, says: OfCounts(says), meaning }
}

/// A column that only a listener as a whole has.
const fn whole(
    heading: Heading,
    about: About,
    says: fn(&Listener) -> Cell,
    meaning: &'static str,
) -> Column {
    Column { heading, about, says: OfListener(says), meaning }
}

const fn number(name: &'static str, rank: u8) -> Heading {
    Heading::numbers(name, rank)
}

/// From left to right. The outcomes of wakeups have one rank: a reader adds them up.
pub(super) const COLUMNS: &[Column] = &[
    whole(LISTENER, IDENTITY, labels::address, ""),
    whole(NETNS, IDENTITY, columns::netns, ""),
    whole(HELD_BY, IDENTITY, labels::held_by, ""),
    whole(number("QUEUED", 14), HANDSHAKES, queued, "completed handshakes"),
    counts("ACCEPTED", 2, ACCEPTS, |n| Cell::count(n.accepted), ""),
    counts("WAKEUPS", 8, WAKEUPS, |n| Cell::count(n.wakeups.total), "tasks woken by the listener"),
    whole(number("HERD", 1), HERD, herd, "wakeups per accepted connection, 1.00 is ideal"),
    counts("WASTED", 9, WAKEUPS, wasted, "share of wakeups that accepted nothing"),
    counts("WON", 12, WAKEUPS, |n| Cell::count(n.wakeups.won), "wakeups that accepted"),
    counts("LOST", 12, WAKEUPS, |n| Cell::count(n.wakeups.lost), "found nothing left (EAGAIN)"),
    counts("SILENT", 12, WAKEUPS, |n| Cell::count(n.wakeups.silent), "slept again without accept"),
    counts("FAILED", 12, WAKEUPS, |n| Cell::count(n.wakeups.failed), "got another error"),
    counts("PENDING", 12, WAKEUPS, |n| Cell::count(n.wakeups.pending), "not decided yet"),
    counts("EAGAIN", 10, ACCEPTS, |n| Cell::count(n.eagain()), "accept calls that found nothing"),
    counts("ERRORS", 7, ERRORS, errors, "accept calls that failed, not EAGAIN").if_any([6, 6, 10]),
    whole(QUEUE, OF_QUEUE, columns::queue, "most connections waiting to be accepted, of the limit"),
    whole(number("P99 WAIT", 11), OF_WAIT, wait, "from queued to accepted, 99 of 100 took less")
        .if_any([0; 3]),
    whole(DROPS, OF_DROPS, columns::drops, "connection attempts that the kernel dropped"),
    whole(number("FAIRNESS", 13), FAIRNESS, fairness, "how evenly workers accept, 1.00 is even")
        .if_any([0; 3]),
];

impl Column {
    /// Shown only where a listener has any of it.
    const fn if_any(self, floor: [usize; 3]) -> Self {
        Self { heading: Heading { shown: Shown::WhereSaid, floor, ..self.heading }, ..self }
    }

    /// Its heading in a report of these providers.
    pub(super) fn heading(&self, providers: &Providers) -> Heading {
        Heading { estimated: self.about.is(Worth::Estimate, providers), ..self.heading }
    }

    /// What it says of a listener, in the colour of the findings that are about it.
    pub(super) fn of_listener(&self, listener: &Listener, providers: &Providers) -> Cell {
        let cell = match self.says {
            _ if self.about.is(Worth::Nothing, providers) => Cell::unknown(),
            OfListener(says) => says(listener),
            OfCounts(says) => Tally::of(listener).map_or_else(Cell::unknown, |tally| says(&tally)),
        };
        self.about.styled(cell, listener)
    }

    /// What it says of one worker or of several: nothing where only a listener as a whole has it.
    pub(super) fn of_tally(&self, tally: &Tally, providers: &Providers) -> Cell {
        match self.says {
            OfCounts(says) if !self.about.is(Worth::Nothing, providers) => says(tally),
            _ => Cell::blank(),
        }
    }
}

/// How full an accept queue was, as a part of its limit: to compare queues by.
#[expect(clippy::cast_precision_loss, reason = "to compare by")]
pub fn fullest(listener: &Listener) -> f64 {
    let queue = &listener.accept_queue;
    let most = queue.max.unwrap_or(0).max(queue.now.unwrap_or(0));
    most as f64 / (queue.limit.or(listener.backlog.limit).unwrap_or(u64::MAX).max(1)) as f64
}

fn queued(listener: &Listener) -> Cell {
    listener.queued.map_or_else(Cell::unknown, Cell::count)
}

fn herd(listener: &Listener) -> Cell {
    Cell::text(&units::ratio(listener.herd_ratio))
}

fn fairness(listener: &Listener) -> Cell {
    Cell::text(&units::ratio(listener.fairness))
}

fn wait(listener: &Listener) -> Cell {
    listener.accept_wait.p99.map_or_else(Cell::unknown, |wait| Cell::text(&units::time(wait)))
}

fn wasted(counts: &Tally) -> Cell {
    Cell::text(&units::share(counts.wasted(), counts.wakeups.total))
}

/// The errors of accept other than EAGAIN, the most frequent first.
fn errors(tally: &Tally) -> Cell {
    let total = tally.other_errors();
    if total == 0 {
        return Cell::text("0");
    }
    let named = tally.named_errors();
    let mut cell = Cell::text(&named.join(", "));
    if let [first, rest @ ..] = named.as_slice()
        && !rest.is_empty()
    {
        cell = cell.or(&format!("{first} +{}", rest.len()), "");
    }
    cell.or(&units::short_count(total), "")
}
