//! The 99th percentile of accept waits, with those that have not ended. Pure.

use observer::{
    model::{Bucket, Listener},
    report::waits::Histogram,
};

/// The percentile of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slowest {
    /// No connection was there that could have waited.
    Nothing,
    /// It is not known.
    Unknown,
    /// Accepted connections waited so long, in nanoseconds.
    Accepted(u64),
    /// It falls among so many connections that still wait, the longest of them for so long.
    Waiting { connections: u64, nanoseconds: u64 },
    /// It falls among so many connections that nobody accepted before the listener closed.
    Never(u64),
}

/// Connections of a listener, by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connections {
    /// Accepted, their waits measured.
    accepted: u64,
    /// In the accept queue at the end.
    waiting: u64,
    /// In the accept queue when the listener closed.
    never: u64,
}

impl Connections {
    fn of(listener: &Listener) -> Option<Self> {
        Some(Self {
            accepted: listener.accept_wait.count?,
            waiting: listener.accept_queue.now.unwrap_or(0),
            never: listener.discarded.unwrap_or(0),
        })
    }

    fn all(self) -> u64 {
        self.accepted.saturating_add(self.waiting).saturating_add(self.never)
    }
}

/// Number of connections that the percentile is about; `None` where that is not known.
pub fn count(listener: &Listener) -> Option<u64> {
    Connections::of(listener).map(Connections::all)
}

/// The percentile in a window of this length, in nanoseconds.
///
/// Each connection that still waits counts as the one that has waited longest: queues are first in, first out, so that
/// where that one is late the others will be. One that was in the queue when its listener closed was never accepted,
/// and waited longer than any limit.
pub fn slowest(listener: &Listener, window: u64) -> Slowest {
    let Some(connections) = Connections::of(listener) else { return Slowest::Unknown };
    let Connections { accepted, waiting, never } = connections;
    let age = match age(listener, window) {
        _ if waiting == 0 => 0,
        Some(age) => age,
        None => return Slowest::Unknown,
    };
    if accepted == 0 && never == 0 && age == 0 {
        return Slowest::Nothing;
    }
    // So many of all may be above the percentile.
    let spare = connections.all() / 100;
    let Some(spare) = spare.checked_sub(never) else { return Slowest::Never(never) };
    let longer = longer(&listener.accept_wait.histogram, age).min(accepted);
    if never == 0 && waiting == 0 {
        return listener.accept_wait.p99.map_or(Slowest::Unknown, Slowest::Accepted);
    }
    let of_accepted = |above: u64| match ranked(listener, accepted, above) {
        Some(wait) => Slowest::Accepted(wait),
        None => Slowest::Unknown,
    };
    if longer > spare {
        of_accepted(spare)
    } else if longer.saturating_add(waiting) > spare {
        Slowest::Waiting { connections: waiting, nanoseconds: age }
    } else {
        of_accepted(spare - waiting)
    }
}

/// How long connections in the queue have waited at most, as far as that is known: those that were there when the
/// window opened have waited as long as it was open at least.
fn age(listener: &Listener, window: u64) -> Option<u64> {
    let wait = &listener.accept_wait;
    if listener.accept_queue.now > listener.queued {
        return Some(wait.oldest.unwrap_or(0).max(window));
    }
    match wait.oldest {
        Some(oldest) => Some(oldest),
        None if listener.incomplete => None,
        // They came while the report was made.
        None => Some(0),
    }
}

/// Number of accepted connections that waited as long, or longer.
fn longer(waits: &[Bucket], age: u64) -> u64 {
    let longer = waits.iter().filter(|bucket| bucket.le >= age);
    longer.fold(0, |sum, bucket| sum.saturating_add(bucket.count))
}

/// The wait of an accepted connection than which so many waited longer.
fn ranked(listener: &Listener, accepted: u64, above: u64) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "a rank needs no more than 52 bits")]
    let share = (accepted.checked_sub(above)? as f64 - 0.5) / accepted as f64;
    let wait = Histogram::of_buckets(&listener.accept_wait.histogram).percentile(share)?;
    Some(wait.min(listener.accept_wait.max.unwrap_or(wait)))
}

#[cfg(test)]
mod tests {
    use observer::model::AcceptWait;

    use super::*;
    use crate::app::render::table::fixtures;

    const WINDOW: u64 = 60_000_000_000;

    /// A listener that accepted so many after 1 ms each, while others wait, the longest for 2 s.
    fn listener(accepted: u64, waiting: u64) -> Listener {
        let mut one = fixtures::listener("127.0.0.1", 80);
        (one.accepted, one.queued) = (Some(accepted), Some(accepted + waiting));
        one.accept_queue.now = Some(waiting);
        let buckets = [Bucket { le: 1_000_000, count: accepted }];
        one.accept_wait = AcceptWait {
            count: Some(accepted),
            p99: (accepted > 0).then_some(1_000_000),
            max: (accepted > 0).then_some(1_000_000),
            oldest: (waiting > 0).then_some(2_000_000_000),
            histogram: if accepted > 0 { buckets.to_vec() } else { Vec::new() },
            ..AcceptWait::default()
        };
        one
    }

    fn is_accepted(slowest: Slowest) -> bool {
        matches!(slowest, Slowest::Accepted(900_000..=1_000_000))
    }

    #[test]
    fn those_that_still_wait_count_from_one_in_a_hundred_on() {
        let waiting = |connections| Slowest::Waiting { connections, nanoseconds: 2_000_000_000 };
        assert!(is_accepted(slowest(&listener(200, 0), WINDOW)));
        assert_eq!(slowest(&listener(60, 1), WINDOW), waiting(1));
        assert_eq!(slowest(&listener(98, 1), WINDOW), waiting(1));
        // One of a hundred may be late.
        assert!(is_accepted(slowest(&listener(99, 1), WINDOW)));
        assert_eq!(slowest(&listener(198, 3), WINDOW), waiting(3));
        assert_eq!(slowest(&listener(0, 500), WINDOW), waiting(500));
    }

    #[test]
    fn one_that_was_there_before_has_waited_all_of_the_window() {
        let mut one = listener(60, 2);
        (one.queued, one.accept_wait.oldest) = (Some(1), None);
        let expected = Slowest::Waiting { connections: 2, nanoseconds: WINDOW };
        assert_eq!(slowest(&one, WINDOW), expected);
        one.accept_wait.oldest = Some(5);
        assert_eq!(slowest(&one, WINDOW), expected);
    }

    #[test]
    fn what_the_listener_took_with_it_was_never_accepted() {
        let mut one = listener(60, 0);
        (one.closed, one.accept_queue.now, one.discarded) = (true, None, Some(1));
        assert_eq!(slowest(&one, WINDOW), Slowest::Never(1));
        let mut many = listener(99, 0);
        (many.closed, many.accept_queue.now, many.discarded) = (true, None, Some(1));
        assert!(is_accepted(slowest(&many, WINDOW)));
        let mut none = listener(0, 0);
        none.discarded = Some(2);
        assert_eq!(slowest(&none, WINDOW), Slowest::Never(2));
    }

    #[test]
    fn accepted_ones_that_waited_longer_are_before_them() {
        let mut one = listener(300, 2);
        one.accept_wait.histogram =
            vec![Bucket { le: 1_000_000, count: 295 }, Bucket { le: 9_000_000_000, count: 5 }];
        one.accept_wait.max = Some(8_800_000_000);
        assert!(matches!(slowest(&one, WINDOW), Slowest::Accepted(8_000_000_000..=8_800_000_000)));
        one.accept_wait.histogram[1].count = 2;
        one.accept_wait.histogram[0].count = 298;
        assert!(matches!(slowest(&one, WINDOW), Slowest::Waiting { connections: 2, .. }));
    }

    #[test]
    fn what_came_just_now_says_nothing_and_what_is_not_known_is_said() {
        let mut one = listener(0, 1);
        one.accept_wait.oldest = None;
        assert_eq!(slowest(&one, WINDOW), Slowest::Nothing);
        one.incomplete = true;
        assert_eq!(slowest(&one, WINDOW), Slowest::Unknown);
        one.accept_wait.count = None;
        assert_eq!((slowest(&one, WINDOW), count(&one)), (Slowest::Unknown, None));
        assert_eq!(slowest(&listener(0, 0), WINDOW), Slowest::Nothing);
    }
}
