//! When a recording may begin: when something is critical that was not in a recording yet, and at most one in a time.
//! Pure.

use std::{
    collections::BTreeSet,
    mem,
    time::{Duration, Instant},
};

/// What is critical: the network namespace and port of a listener, and the finding.
pub type Critical = (u64, u16, String);

/// At most one recording per cooldown.
#[derive(Clone, Debug)]
pub struct Trigger {
    cooldown: Duration,
    /// How long after a failure the next may begin.
    retry: Duration,
    /// When the last began or failed, and how long none may begin from then on.
    last: Option<(Instant, Duration)>,
    /// What is critical, and was when a recording began.
    recorded: BTreeSet<Critical>,
    /// Whether somebody was told since then that none may begin.
    refused: bool,
}

impl Trigger {
    /// None so far.
    pub fn new(cooldown: Duration, retry: Duration) -> Self {
        Self { cooldown, retry, last: None, recorded: BTreeSet::new(), refused: false }
    }

    /// Whether what is critical now is to be recorded: where anything of it is new since the last recording, and none may
    /// have been for want of time.
    pub fn is_due(&mut self, critical: &BTreeSet<Critical>, now: Instant) -> bool {
        self.recorded.retain(|one| critical.contains(one));
        !critical.is_subset(&self.recorded) && self.may(now)
    }

    /// Whether one may begin now.
    pub fn may(&self, now: Instant) -> bool {
        self.wait(now).is_zero()
    }

    /// How long none may begin.
    pub fn wait(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |(last, pause)| {
            pause.saturating_sub(now.saturating_duration_since(last))
        })
    }

    /// Whether it is to be said that none may begin: once for each recording, however often somebody asks.
    pub fn is_first_refusal(&mut self) -> bool {
        !mem::replace(&mut self.refused, true)
    }

    /// One began, with this being critical.
    pub fn fired(&mut self, critical: &BTreeSet<Critical>, now: Instant) {
        self.last = Some((now, self.cooldown));
        self.recorded.clone_from(critical);
        self.refused = false;
    }

    /// The one that began last could not be written: what it was about is not recorded, and soon tried again.
    pub fn failed(&mut self, now: Instant) {
        self.last = Some((now, self.retry));
        self.recorded.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        time::{Duration, Instant},
    };

    use super::{Critical, Trigger};

    fn critical(ports: &[u16]) -> BTreeSet<Critical> {
        ports.iter().map(|port| (1, *port, "fd-exhausted".to_owned())).collect()
    }

    #[test]
    fn one_per_cooldown() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut trigger = Trigger::new(10 * second, second);
        assert!(trigger.may(now));
        trigger.fired(&critical(&[]), now);
        assert!(!trigger.may(now) && !trigger.may(now + 9 * second));
        assert_eq!(trigger.wait(now + 9 * second), second);
        assert!(trigger.may(now + 10 * second));
    }

    #[test]
    fn what_goes_on_is_not_recorded_again() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let mut trigger = Trigger::new(minute, minute);
        assert!(!trigger.is_due(&critical(&[]), now));
        assert!(trigger.is_due(&critical(&[80]), now));
        trigger.fired(&critical(&[80]), now);
        for minutes in 1..10 {
            assert!(!trigger.is_due(&critical(&[80]), now + minutes * minute));
        }
        // Another is, once there may be one.
        assert!(!trigger.is_due(&critical(&[80, 81]), now + minute / 2));
        assert!(trigger.is_due(&critical(&[80, 81]), now + minute));
        trigger.fired(&critical(&[80, 81]), now + minute);
        // And what had ended and is there again.
        assert!(!trigger.is_due(&critical(&[81]), now + 2 * minute));
        assert!(trigger.is_due(&critical(&[80, 81]), now + 3 * minute));
    }

    #[test]
    fn what_could_not_be_written_is_tried_again() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut trigger = Trigger::new(900 * second, 60 * second);
        trigger.fired(&critical(&[80]), now);
        let failed = now + 5 * second;
        trigger.failed(failed);
        assert!(!trigger.is_due(&critical(&[80]), failed + 59 * second));
        assert!(trigger.is_due(&critical(&[80]), failed + 60 * second));
        trigger.fired(&critical(&[80]), failed + 60 * second);
        assert_eq!(trigger.wait(failed + 60 * second), 900 * second);
        assert!(!trigger.is_due(&critical(&[80]), failed + 2000 * second));
    }

    #[test]
    fn one_refusal_is_said_for_each_recording() {
        let now = Instant::now();
        let mut trigger = Trigger::new(Duration::from_secs(900), Duration::from_secs(60));
        for _ in 0..2 {
            trigger.fired(&critical(&[]), now);
            let said: Vec<_> = (0..3).map(|_| trigger.is_first_refusal()).collect();
            assert_eq!(said, [true, false, false]);
        }
    }
}
