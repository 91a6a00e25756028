//! How many requests wait in SYN queues: asked for when a report is made.
//!
//! inet_diag walks the kernel's table of all connections for each network namespace, whatever is in that: with the 262,144
//! buckets of 16 GiB of memory that is a millisecond and more, for hundreds of namespaces a second. So each is asked in
//! its turn, as many as there is time for: first those in which something happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::host::{
    inet_diag::Socket,
    netns::{self, Namespaces},
    netns_handles::Places,
    syn_requests::Waiting,
};

/// Part of the time that may be spent on namespaces in which something happened, and on others: one in this many.
const BUSY: u32 = 200;
const IDLE: u32 = 2000;

/// So many namespaces are asked before it is known how long one takes.
const FIRST: usize = 32;

/// What was answered, and what it took.
pub(super) struct Requests {
    known: Waiting,
    /// When each namespace was asked last.
    asked: BTreeMap<u64, Instant>,
    busy: Allowance,
    idle: Allowance,
}

/// What is asked in one report.
pub(super) struct Wanted<'a> {
    /// Whether a listener is chosen.
    pub(super) chosen: &'a dyn Fn(&Socket) -> bool,
    /// Whether requests may have come or gone in a namespace since the last report.
    pub(super) is_busy: &'a dyn Fn(u64) -> bool,
    /// Whether all are to be asked, however long it takes.
    pub(super) must: bool,
}

impl Requests {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            known: Waiting::default(),
            asked: BTreeMap::new(),
            busy: Allowance { since: now, share: BUSY, each: None },
            idle: Allowance { since: now, share: IDLE, each: None },
        }
    }

    /// The requests that wait now where chosen listeners are. Of a namespace in which nothing happened they are as of the
    /// last time that it was asked; where something did and there is no time to ask, they are not known.
    pub(super) fn of(
        &mut self,
        places: &Places,
        namespaces: &Namespaces,
        wanted: &Wanted<'_>,
    ) -> &Waiting {
        let has_chosen = |sockets: &[Socket]| sockets.iter().any(wanted.chosen);
        let there = namespaces.iter().filter(|(_, one)| has_chosen(&one.sockets));
        let there: BTreeSet<u64> = there.map(|(netns, _)| *netns).collect();
        self.asked.retain(|netns, _| there.contains(netns));
        self.known.keep(|netns| there.contains(&netns));
        let is_busy = |netns| (wanted.is_busy)(netns) || self.known.is_idle(netns) == Some(false);
        let (busy, idle): (Vec<u64>, Vec<u64>) = there.iter().partition(|netns| is_busy(**netns));
        let began = Instant::now();
        let next = if wanted.must {
            there
        } else {
            let busy_now = oldest(&self.asked, busy.clone(), self.busy.now(began));
            let idle_now = oldest(&self.asked, idle, self.idle.now(began));
            // What they were by now they may not be any more.
            let busy: BTreeSet<u64> = busy.into_iter().collect();
            self.known.keep(|netns| !busy.contains(&netns));
            for (allowance, asked) in [(&mut self.busy, &busy_now), (&mut self.idle, &idle_now)] {
                if !asked.is_empty() {
                    allowance.since = began;
                }
            }
            busy_now.into_iter().chain(idle_now).collect()
        };
        if next.is_empty() {
            return &self.known;
        }
        for (netns, requests) in &netns::requests_of(places, &next) {
            let Some(namespace) = namespaces.get(netns) else { continue };
            // Among all that listen there, chosen or not: a request does not name its listener.
            self.known.add(*netns, &namespace.sockets, requests);
        }
        self.asked.extend(next.iter().map(|netns| (*netns, began)));
        let each = u32::try_from(next.len()).ok().map(|count| began.elapsed() / count);
        (self.busy.each, self.idle.each) = (each, each);
        &self.known
    }

    /// How long ago the one was asked that was not for the longest.
    pub(super) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.asked.values().min().map(|at| now.saturating_duration_since(*at))
    }
}

/// Time for asking.
struct Allowance {
    /// When the time before was spent.
    since: Instant,
    share: u32,
    /// How long one takes, where that is known.
    each: Option<Duration>,
}

impl Allowance {
    /// How many may be asked now.
    fn now(&self, now: Instant) -> usize {
        let Some(each) = self.each else { return FIRST };
        let time = now.saturating_duration_since(self.since) / self.share;
        let count = time.as_nanos() / each.as_nanos().max(1);
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

/// Those that were not asked for the longest, so many of them.
fn oldest(asked: &BTreeMap<u64, Instant>, mut of: Vec<u64>, most: usize) -> Vec<u64> {
    // None comes before any time.
    of.sort_by_key(|netns| asked.get(netns));
    of.truncate(most);
    of
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    };

    use super::{Allowance, FIRST, IDLE, oldest};

    #[test]
    fn those_come_first_that_were_never_asked_and_then_the_oldest() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let asked = BTreeMap::from([(1, now + 3 * second), (2, now), (4, now + second)]);
        assert_eq!(oldest(&asked, vec![1, 2, 3, 4], 3), [3, 2, 4]);
        assert_eq!(oldest(&asked, vec![1, 4], 9), [4, 1]);
        assert!(oldest(&asked, vec![1], 0).is_empty());
    }

    #[test]
    fn as_many_are_asked_as_there_is_time_for() {
        let (since, second) = (Instant::now(), Duration::from_secs(1));
        let of = |each| Allowance { since, share: IDLE, each };
        assert_eq!(of(None).now(since), FIRST);
        let each = of(Some(second / IDLE));
        assert_eq!(each.now(since + second / 2), 0);
        // What was not spent is there later.
        assert_eq!(each.now(since + second), 1);
        assert_eq!(each.now(since + 30 * second), 30);
        assert_eq!(of(Some(Duration::ZERO)).now(since), 0);
    }
}
