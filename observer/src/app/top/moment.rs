//! What is on the screen: the rows of one interval, or of everything since the beginning, filtered and in order.

use std::{collections::HashMap, sync::Arc};

use super::{
    columns::{self, By},
    known::{self, Id, Known, KnownListeners},
    row::{Row, RowId},
};
use crate::app::render::table::group::Block;
use observer::model::{Listener, Providers, Report};

/// What rows are made of and how they are ordered.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Words that a row must have.
    pub words: &'a str,
    /// Column to sort by.
    pub by: By,
    /// Whether the order is turned round.
    pub reverse: bool,
    /// Whether numbers are of everything since the beginning.
    pub totals: bool,
}

/// What is on the screen.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Number of the interval.
    pub tick: u32,
    /// Rows in their order.
    pub rows: Vec<Row>,
    /// How many rows there are without the words that were typed.
    pub all: usize,
    /// How many listeners there are.
    pub listeners: usize,
    /// Seconds that the numbers are of.
    pub seconds: f64,
    /// What the numbers come from.
    pub providers: Providers,
    /// The report of the interval.
    pub report: Arc<Report>,
}

impl Moment {
    /// The moment of an interval, with the seconds since the beginning. `latest` says that it is the last one.
    pub fn new(
        known: &KnownListeners,
        (tick, report, latest): (u32, Arc<Report>, bool),
        whole: f64,
        wish: Wish<'_>,
    ) -> Self {
        let listeners: Vec<Arc<Listener>> = if wish.totals {
            known.iter().map(|(_, one)| with_findings_of_now(one)).collect()
        } else if latest {
            known.iter().map(|(_, one)| one.now.clone()).collect()
        } else {
            of_then(known, tick, &report)
        };
        let mut rows = rows(&listeners);
        let all = rows.len();
        rows.retain(|row| row.has(wish.words));
        if wish.by != By::Trouble {
            // The order of trouble is that of what is equal.
            rows.sort_by(|a, b| columns::compare(wish.by, a, b));
        }
        if wish.reverse {
            rows.reverse();
        }
        Self {
            tick,
            rows,
            all,
            listeners: listeners.len(),
            seconds: if wish.totals { whole } else { report.window.seconds },
            providers: report.providers.clone(),
            report,
        }
    }

    /// Where a row stands.
    pub fn position(&self, id: RowId) -> Option<usize> {
        self.rows.iter().position(|row| row.id == id)
    }
}

/// Everything since the beginning, with what is wrong now.
fn with_findings_of_now(known: &Known) -> Arc<Listener> {
    if known.total.findings == known.now.findings {
        return known.total.clone();
    }
    Arc::new(Listener { findings: known.now.findings.clone(), ..(*known.total).clone() })
}

/// Listeners as they were in an interval that is over. What was not in its report was quiet.
fn of_then(known: &KnownListeners, tick: u32, report: &Report) -> Vec<Arc<Listener>> {
    let mut then: HashMap<Id, &Listener> =
        report.listeners.iter().map(|one| (known::id(one), one)).collect();
    let mut all: Vec<Arc<Listener>> = Vec::new();
    for (id, known) in known.iter().filter(|(_, known)| known.born <= tick) {
        all.push(Arc::new(match then.remove(id) {
            Some(one) => one.clone(),
            None => {
                let (closed, findings) = (false, Vec::new());
                Listener { closed, findings, holder_states: None, ..known::silent(&known.now) }
            }
        }));
    }
    // Those that are forgotten by now.
    all.extend(then.into_values().cloned().map(Arc::new));
    all
}

fn rows(listeners: &[Arc<Listener>]) -> Vec<Row> {
    let shared: HashMap<*const Listener, &Arc<Listener>> =
        listeners.iter().map(|one| (Arc::as_ptr(one), one)).collect();
    let own = |one: &Listener| match shared.get(&std::ptr::from_ref(one)) {
        Some(shared) => Arc::clone(shared),
        None => Arc::new(one.clone()),
    };
    let row = |block: Block<'_>| {
        let is_group = block.is_group();
        let first = block.row();
        let id = match first.reuseport_group.filter(|_| is_group) {
            Some(group) => RowId::Group(first.netns, group.id),
            None => RowId::One(known::id(first)),
        };
        let mut listener = own(first);
        let members: Vec<_> =
            if is_group { block.members.iter().map(|one| own(one)).collect() } else { Vec::new() };
        if is_group {
            listener = Arc::new(merged_findings(&listener));
        }
        Row { id, listener, members, uneven: block.least() }
    };
    Block::of_all(listeners.iter().map(Arc::as_ref)).into_iter().map(row).collect()
}

/// A group's listener with the worst finding first, and each kind once: its members often have the same.
fn merged_findings(sum: &Listener) -> Listener {
    let mut findings = sum.findings.clone();
    findings.sort_by_key(|one| std::cmp::Reverse(one.severity));
    let mut seen = std::collections::BTreeSet::new();
    findings.retain(|one| seen.insert(one.id.clone()));
    Listener { findings, ..sum.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures::{incident, listener, report};
    use observer::model::ReuseportGroup;

    fn wish(words: &str) -> Wish<'_> {
        Wish { words, by: By::Trouble, reverse: false, totals: false }
    }

    fn moment(known: &KnownListeners, report: &Report, latest: bool, wish: Wish<'_>) -> Moment {
        Moment::new(known, (0, Arc::new(report.clone()), latest), 10.0, wish)
    }

    fn ports(moment: &Moment) -> Vec<u16> {
        moment.rows.iter().map(|row| row.listener.port).collect()
    }

    #[test]
    fn the_worst_comes_first_and_words_choose() {
        let mut known = KnownListeners::default();
        let report = incident();
        known.take(&report, 0, 1_000);
        let all = moment(&known, &report, true, wish(""));
        assert_eq!(ports(&all)[..2], [443, 8080]);
        assert_eq!((all.all, all.listeners), (all.rows.len(), report.listeners.len()));
        assert_eq!(ports(&moment(&known, &report, true, wish("NGINX"))), [8080]);
        assert_eq!(ports(&moment(&known, &report, true, wish("fd-exhausted haproxy"))), [443]);
        assert_eq!(ports(&moment(&known, &report, true, wish("nothing"))), [0_u16; 0]);
        let by = Wish { by: By::Listener, ..wish("") };
        let by = ports(&moment(&known, &report, true, by));
        assert_eq!((by[0], by.last()), (22, Some(&9000)));
    }

    #[test]
    fn what_was_is_shown_as_it_was() {
        let mut known = KnownListeners::default();
        let before = incident();
        known.take(&before, 0, 1_000);
        let mut born = listener("0.0.0.0", 7000);
        born.accepted = Some(1);
        known.take(&report(vec![born]), 1, 2_000);
        let then = moment(&known, &before, false, wish(""));
        assert!(!ports(&then).contains(&7000));
        assert_eq!(then.rows[0].listener.accepted, before.listeners[1].accepted);
    }

    #[test]
    fn members_of_a_group_are_one_row() {
        let mut known = KnownListeners::default();
        let member = |inode| {
            let mut one = listener("0.0.0.0", 80);
            (one.inode, one.cookie) = (inode, Some(inode));
            one.reuseport_group = Some(ReuseportGroup { id: 9, size: 2 });
            one
        };
        let report = report(vec![member(1), member(2)]);
        known.take(&report, 0, 1_000);
        let all = moment(&known, &report, true, wish(""));
        assert_eq!(all.rows.len(), 1);
        assert_eq!(all.rows[0].address().whole(), "*:80 ×2");
        assert_eq!(all.rows[0].listeners().count(), 2);
        assert!(matches!(all.rows[0].id, RowId::Group(_, 9)));
    }
}
