//! Columns that every table of listeners has: which listener it is, who holds it, how full its queue is.

use anstyle::Style;

use crate::app::render::{
    cell::{Cell, severity_style},
    grid::{Heading, Shown},
};
use observer::{
    findings::id,
    model::{Listener, Providers, Worth},
    units,
};

/// Address and port: an IPv4 address whole; an IPv6 address gets what is left over.
pub const LISTENER: Heading = Heading::words("LISTENER", 0, [14, 21, 21], 8);

/// Network namespace.
pub const NETNS: Heading =
    Heading { cut: None, shown: Shown::WhereDifferent, ..Heading::words("NETNS", 6, [0; 3], 0) };

/// Holders, down to `nginx ×8`.
pub const HELD_BY: Heading = Heading::words("HELD BY", 5, [12, 17, 28], 8);

/// Accept queue.
pub const QUEUE: Heading = Heading::numbers("QUEUE", 4);

/// Drops.
pub const DROPS: Heading = Heading::numbers("DROPS", 3);

/// How many columns say which listener it is: labels run across them.
pub const LEADING: usize = 3;

/// Signals of a report that numbers come from, and findings that are about them.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Signals: where nothing observes one of them, a zero is no zero.
    pub signals: &'static [&'static str],
    /// Findings, whose severity colours the numbers.
    pub findings: &'static [&'static str],
}

impl About {
    /// Numbers that no finding is about.
    pub const fn signals(signals: &'static [&'static str]) -> Self {
        Self { signals, findings: &[] }
    }

    /// Whether one of the signals is worth just this.
    pub fn is(&self, worth: Worth, providers: &Providers) -> bool {
        let signals = providers.signals().into_iter();
        signals.filter(|(name, ..)| self.signals.contains(name)).any(|(.., one)| one == worth)
    }

    /// The style of numbers of this listener: the severity of the findings about them.
    pub fn style(&self, listener: &Listener) -> Style {
        let findings = listener.findings.iter();
        let about = findings.filter(|one| self.findings.contains(&one.id.as_str()));
        about.map(|one| one.severity).max().map_or_else(Style::new, severity_style)
    }

    /// A cell in that style, which keeps its own where nothing is wrong.
    pub fn styled(&self, cell: Cell, listener: &Listener) -> Cell {
        let style = self.style(listener);
        if style.is_plain() { cell } else { cell.styled(style) }
    }
}

/// Accept queue.
pub const OF_QUEUE: About = About {
    signals: &["handshakes"],
    findings: &[id::ACCEPT_QUEUE_OVERFLOW, id::ACCEPT_QUEUE_NEAR_LIMIT, id::SILENT_CLIENTS],
};

/// Drops.
pub const OF_DROPS: About =
    About { signals: &["drops"], findings: &[id::ACCEPT_QUEUE_OVERFLOW, id::SYN_QUEUE_OVERFLOW] };

/// Network namespace of a listener.
pub fn netns(listener: &Listener) -> Cell {
    Cell::text(&listener.netns.to_string())
}

/// The most connections that were seen waiting, and the limit.
///
/// What is in the queue now counts as seen: in the queue of a server that hangs, all may have come
/// before the window.
pub fn queue(listener: &Listener) -> Cell {
    let queue = &listener.accept_queue;
    let most = queue.max.and_then(|max| Some(max).max(queue.now));
    let limit = queue.limit.or(listener.backlog.limit);
    let of = |count: fn(u64) -> String| {
        let of = |one: Option<u64>| one.map_or_else(|| "-".to_owned(), count);
        format!("{}/{}", of(most), of(limit))
    };
    Cell::text(&of(units::count)).or(&of(units::short_count), "")
}

/// Drops of a listener.
pub fn drops(listener: &Listener) -> Cell {
    listener.drops.total.map_or_else(Cell::unknown, Cell::count)
}
