//! The wall clock beside the clock that events are timed by.

use std::time::{Duration, SystemTime};

use super::sample;

/// A difference between two looks that is a clock which was set, and not a task that was preempted between its readings.
const SET: Duration = Duration::from_secs(1);

/// Pairs of readings of which the closest is taken.
const PAIRS: usize = 3;

/// How far the wall clock is ahead of `CLOCK_MONOTONIC`, as it was read first: events that are in the order of one clock
/// are so in that of the other. Both clocks are slewed by the same (`adjtimex`), so they part only where one is set.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    ahead: Option<Duration>,
}

impl Clocks {
    /// How far it is ahead.
    pub(super) fn offset(&mut self) -> Duration {
        self.of(read())
    }

    fn of(&mut self, now: Duration) -> Duration {
        let kept = self.ahead.filter(|kept| kept.abs_diff(now) < SET);
        *self.ahead.insert(kept.unwrap_or(now))
    }
}

/// The difference by the pair of readings that had the least time between them.
fn read() -> Duration {
    let pair = |_| {
        let before = sample::monotonic();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let took = sample::monotonic().saturating_sub(before);
        (took, wall.saturating_sub(Duration::from_nanos(before)))
    };
    (0..PAIRS).map(pair).min().map_or(Duration::ZERO, |(_, ahead)| ahead)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Clocks, SET, read};

    #[test]
    fn who_is_preempted_between_two_readings_changes_no_times() {
        let mut clocks = Clocks::default();
        let (first, late) = (Duration::from_secs(1000), Duration::from_millis(90));
        assert_eq!(clocks.of(first), first);
        assert_eq!(clocks.of(first + late), first);
        assert_eq!(clocks.of(first.saturating_sub(late)), first);
    }

    #[test]
    fn a_clock_that_was_set_is_followed() {
        let mut clocks = Clocks::default();
        let first = Duration::from_secs(1000);
        clocks.of(first);
        assert_eq!(clocks.of(first + SET), first + SET);
        assert_eq!(clocks.of(first), first);
    }

    #[test]
    fn the_clocks_are_read() {
        assert!(read() > Duration::ZERO);
    }
}
