//! Times of events, as nanoseconds since the window opened.

use std::time::SystemTime;

/// When the window opened.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: SystemTime,
}

impl Clock {
    /// A window that opens now.
    pub fn now() -> Self {
        Self { start: SystemTime::now() }
    }

    /// When something happened; 0 for what happened while the window opened.
    pub fn at(&self, time: &str) -> u64 {
        humantime::parse_rfc3339(time).map_or(0, |time| self.since_start(time))
    }

    /// Nanoseconds until now.
    pub fn elapsed(&self) -> u64 {
        self.since_start(SystemTime::now())
    }

    /// The present moment, as events tell it.
    pub fn moment(at: SystemTime) -> String {
        humantime::format_rfc3339_nanos(at).to_string()
    }

    fn since_start(&self, time: SystemTime) -> u64 {
        let since = time.duration_since(self.start).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
