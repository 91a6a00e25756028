//! When a recording may begin: at most one in a time. Pure.

use std::time::{Duration, Instant};

/// At most one recording per cooldown.
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    cooldown: Duration,
    last: Option<Instant>,
}

impl Trigger {
    /// None so far.
    pub fn new(cooldown: Duration) -> Self {
        Self { cooldown, last: None }
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

    /// One began.
    pub fn fired(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Trigger;

    #[test]
    fn one_per_cooldown() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut trigger = Trigger::new(10 * second);
        assert!(trigger.may(now));
        trigger.fired(now);
        assert!(!trigger.may(now) && !trigger.may(now + 9 * second));
        assert_eq!(trigger.wait(now + 9 * second), second);
        assert!(trigger.may(now + 10 * second));
    }
}
