//! Columns of the list: one row each.

use std::cmp::Ordering;

use super::{history::Sample, row::Row};
use crate::app::render::{
    cell::Cell,
    columns::{self, About, OF_DROPS, OF_QUEUE},
    labels,
    table::columns::fullest,
};
use observer::{
    findings::id,
    model::{Listener, Providers, Worth},
    units,
};

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The worst finding first.
    Trouble,
    /// Port and address.
    Listener,
    /// Names of the holders.
    Holders,
    /// Herd ratio.
    Herd,
    /// Accepted connections.
    Accepts,
    /// Part of the accept queue's limit.
    Queue,
    /// Drops.
    Drops,
    /// 99th percentile of accept waits.
    Wait,
}

/// A column.
pub struct Column {
    /// What it sorts by.
    pub by: By,
    /// Heading where numbers are of a second.
    pub name: &'static str,
    /// Heading where numbers are of everything since the beginning.
    pub of_total: &'static str,
    /// Columns that it takes at least.
    pub width: usize,
    /// Whether it is aligned to the right.
    pub number: bool,
    about: About,
    says: fn(&Listener, Option<f64>) -> Cell,
    /// Its number of an interval, for sparklines.
    pub sample: Option<fn(&Sample) -> f32>,
}

const IDENTITY: About = About::signals(&[]);
const ACCEPTS: About = About { signals: &["accepts"], findings: &[id::FD_EXHAUSTED] };
const HERD: About = About { signals: &["wakeups", "accepts"], findings: &[id::THUNDERING_HERD] };
const WAIT: About = About { signals: &["accepts", "handshakes"], findings: &[id::SLOW_ACCEPT] };

const fn words(
    by: By,
    name: &'static str,
    width: usize,
    says: fn(&Listener, Option<f64>) -> Cell,
) -> Column {
    Column { by, name, of_total: name, width, number: false, about: IDENTITY, says, sample: None }
}

const fn number(
    by: By,
    (name, of_total, width): (&'static str, &'static str, usize),
    about: About,
    says: fn(&Listener, Option<f64>) -> Cell,
    sample: fn(&Sample) -> f32,
) -> Column {
    Column { by, name, of_total, width, number: true, about, says, sample: Some(sample) }
}

/// From left to right.
pub const COLUMNS: &[Column] = &[
    words(By::Listener, "LISTENER", 19, |one, _| labels::address(one)),
    words(By::Holders, "HELD BY", 15, |one, _| labels::held_by(one)),
    number(By::Herd, ("HERD", "HERD", 6), HERD, herd, Sample::herd),
    number(By::Accepts, ("ACC/S", "ACC", 7), ACCEPTS, accepts, |one| one.accepts),
    number(
        By::Queue,
        ("QUEUE", "QUEUE", 9),
        OF_QUEUE,
        |one, _| columns::queue(one),
        |one| one.depth,
    ),
    number(By::Drops, ("DROP/S", "DROPS", 8), OF_DROPS, drops, |one| one.drops),
    number(By::Wait, ("P99", "P99", 7), WAIT, wait, |one| one.wait),
];

impl Column {
    /// What it says of a listener, in the colour of the findings that are about it. `seconds` is there where counts are
    /// of a second.
    pub fn cell(&self, listener: &Listener, providers: &Providers, seconds: Option<f64>) -> Cell {
        if self.number && self.about.is(Worth::Nothing, providers) {
            return Cell::unknown();
        }
        self.about.styled((self.says)(listener, seconds), listener)
    }

    /// Its heading in a report of these providers.
    pub fn heading(&self, providers: &Providers, totals: bool) -> String {
        let name = if totals { self.of_total } else { self.name };
        let mark = if self.about.is(Worth::Estimate, providers) { "~" } else { "" };
        format!("{mark}{name}")
    }
}

/// How two rows compare: what there is most of comes first, and words in their order.
pub fn compare(by: By, a: &Row, b: &Row) -> Ordering {
    let (a, b) = (&a.listener, &b.listener);
    let most = |of: fn(&Listener) -> Option<u64>| of(b).cmp(&of(a));
    let names = |one: &Listener| {
        let holders = one.holders.iter().flatten();
        holders.map(|holder| holder.comm.clone()).min().unwrap_or_default()
    };
    match by {
        By::Trouble => Ordering::Equal,
        By::Listener => (a.port, &a.address, a.netns).cmp(&(b.port, &b.address, b.netns)),
        By::Holders => names(a).cmp(&names(b)),
        By::Herd => b.herd_ratio.unwrap_or(-1.0).total_cmp(&a.herd_ratio.unwrap_or(-1.0)),
        By::Accepts => most(|one| one.accepted),
        By::Queue => fullest(b).total_cmp(&fullest(a)),
        By::Drops => most(|one| one.drops.at_most.or(one.drops.total)),
        By::Wait => most(|one| one.accept_wait.p99),
    }
}

/// A count, or so many in a second.
pub fn count_or_rate(count: u64, seconds: Option<f64>) -> Cell {
    match seconds {
        None => Cell::count(count),
        Some(seconds) => Cell::text(&rate(count, seconds)),
    }
}

/// So many in a second: with a decimal below 10, and never 0 where there was one.
pub fn rate(count: u64, seconds: f64) -> String {
    if !(seconds > 0.0 && seconds.is_finite()) {
        return "-".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let rate = count as f64 / seconds;
    match rate {
        _ if count == 0 => "0".to_owned(),
        rate if rate < 0.1 => "<0.1".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        rate => units::short_count(rate.round() as u64),
    }
}

fn herd(listener: &Listener, _: Option<f64>) -> Cell {
    Cell::text(&units::ratio(listener.herd_ratio))
}

fn accepts(listener: &Listener, seconds: Option<f64>) -> Cell {
    listener.accepted.map_or_else(Cell::unknown, |count| count_or_rate(count, seconds))
}

fn drops(listener: &Listener, seconds: Option<f64>) -> Cell {
    let drops = &listener.drops;
    let one = |count: u64| count_or_rate(count, seconds).whole();
    match (drops.total, drops.at_most) {
        // Between the two, which nothing narrows down.
        (total, Some(most)) if Some(most) != total => {
            Cell::text(&format!("{}-{}", one(total.unwrap_or(0)), one(most)))
                .or(&format!("≤{}", one(most)), "")
        }
        (Some(total), _) => count_or_rate(total, seconds),
        (None, _) => Cell::unknown(),
    }
}

fn wait(listener: &Listener, _: Option<f64>) -> Cell {
    listener.accept_wait.p99.map_or_else(Cell::unknown, |wait| Cell::text(&units::time(wait)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures::{listener, report};
    use observer::model::Via;

    #[test]
    fn rates() {
        for (count, seconds, text) in [
            (0, 1.0, "0"),
            (1, 60.0, "<0.1"),
            (5, 2.0, "2.5"),
            (199, 20.0, "10"),
            (412, 1.0, "412"),
            (12_345_678, 1.0, "12M"),
            (5, 0.0, "-"),
            (5, f64::INFINITY, "-"),
        ] {
            assert_eq!(rate(count, seconds), text, "{count} in {seconds}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let mut report = report(vec![listener("0.0.0.0", 80)]);
        report.listeners[0].accepted = None;
        report.listeners[0].drops.total = None;
        report.providers.wakeups.via = Via::None;
        report.providers.wakeups.exact = false;
        report.providers.accepts.exact = false;
        report.providers.drops.via = Via::None;
        report.providers.drops.exact = false;
        let say = |by: By| {
            let column = COLUMNS.iter().find(|column| column.by == by).expect("a column");
            (
                column.heading(&report.providers, false),
                column.cell(&report.listeners[0], &report.providers, Some(1.0)).whole(),
            )
        };
        assert_eq!(say(By::Accepts), ("~ACC/S".into(), "-".into()));
        assert_eq!(say(By::Drops), ("~DROP/S".into(), "-".into()));
        assert_eq!(say(By::Herd).1, "-");
        report.listeners[0].drops.at_most = Some(9);
        let drops = COLUMNS.iter().find(|column| column.by == By::Drops).expect("a column");
        assert_eq!(drops.cell(&report.listeners[0], &report.providers, None).whole(), "0-9");
    }
}
