//! Percentiles of accept waits, from the buckets that the kernel programs counted. Pure.

use std::collections::BTreeMap;

use observer_common::{
    counters::{QueueStats, WaitKey},
    waits::{wait_bounds, wait_bucket},
};

use crate::model::{AcceptWait, Bucket};

/// Waits by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<u32, u64>);

impl Histogram {
    /// The waits of one listener.
    #[must_use]
    pub fn of(waits: &BTreeMap<WaitKey, u64>, listener: u64) -> Self {
        let first = WaitKey { listener, bucket: 0, zero: 0 };
        let last = WaitKey { bucket: u32::MAX, ..first };
        let rows = waits.range(first..=last).filter(|(_, count)| **count != 0);
        Self(rows.map(|(key, count)| (key.bucket, *count)).collect())
    }

    /// The waits of buckets that a report has.
    #[must_use]
    pub fn of_buckets(buckets: &[Bucket]) -> Self {
        let mut histogram = Self::default();
        histogram.add(buckets);
        histogram
    }

    /// Adds the waits of buckets that a report has.
    pub fn add(&mut self, buckets: &[Bucket]) {
        for Bucket { le, count } in buckets.iter().filter(|bucket| bucket.count != 0) {
            let sum = self.0.entry(wait_bucket(*le)).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of buckets that hold something.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many waits there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The wait that `share` of all are no longer than: the middle of the bucket that it falls into,
    /// which is within 3.2 % of it. `None` where there are no waits.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<u64> {
        let count = self.count();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank needs no more than 52 bits, and is not negative"
        )]
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (bucket, count) in &self.0 {
            seen = count.saturating_add(seen);
            if seen >= rank {
                let (least, greatest) = wait_bounds(*bucket)?;
                return Some(if greatest == u64::MAX { least } else { least.midpoint(greatest) });
            }
        }
        None
    }

    /// The least that the longest wait can have been.
    fn least_of_longest(&self) -> Option<u64> {
        wait_bounds(*self.0.last_key_value()?.0).map(|(least, _)| least)
    }

    /// The buckets for a report: those that hold something, each after the one below it, so that its
    /// lower bound can be read too.
    fn buckets(&self) -> Vec<Bucket> {
        let mut buckets: Vec<Bucket> = Vec::new();
        for (bucket, count) in &self.0 {
            let below = bucket.checked_sub(1).and_then(wait_bounds).map(|(_, le)| le);
            if let Some(le) = below
                && buckets.last().is_none_or(|last| last.le < le)
            {
                buckets.push(Bucket { le, count: 0 });
            }
            if let Some((_, le)) = wait_bounds(*bucket) {
                buckets.push(Bucket { le, count: *count });
            }
        }
        buckets
    }
}

/// A listener's accept waits, with its row, where it is known.
#[must_use]
pub fn accept_wait(
    histogram: &Histogram,
    queue: Option<&QueueStats>,
    oldest: Option<u64>,
) -> AcceptWait {
    let longest = queue.map_or(0, |queue| queue.wait_max);
    summed(histogram, queue.map(|queue| queue.waits), longest, oldest)
}

/// Accept waits of which so many were measured, the longest of them known.
#[must_use]
pub fn summed(
    histogram: &Histogram,
    count: Option<u64>,
    longest: u64,
    oldest: Option<u64>,
) -> AcceptWait {
    let max = histogram.least_of_longest().map(|least| least.max(longest));
    // The middle of a bucket may lie beyond the longest wait in it.
    let percentile = |share| histogram.percentile(share).zip(max).map(|(wait, max)| wait.min(max));
    AcceptWait {
        count,
        p50: percentile(0.5),
        p90: percentile(0.9),
        p99: percentile(0.99),
        max,
        oldest,
        histogram: histogram.buckets(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(waits: &[u64]) -> Histogram {
        let mut rows = BTreeMap::new();
        for wait in waits {
            *rows.entry(wait_bucket(*wait)).or_insert(0) += 1;
        }
        Histogram(rows)
    }

    fn exact(sorted: &[u64], share: f64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "short lists"
        )]
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_a_tenth_of_the_truth(
            mut waits in prop::collection::vec(32..1_u64 << 45, 1..400),
            share in 0.0..=1.0,
        ) {
            let seen = histogram(&waits).percentile(share).expect("there are waits");
            waits.sort_unstable();
            let truth = exact(&waits, share);
            prop_assert!(seen.abs_diff(truth) * 10 <= truth, "{seen} instead of {truth}");
        }

        #[test]
        fn percentiles_rise_and_stay_below_the_longest(
            waits in prop::collection::vec(any::<u64>(), 1..200),
        ) {
            let longest = waits.iter().copied().max().expect("some");
            let queue = QueueStats { wait_max: longest, ..QueueStats::ZERO };
            let all = accept_wait(&histogram(&waits), Some(&queue), None);
            prop_assert!(all.p50 <= all.p90 && all.p90 <= all.p99 && all.p99 <= all.max);
            prop_assert_eq!(all.max, Some(longest));
        }

        #[test]
        fn buckets_hold_every_wait_once(waits in prop::collection::vec(any::<u64>(), 0..200)) {
            let buckets = histogram(&waits).buckets();
            prop_assert_eq!(buckets.iter().map(|one| one.count).sum::<u64>(), waits.len() as u64);
            prop_assert!(buckets.windows(2).all(|pair| pair[0].le < pair[1].le));
            for pair in buckets.windows(2) {
                let within = |wait: &&u64| **wait > pair[0].le && **wait <= pair[1].le;
                prop_assert_eq!(waits.iter().filter(within).count() as u64, pair[1].count);
            }
        }

        #[test]
        fn the_sum_of_two_histograms_is_that_of_all_their_waits(
            one in prop::collection::vec(any::<u64>(), 0..100),
            other in prop::collection::vec(any::<u64>(), 0..100),
        ) {
            // As the counts of two CPUs are added up.
            let mut sum = histogram(&one);
            for (bucket, count) in histogram(&other).0 {
                *sum.0.entry(bucket).or_insert(0) += count;
            }
            prop_assert_eq!(sum, histogram(&[one, other].concat()));
        }
    }

    #[test]
    fn the_longest_waits_share_a_bucket_and_keep_their_maximum() {
        let queue = QueueStats { waits: 2, wait_max: u64::MAX, ..QueueStats::ZERO };
        let all = accept_wait(&histogram(&[1 << 50, u64::MAX]), Some(&queue), None);
        assert_eq!((all.count, all.max), (Some(2), Some(u64::MAX)));
        assert_eq!(all.histogram.last().map(|one| (one.le, one.count)), Some((u64::MAX, 2)));
    }

    #[test]
    fn without_waits_there_are_no_percentiles() {
        let none = accept_wait(&Histogram::default(), Some(&QueueStats::ZERO), Some(5));
        assert_eq!((none.count, none.p50, none.p99, none.max), (Some(0), None, None, None));
        assert_eq!((none.oldest, none.histogram.len()), (Some(5), 0));
    }

    #[test]
    fn only_the_listeners_own_waits_are_taken() {
        let key = |listener, bucket| WaitKey { listener, bucket, zero: 0 };
        let waits = BTreeMap::from([(key(1, 9), 1), (key(2, 8), 2), (key(3, 1), 4)]);
        assert_eq!(Histogram::of(&waits, 2), Histogram(BTreeMap::from([(8, 2)])));
    }
}
