//! What a listener did since the beginning: its intervals, added up.
//!
//! Counts of intervals are differences of counters that only grow, so that their sum is what was counted. What was
//! undecided at the end of an interval is decided in a later one, so that `pending` is that of the last.

use std::collections::BTreeMap;

use crate::app::render::table::tally::added;
use observer::{
    model::{AcceptQueue, AcceptWait, Bucket, Drops, Listener, Wakeups, Worker},
    report::counts::jain,
};

/// Most workers that are told apart; what the others did is in one row.
const WORKERS: usize = 256;

/// Most names of errors and reasons, and most buckets of waits: more than there are.
const NAMES: usize = 256;
const BUCKETS: usize = 4_096;

/// Name of that row, which the reports have too.
const OTHERS: &str = "(others)";

/// Adds an interval to what came before it. All but the counts is as it is now.
pub fn add(total: &mut Listener, now: &Listener) {
    let wakeups = both(total.wakeups, now.wakeups, added)
        .map(|sum| Wakeups { pending: now.wakeups.unwrap_or_default().pending, ..sum });
    let accepted = sum(total.accepted, now.accepted);
    let mut workers = std::mem::take(&mut total.workers);
    add_workers(&mut workers, &now.workers);
    *total = Listener {
        incomplete: total.incomplete || now.incomplete,
        queued: sum(total.queued, now.queued),
        accepted,
        discarded: sum(total.discarded, now.discarded),
        wakeups,
        herd_ratio: wakeups
            .zip(accepted)
            .and_then(|(wakeups, accepted)| ratio(wakeups.total, accepted)),
        wasted_cpu: sum(total.wasted_cpu, now.wasted_cpu),
        accept_errors: errors(&total.accept_errors, &now.accept_errors),
        accept_queue: AcceptQueue {
            max: total.accept_queue.max.max(now.accept_queue.max),
            ..now.accept_queue.clone()
        },
        accept_wait: waits(&total.accept_wait, &now.accept_wait),
        drops: drops(&total.drops, &now.drops),
        fairness: fairness(&workers),
        workers,
        ..now.clone()
    };
}

/// Wakeups for each accepted connection.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits of a count")]
fn ratio(wakeups: u64, accepted: u64) -> Option<f64> {
    (accepted > 0).then(|| wakeups as f64 / accepted as f64)
}

/// A sum is known where both are.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    both(a, b, u64::saturating_add)
}

fn both<T>(a: Option<T>, b: Option<T>, add: impl Fn(T, T) -> T) -> Option<T> {
    Some(add(a?, b?))
}

fn errors(a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut sum = a.clone();
    add_each(&mut sum, b.iter().map(|(name, count)| (name.clone(), *count)), NAMES);
    sum
}

/// Adds each count to that of its name, as far as there is room for another name: recordings may have any.
fn add_each<K: Ord>(
    sum: &mut BTreeMap<K, u64>,
    counts: impl Iterator<Item = (K, u64)>,
    most: usize,
) {
    for (name, count) in counts {
        if let Some(all) = sum.get_mut(&name) {
            *all = all.saturating_add(count);
        } else if sum.len() < most {
            sum.insert(name, count);
        }
    }
}

fn add_workers(total: &mut Vec<Worker>, now: &[Worker]) {
    for one in now {
        let same = |all: &Worker| (all.pid, all.tid, &all.comm) == (one.pid, one.tid, &one.comm);
        let others = |all: &Worker| all.tid.is_none() && all.comm == OTHERS;
        let known = total.iter().position(same);
        let full = total.len() >= WORKERS;
        match known.or_else(|| full.then(|| total.iter().position(others)).flatten()) {
            Some(at) => {
                let all = &mut total[at];
                all.wakeups = added(all.wakeups, one.wakeups);
                all.wakeups.pending = one.wakeups.pending;
                all.accepted = all.accepted.saturating_add(one.accepted);
                all.accept_errors = errors(&all.accept_errors, &one.accept_errors);
            }
            None if full => {
                total.push(Worker { pid: None, tid: None, comm: OTHERS.into(), ..one.clone() });
            }
            None => total.push(one.clone()),
        }
    }
}

fn fairness(workers: &[Worker]) -> Option<f64> {
    if workers.iter().any(|one| one.tid.is_none()) {
        return None;
    }
    jain(&workers.iter().map(|one| one.accepted).collect::<Vec<_>>())
}

fn drops(a: &Drops, b: &Drops) -> Drops {
    let by_reason = both(a.by_reason.clone(), b.by_reason.clone(), |a, b| {
        let mut sum = (*a).clone();
        add_each(&mut sum, b.iter().map(|(reason, count)| (reason.clone(), *count)), NAMES);
        sum.into()
    });
    let most = |one: &Drops| one.at_most.or(one.total);
    let at_most =
        (a.at_most.is_some() || b.at_most.is_some()).then(|| sum(most(a), most(b))).flatten();
    // Clients of two intervals may be the same, so that how many there were is not known.
    Drops {
        total: sum(a.total, b.total),
        at_most,
        by_reason,
        clients: None,
        clients_overflowed: false,
    }
}

/// Waits of both. A percentile is the middle of the bucket that it falls into.
fn waits(a: &AcceptWait, b: &AcceptWait) -> AcceptWait {
    let histogram = buckets(&a.histogram, &b.histogram);
    let max = a.max.max(b.max);
    let of = |share| percentile(&histogram, share).zip(max).map(|(wait, max)| wait.min(max));
    AcceptWait {
        count: sum(a.count, b.count),
        p50: of(0.5),
        p90: of(0.9),
        p99: of(0.99),
        max,
        oldest: b.oldest,
        histogram,
    }
}

/// Buckets of both, those that bound another from below included.
fn buckets(a: &[Bucket], b: &[Bucket]) -> Vec<Bucket> {
    let mut sum = BTreeMap::new();
    add_each(&mut sum, a.iter().chain(b).map(|one| (one.le, one.count)), BUCKETS);
    sum.into_iter().map(|(le, count)| Bucket { le, count }).collect()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank needs no more than 52 bits, and is not negative"
)]
fn percentile(histogram: &[Bucket], share: f64) -> Option<u64> {
    let count: u64 = histogram.iter().fold(0, |sum, one| sum.saturating_add(one.count));
    let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
    let (mut seen, mut below) = (0_u64, 0);
    for one in histogram {
        seen = seen.saturating_add(one.count);
        if seen >= rank && one.count > 0 {
            return Some(if one.le == u64::MAX { below } else { below.midpoint(one.le) });
        }
        below = one.le;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures::{listener, traffic, worker};

    fn busy(connections: u64) -> Listener {
        let mut one = listener("0.0.0.0", 80);
        traffic(&mut one, "a", 2, connections, 4, None);
        one.accept_wait = AcceptWait {
            count: Some(connections),
            max: Some(900),
            histogram: vec![Bucket { le: 500, count: 0 }, Bucket { le: 1_000, count: connections }],
            ..AcceptWait::default()
        };
        one
    }

    #[test]
    fn counts_add_up_and_the_rest_is_of_now() {
        let mut total = busy(100);
        let mut now = busy(300);
        (now.accept_queue.now, now.closed) = (Some(5), true);
        add(&mut total, &now);
        assert_eq!((total.accepted, total.queued), (Some(400), Some(400)));
        assert_eq!((total.herd_ratio, total.closed), (Some(4.0), true));
        assert_eq!(total.wakeups.map(|all| all.total), Some(1_600));
        assert_eq!(total.workers.iter().map(|one| one.accepted).sum::<u64>(), 400);
        assert_eq!(total.accept_queue.now, Some(5));
        let wait = &total.accept_wait;
        assert_eq!((wait.count, wait.p50, wait.max), (Some(400), Some(750), Some(900)));
        assert_eq!(total.fairness, Some(1.0));
    }

    #[test]
    fn what_is_not_known_of_one_interval_is_not_known_of_all() {
        let mut total = busy(100);
        let mut now = busy(1);
        (now.accepted, now.drops.total) = (None, None);
        add(&mut total, &now);
        assert_eq!((total.accepted, total.herd_ratio, total.drops.total), (None, None, None));
    }

    #[test]
    fn undecided_wakeups_are_counted_once() {
        let mut total = busy(10);
        total.wakeups.get_or_insert_default().pending = 3;
        add(&mut total, &busy(10));
        assert_eq!(total.wakeups.map(|all| all.pending), Some(0));
    }

    #[test]
    fn names_and_buckets_have_a_bound() {
        let mut total = listener("0.0.0.0", 80);
        for number in 0..10_000 {
            let mut now = listener("0.0.0.0", 80);
            now.accept_errors = BTreeMap::from([(format!("E{number}"), 1), ("EAGAIN".into(), 1)]);
            now.accept_wait.histogram = vec![Bucket { le: number, count: 1 }];
            add(&mut total, &now);
        }
        assert_eq!((total.accept_errors.len(), total.accept_errors["EAGAIN"]), (NAMES, 10_000));
        assert_eq!(total.accept_wait.histogram.len(), BUCKETS);
    }

    #[test]
    fn workers_have_a_bound() {
        let mut total = listener("0.0.0.0", 80);
        for pid in 0..600 {
            let mut now = listener("0.0.0.0", 80);
            now.workers = vec![Worker { accepted: 1, ..worker("child", pid) }];
            add(&mut total, &now);
        }
        assert_eq!(total.workers.len(), WORKERS + 1);
        assert_eq!(total.workers.iter().map(|one| one.accepted).sum::<u64>(), 600);
        assert_eq!(total.fairness, None);
    }
}
