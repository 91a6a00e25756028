//! The most events that are shown in a second, and what was left out beyond that. Pure.

use super::kinds::Counts;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// How many events were shown in the second that runs, and what was left out.
#[derive(Debug)]
pub struct Limit {
    most: Option<u64>,
    second: u64,
    shown: u64,
    left_out: Counts,
    total: Counts,
}

impl Limit {
    /// So many events in a second; `None` for no limit.
    pub fn new(most: Option<u64>) -> Self {
        let (left_out, total) = (Counts::default(), Counts::default());
        Self { most, second: 0, shown: 0, left_out, total }
    }

    /// Whether events that belong together may be shown at `at`, nanoseconds since the window opened; else they are
    /// counted as left out. As many as are the first of a second always may, so that a limit below a block's events
    /// still lets one through.
    pub fn admits(&mut self, at: u64, events: &Counts) -> bool {
        let Some(most) = self.most else { return true };
        self.begin_second(at);
        let fits = self.shown == 0 || self.shown.saturating_add(events.total()) <= most;
        if fits {
            self.shown += events.total();
        } else {
            self.left_out.add_all(events);
            self.total.add_all(events);
        }
        fits
    }

    /// What was left out in the seconds before that of `at`, once.
    pub fn left_out(&mut self, at: u64) -> Option<Counts> {
        (at / SECOND > self.second).then(|| self.left_out_so_far()).flatten()
    }

    /// What was left out and not told, once.
    pub fn left_out_so_far(&mut self) -> Option<Counts> {
        (self.left_out.total() != 0).then(|| std::mem::take(&mut self.left_out))
    }

    /// All that was left out since the window opened.
    pub fn total(&self) -> u64 {
        self.total.total()
    }

    /// The limit.
    pub fn most(&self) -> Option<u64> {
        self.most
    }

    fn begin_second(&mut self, at: u64) {
        // Events of a second that is over are of the one that runs.
        if at / SECOND > self.second {
            self.second = at / SECOND;
            self.shown = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, SECOND};
    use crate::app::trace::kinds::Counts;

    fn one(kind: &'static str) -> Counts {
        let mut counts = Counts::default();
        counts.add(kind, 1);
        counts
    }

    #[test]
    fn what_goes_beyond_the_limit_is_counted_by_kind_and_told_once_a_second() {
        let mut limit = Limit::new(Some(2));
        let shown = |limit: &mut Limit, at, kind| limit.admits(at, &one(kind));
        assert!(shown(&mut limit, 1, "queued") && shown(&mut limit, 2, "woken"));
        assert!(!shown(&mut limit, 3, "woken") && !shown(&mut limit, 4, "silent"));
        assert_eq!(limit.left_out(5), None, "the second is not over");
        let told = limit.left_out(SECOND).map(|counts| counts.words());
        assert_eq!(told.as_deref(), Some("1 silent, 1 woken"));
        assert_eq!(limit.left_out(SECOND), None);
        assert!(shown(&mut limit, SECOND, "queued"));
        assert_eq!(limit.total(), 2);
    }

    #[test]
    fn an_event_that_comes_late_opens_no_second() {
        let mut limit = Limit::new(Some(1));
        assert!(limit.admits(2 * SECOND, &one("queued")));
        assert!(!limit.admits(SECOND, &one("queued")));
        assert!(!limit.admits(2 * SECOND, &one("queued")));
        assert_eq!(limit.total(), 2);
    }

    #[test]
    fn a_block_that_is_larger_than_the_limit_is_shown_alone() {
        let mut limit = Limit::new(Some(2));
        let mut block = Counts::default();
        block.add("woken", 8);
        assert!(limit.admits(0, &block));
        assert!(!limit.admits(1, &block));
        assert!(limit.admits(SECOND, &block));
    }

    #[test]
    fn without_a_limit_everything_is_shown() {
        let mut limit = Limit::new(None);
        assert!((0..10_000).all(|at| limit.admits(at, &one("woken"))));
        assert_eq!(limit.left_out_so_far(), None);
    }
}
