//! Moments of a recording, as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A day.
const DAY: u64 = 24 * 60 * 60;

/// Moment of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long after its beginning: `30s`.
    After(Duration),
    /// RFC 3339: `2026-01-02T03:04:05Z`.
    At(SystemTime),
    /// Seconds of a day, UTC, the first such time after the beginning: `03:04:05`.
    Clock(u64),
}

impl Moment {
    /// Parses `30s`, `03:04`, `03:04:05` or `2026-01-02T03:04:05Z`.
    ///
    /// # Errors
    ///
    /// In the words for whoever typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let at = humantime::parse_rfc3339_weak(text).map(Self::At).ok();
        let after = || humantime::parse_duration(text).map(Self::After).ok();
        at.or_else(|| clock(text)).or_else(after).ok_or_else(|| {
            "write 30s (after the beginning), 03:04:05 (UTC) or 2026-01-02T03:04:05Z".to_owned()
        })
    }

    /// The time of it in a recording that began at `start`.
    pub fn of(self, start: SystemTime) -> SystemTime {
        match self {
            Self::At(time) => time,
            Self::After(duration) => start.checked_add(duration).unwrap_or(start),
            Self::Clock(second) => {
                let since = start.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let midnight = since - since % DAY;
                let today = midnight.saturating_add(second);
                let at = if today >= since { today } else { today.saturating_add(DAY) };
                UNIX_EPOCH.checked_add(Duration::from_secs(at)).unwrap_or(start)
            }
        }
    }
}

fn clock(text: &str) -> Option<Moment> {
    let parts: Vec<&str> = text.trim_end_matches('Z').split(':').collect();
    let number = |part: &str, below: u64| {
        let is_short = part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u64>().ok().filter(|number| is_short && *number < below)
    };
    let (hour, minute, second) = match parts[..] {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    Some(Moment::Clock(number(hour, 24)? * 3600 + number(minute, 60)? * 60 + number(second, 60)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        let start = humantime::parse_rfc3339("2026-01-02T03:04:05.500Z").expect("a time");
        let time = Moment::parse(text).ok()?.of(start);
        Some(humantime::format_rfc3339_millis(time).to_string())
    }

    #[test]
    fn moments() {
        for (text, time) in [
            ("30s", "2026-01-02T03:04:35.500Z"),
            ("1min 500ms", "2026-01-02T03:05:06.000Z"),
            ("0s", "2026-01-02T03:04:05.500Z"),
            ("03:04:30", "2026-01-02T03:04:30.000Z"),
            ("03:05", "2026-01-02T03:05:00.000Z"),
            ("23:59:59Z", "2026-01-02T23:59:59.000Z"),
            // After midnight.
            ("01:00:00", "2026-01-03T01:00:00.000Z"),
            ("2026-01-02T03:04:06Z", "2026-01-02T03:04:06.000Z"),
            ("2026-01-02 03:04:06", "2026-01-02T03:04:06.000Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(time), "{text}");
        }
        for text in ["", "24:00", "1:2:3:4", "now", "30", "-5s", "12:60", "::"] {
            assert_eq!(at(text), None, "{text}");
        }
        assert!(Moment::parse("now").expect_err("none").contains("30s"));
    }
}
