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

/// Accept waits.
pub(super) const OF_WAIT: About =
    About { signals: &["accepts", "handshakes"], findings: &[id::SLOW_ACCEPT] };

/// One that is shown only where a listener has any of it.
const fn if_any(heading: Heading) -> Heading {
    Heading { shown: Shown::WhereSaid, ..heading }
}

const fn column(heading: Heading, about: About, says: Says, meaning: &'static str) -> Column {
    Column { heading, about, says, meaning }
}

/// From left to right.
pub(super) const COLUMNS: &[Column] = &[
    column(LISTENER, IDENTITY, OfListener(labels::address), ""),
    column(NETNS, IDENTITY, OfListener(columns::netns), ""),
    column(HELD_BY, IDENTITY, OfListener(labels::held_by), ""),
    column(
        Heading::numbers("QUEUED", 14),
        About::signals(&["handshakes"]),
        OfListener(|one| Cell::count(one.queued)),
        "connections that completed the handshake",
    ),
    column(
        Heading::numbers("ACCEPTED", 2),
        ACCEPTS,
        OfCounts(|counts| Cell::count(counts.accepted)),
        "",
    ),
    column(
        Heading::numbers("WAKEUPS", 5),
        WAKEUPS,
        OfCounts(|counts| Cell::count(counts.wakeups.total)),
        "tasks woken by the listener",
    ),
    column(
        Heading::numbers("HERD", 1),
        About { signals: &["wakeups", "accepts"], findings: &[id::THUNDERING_HERD] },
        OfListener(|one| Cell::text(&units::ratio(one.herd_ratio))),
        "wakeups per accepted connection, 1.00 is ideal",
    ),
    column(
        Heading::numbers("WASTED", 9),
        WAKEUPS,
        OfCounts(|counts| Cell::text(&units::share(counts.wasted(), counts.wakeups.total))),
        "share of wakeups that accepted nothing",
    ),
    // The outcomes have one rank: a reader adds them up.
    column(
        Heading::numbers("WON", 12),
        WAKEUPS,
        OfCounts(|counts| Cell::count(counts.wakeups.won)),
        "wakeups that accepted",
    ),
    column(
        Heading::numbers("LOST", 12),
        WAKEUPS,
        OfCounts(|counts| Cell::count(counts.wakeups.lost)),
        "found nothing left (EAGAIN)",
    ),
    column(
        Heading::numbers("SILENT", 12),
        WAKEUPS,
        OfCounts(|counts| Cell::count(counts.wakeups.silent)),
        "slept again without calling accept",
    ),
    column(
        Heading::numbers("FAILED", 12),
        WAKEUPS,
        OfCounts(|counts| Cell::count(counts.wakeups.failed)),
        "got another error",
    ),
    column(
        Heading::numbers("PENDING", 12),
        WAKEUPS,
        OfCounts(|counts| Cell::count(counts.wakeups.pending)),
        "not decided yet",
    ),
    column(
        Heading::numbers("EAGAIN", 10),
        ACCEPTS,
        OfCounts(|counts| Cell::count(counts.eagain())),
        "accept calls that found nothing",
    ),
    column(
        // Room for `EMFILE 123`.
        if_any(Heading { floor: [6, 6, 10], ..Heading::numbers("ERRORS", 7) }),
        About { findings: &[id::FD_EXHAUSTED], ..ACCEPTS },
        OfCounts(errors),
        "accept calls that failed, EAGAIN aside",
    ),
    column(
        QUEUE,
        OF_QUEUE,
        OfListener(columns::queue),
        "most connections waiting to be accepted, of the limit",
    ),
    column(
        if_any(Heading::numbers("P99 WAIT", 11)),
        OF_WAIT,
        OfListener(|one| match one.accept_wait.p99 {
            Some(wait) => Cell::text(&units::time(wait)),
            None => Cell::unknown(),
        }),
        "from queued to accepted, 99 of 100 took less",
    ),
    column(
        DROPS,
        OF_DROPS,
        OfListener(columns::drops),
        "connection attempts that the kernel dropped",
    ),
    column(
        if_any(Heading::numbers("FAIRNESS", 13)),
        About { findings: &[id::ONE_WORKER_TAKES_ALL], ..ACCEPTS },
        OfListener(|one| Cell::text(&units::ratio(one.fairness))),
        "how evenly workers accept, 1.00 is even",
    ),
];

impl Column {
    /// Its heading in a report of these providers.
    pub(super) fn heading(&self, providers: &Providers) -> Heading {
        Heading { estimated: self.about.is(Worth::Estimate, providers), ..self.heading }
    }

    /// What it says of a listener, in the colour of the findings that are about it.
    pub(super) fn of_listener(&self, listener: &Listener, providers: &Providers) -> Cell {
        let cell = match self.says {
            _ if self.about.is(Worth::Nothing, providers) => Cell::unknown(),
            OfListener(says) => says(listener),
            OfCounts(says) => says(&Tally::of(listener)),
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
