//! The columns: their words, in which order they get room, and what they say of a listener.

use anstyle::Style;

use super::cell::{Cell, DIM, severity_style};
use super::layout::{Align, ROOMY, Shape};
use super::tally::Tally;
use super::words;
use crate::app::render::human;
use observer::findings::id;
use observer::model::{Listener, Providers, Report, Worth};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Listener,
    Netns,
    HeldBy,
    Queued,
    Accepted,
    Wakeups,
    Herd,
    Wasted,
    Won,
    Lost,
    Silent,
    Failed,
    Pending,
    Eagain,
    Errors,
    Queue,
    Wait,
    Drops,
    Fairness,
}

use Column::{
    Accepted, Drops, Eagain, Errors, Failed, Fairness, HeldBy, Herd, Lost, Netns, Pending, Queue,
    Queued, Silent, Wait, Wakeups, Wasted, Won,
};

/// From left to right; the first three say which listener it is, and labels run across them.
pub(super) const COLUMNS: [Column; 19] = [
    Column::Listener,
    Netns,
    HeldBy,
    Queued,
    Accepted,
    Wakeups,
    Herd,
    Wasted,
    Won,
    Lost,
    Silent,
    Failed,
    Pending,
    Eagain,
    Errors,
    Queue,
    Wait,
    Drops,
    Fairness,
];

/// How many of [`COLUMNS`] a label runs across.
pub(super) const LEADING: usize = 3;

/// What a report has to show at all.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    providers: Providers,
    several_netns: bool,
    errors: bool,
    waits: bool,
}

impl Seen {
    pub(super) fn new(report: &Report) -> Self {
        let listeners = &report.listeners;
        Self {
            providers: report.providers.clone(),
            several_netns: listeners.windows(2).any(|pair| pair[0].netns != pair[1].netns),
            errors: listeners.iter().any(|listener| Tally::of(listener).other_errors() > 0),
            waits: listeners.iter().any(|listener| listener.accept_wait.count != 0),
        }
    }

    /// Whether the column says anything in this report.
    pub(super) fn shows(&self, column: Column) -> bool {
        match column {
            Netns => self.several_netns,
            Errors => self.errors,
            Wait => self.waits,
            _ => true,
        }
    }

    /// Whether the column's numbers are estimates.
    pub(super) fn estimated(&self, column: Column) -> bool {
        self.worth(column).any(|worth| worth == Worth::Estimate)
    }

    /// Whether nothing observes what the column shows: its zeros are not zeros then.
    fn unobserved(&self, column: Column) -> bool {
        self.worth(column).any(|worth| worth == Worth::Nothing)
    }

    /// What the signals behind a column are worth.
    fn worth(&self, column: Column) -> impl Iterator<Item = Worth> {
        let sources: &[&str] = match column {
            Column::Listener | Netns | HeldBy => &[],
            Wakeups | Wasted | Won | Lost | Silent | Failed | Pending => &["wakeups"],
            Herd => &["wakeups", "accepts"],
            Accepted | Eagain | Errors | Fairness => &["accepts"],
            Wait => &["accepts", "handshakes"],
            Queued | Queue => &["handshakes"],
            Drops => &["drops"],
        };
        let signals = self.providers.signals().map(|(name, _, worth)| (name, worth));
        signals.into_iter().filter(|(name, _)| sources.contains(name)).map(|(_, worth)| worth)
    }
}

impl Column {
    /// What it asks for on a screen of this width.
    pub(super) fn shape(self, seen: &Seen, width: usize) -> Shape {
        let roomy = width >= ROOMY;
        let (word, rank) = match self {
            Column::Listener => ("LISTENER", 0),
            Herd => ("HERD", 1),
            Accepted => ("ACCEPTED", 2),
            Drops => ("DROPS", 3),
            Queue => ("QUEUE", 4),
            Wakeups => ("WAKEUPS", 5),
            Netns => ("NETNS", 6),
            Errors => ("ERRORS", 7),
            HeldBy => ("HELD BY", 8),
            Wasted => ("WASTED", 9),
            Eagain => ("EAGAIN", 10),
            Wait => ("P99 WAIT", 11),
            // Together or not at all: a reader adds them up.
            Won => ("WON", 12),
            Lost => ("LOST", 12),
            Silent => ("SILENT", 12),
            Failed => ("FAILED", 12),
            Pending => ("PENDING", 12),
            Fairness => ("FAIRNESS", 13),
            Queued => ("QUEUED", 14),
        };
        let mark = if seen.estimated(self) { "~" } else { "" };
        let header = Cell::text(&format!("{mark}{word}"));
        let floor = match self {
            // An IPv4 address whole; an IPv6 address gets what is left over.
            Column::Listener if width < 60 => 14,
            Column::Listener => 21,
            HeldBy if roomy => 28,
            HeldBy => 16,
            // `EMFILE 123`.
            Errors if roomy => 10,
            Errors => 6,
            _ => 0,
        };
        let cut = match self {
            Column::Listener => Some(8),
            // `nginx epoll`, `… exclusive`.
            HeldBy => Some(11),
            _ => None,
        };
        let words = matches!(self, Column::Listener | Netns | HeldBy);
        let align = if words { Align::Left } else { Align::Right };
        Shape { header, rank, align, floor, cut }
    }

    /// Findings that its number belongs to.
    fn findings(self) -> &'static [&'static str] {
        match self {
            Herd => &[id::THUNDERING_HERD],
            Queue => &[id::ACCEPT_QUEUE_OVERFLOW, id::ACCEPT_QUEUE_NEAR_LIMIT, id::SILENT_CLIENTS],
            Drops => &[id::ACCEPT_QUEUE_OVERFLOW, id::SYN_QUEUE_OVERFLOW],
            Errors | Failed => &[id::FD_EXHAUSTED],
            Wait => &[id::SLOW_ACCEPT],
            Fairness => &[id::ONE_WORKER_TAKES_ALL],
            _ => &[],
        }
    }

    /// The style of a number that findings are about.
    pub(super) fn style(self, listener: &Listener) -> Style {
        // None of them was a wakeup: the task found the connection by itself.
        if self == Failed && listener.wakeups.failed == 0 {
            return Style::new();
        }
        let about =
            listener.findings.iter().filter(|one| self.findings().contains(&one.id.as_str()));
        about.map(|one| one.severity).max().map_or_else(Style::new, severity_style)
    }

    /// What it says of a listener, in the colour of the findings that are about it.
    pub(super) fn of_listener(self, listener: &Listener, seen: &Seen) -> Cell {
        let cell = self.told_of(listener, seen);
        let style = self.style(listener);
        if style.is_plain() { cell } else { cell.styled(style) }
    }

    fn told_of(self, listener: &Listener, seen: &Seen) -> Cell {
        if seen.unobserved(self) {
            return unknown();
        }
        match self {
            Column::Listener => words::address(listener),
            Netns => Cell::text(&listener.netns.to_string()),
            HeldBy => words::held_by(listener),
            Queued => Cell::count(listener.queued),
            Herd => Cell::text(&human::ratio(listener.herd_ratio)),
            Queue => queue(listener),
            Wait => match listener.accept_wait.p99 {
                Some(wait) => Cell::text(&human::time(wait)),
                None => unknown(),
            },
            Drops => match listener.drops.total {
                Some(drops) => Cell::count(drops),
                None => unknown(),
            },
            Fairness => Cell::text(&human::ratio(listener.fairness)),
            _ => self.of_tally(&Tally::of(listener), seen),
        }
    }

    /// What it says of one worker or of several: nothing where only a listener as a whole has it.
    pub(super) fn of_tally(self, tally: &Tally, seen: &Seen) -> Cell {
        if seen.unobserved(self) {
            return Cell::blank();
        }
        let wakeups = &tally.wakeups;
        match self {
            Accepted => Cell::count(tally.accepted),
            Wakeups => Cell::count(wakeups.total),
            Wasted => Cell::text(&human::share(tally.wasted(), wakeups.total)),
            Won => Cell::count(wakeups.won),
            Lost => Cell::count(wakeups.lost),
            Silent => Cell::count(wakeups.silent),
            Failed => Cell::count(wakeups.failed),
            Pending => Cell::count(wakeups.pending),
            Eagain => Cell::count(tally.eagain()),
            Errors => errors(tally),
            _ => Cell::blank(),
        }
    }
}

fn unknown() -> Cell {
    Cell::text("-").styled(DIM)
}

/// The most connections that were seen waiting, and the limit.
///
/// What is in the queue now counts as seen: in the queue of a server that hangs, all may have come
/// before the window.
fn queue(listener: &Listener) -> Cell {
    let queue = &listener.accept_queue;
    let most = queue.max.max(queue.now.unwrap_or(0));
    let limit = queue.limit.or(listener.backlog.limit);
    let of = |count: fn(u64) -> String| {
        format!("{}/{}", count(most), limit.map_or_else(|| "-".to_owned(), count))
    };
    Cell::text(&of(human::count)).or(&of(human::short_count), "")
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
    cell.or(&human::short_count(total), "")
}
