//! When a recording may begin: when something is critical that was not in a recording yet, and at most one in a time.
//! Pure.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// What is critical: the network namespace and port of a listener, and the finding.
pub type Critical = (u64, u16, String);

/// At most one recording per cooldown.
#[derive(Clone, Debug)]
pub struct Trigger {
    cooldown: Duration,
    last: Option<Instant>,
    /// What is critical, and was when a recording began.
    recorded: BTreeSet<Critical>,
}

impl Trigger {
    /// None so far.
    pub fn new(cooldown: Duration) -> Self {
        Self { cooldown, last: None, recorded: BTreeSet::new() }
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
        let since = |last| now.saturating_duration_since(last);
        self.last.map_or(Duration::ZERO, |last| self.cooldown.saturating_sub(since(last)))
    }

    /// One began, with this being critical.
    pub fn fired(&mut self, critical: &BTreeSet<Critical>, now: Instant) {
        self.last = Some(now);
        self.recorded.clone_from(critical);
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
        let mut trigger = Trigger::new(10 * second);
        assert!(trigger.may(now));
        trigger.fired(&critical(&[]), now);
        assert!(!trigger.may(now) && !trigger.may(now + 9 * second));
        assert_eq!(trigger.wait(now + 9 * second), second);
        assert!(trigger.may(now + 10 * second));
    }

    #[test]
    fn what_goes_on_is_not_recorded_again() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let mut trigger = Trigger::new(minute);
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
}
