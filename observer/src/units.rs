//! Numbers as people read them.

use std::time::{Duration, SystemTime};

/// The end of what RFC 3339 can say, in seconds of Unix: the year 10000 begins.
const YEAR_10000: u64 = 253_402_300_800;

/// RFC 3339 with seconds, UTC; `None` for times that it cannot say, before 1970 and after the year 9999.
pub fn rfc3339(time: SystemTime) -> Option<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since.as_secs() < YEAR_10000).then(|| humantime::format_rfc3339_seconds(time).to_string())
}

/// A time in nanoseconds: two digits or three, whatever its size (`11 µs`, `1.2 ms`, `3.4 s`).
pub fn time(nanoseconds: u64) -> String {
    // From the unit that a rounded value does not overflow: 999.6 µs is 1.0 ms, not 1000 µs.
    const UNITS: [(u64, &str); 3] = [(1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s")];
    if nanoseconds < 1_000 {
        return format!("{nanoseconds} ns");
    }
    for (unit, name) in UNITS {
        let most = if name == "s" { 60 } else { 1_000 };
        let tenths = rounded(nanoseconds, unit / 10);
        if tenths < 100 {
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        let whole = rounded(nanoseconds, unit);
        if whole < most {
            return format!("{whole} {name}");
        }
    }
    let seconds = rounded(nanoseconds, 1_000_000_000);
    match seconds / 3_600 {
        0 => format!("{} min {} s", seconds / 60, seconds % 60),
        hours => format!("{hours} h {} min", seconds % 3_600 / 60),
    }
}

/// A time in seconds, in the words of [`time`], but with a decimal up to a minute; `-` for what is no time.
pub fn seconds(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(_) if (9.95..59.95).contains(&seconds) => format!("{seconds:.1} s"),
        Ok(duration) => time(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        Err(_) => "-".to_owned(),
    }
}

/// A count, exact: no grouping, so that it can be copied into another tool.
pub fn count(count: u64) -> String {
    count.to_string()
}

/// A count for a narrow column: exact up to six digits, above them `1.2M`.
pub fn short_count(count: u64) -> String {
    const UNITS: [(u64, char); 5] = [
        (1_000_000, 'M'),
        (1_000_000_000, 'G'),
        (1_000_000_000_000, 'T'),
        (1_000_000_000_000_000, 'P'),
        (1_000_000_000_000_000_000, 'E'),
    ];
    let Some((unit, name)) = UNITS.iter().rev().find(|(unit, _)| count >= *unit) else {
        return count.to_string();
    };
    // Rounded down: `at least so many` is always true of it.
    let tenths = count / (unit / 10);
    if tenths < 100 {
        format!("{}.{}{name}", tenths / 10, tenths % 10)
    } else {
        format!("{}{name}", tenths / 10)
    }
}

/// A ratio with two decimals (`8.00`, `0.25`), so that a column of them aligns at the point and 1.96
/// is not taken for 2; `<0.01` for what would look like nothing, whole numbers from 1000, and `-`
/// for null.
pub fn ratio(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if !ratio.is_finite() => "-".to_owned(),
        Some(ratio) if ratio > 0.0 && ratio < 0.01 => "<0.01".to_owned(),
        Some(ratio) if ratio >= 1_000_000.0 => ">999999".to_owned(),
        Some(ratio) if ratio >= 1_000.0 => format!("{ratio:.0}"),
        Some(ratio) => format!("{ratio:.2}"),
        None => "-".to_owned(),
    }
}

/// A part of a whole in percent: 0% and 100% only where they are exact, `-` for a part of nothing.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    if part == 0 {
        return "0%".to_owned();
    }
    if part >= whole {
        return "100%".to_owned();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    match (part * 100 + whole / 2) / whole {
        0 => "<1%".to_owned(),
        100 => ">99%".to_owned(),
        percent => format!("{percent}%"),
    }
}

/// `value / unit`, rounded to the nearest.
fn rounded(value: u64, unit: u64) -> u64 {
    value / unit + u64::from(value % unit >= unit.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_rfc_3339_cannot_say_are_none() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(at(YEAR_10000 - 1).as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(at(YEAR_10000), None);
        assert_eq!(at(1_000_000_000_000), None);
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn times() {
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.0 µs"),
            (9_949, "9.9 µs"),
            (9_950, "10 µs"),
            (11_000, "11 µs"),
            (999_499, "999 µs"),
            (999_600, "1.0 ms"),
            (1_200_000, "1.2 ms"),
            (3_400_000_000, "3.4 s"),
            (59_499_999_999, "59 s"),
            (59_600_000_000, "1 min 0 s"),
            (75_000_000_000, "1 min 15 s"),
            (3_600_000_000_000, "1 h 0 min"),
            (u64::MAX, "5124095 h 34 min"),
        ] {
            assert_eq!(time(nanoseconds), text);
        }
    }

    #[test]
    fn windows() {
        assert_eq!(seconds(5.002), "5.0 s");
        assert_eq!(seconds(0.25), "250 ms");
        assert_eq!(seconds(12.345), "12.3 s");
        assert_eq!(seconds(59.96), "1 min 0 s");
        assert_eq!(seconds(f64::NAN), "-");
        assert_eq!(seconds(-1.0), "-");
        assert_eq!(seconds(1e300), "-");
    }

    #[test]
    fn counts() {
        assert_eq!(count(u64::MAX), "18446744073709551615");
        assert_eq!(short_count(0), "0");
        assert_eq!(short_count(999_999), "999999");
        assert_eq!(short_count(1_000_000), "1.0M");
        assert_eq!(short_count(1_299_999), "1.2M");
        assert_eq!(short_count(12_345_678), "12M");
        assert_eq!(short_count(999_999_999), "999M");
        assert_eq!(short_count(1_000_000_000), "1.0G");
        assert_eq!(short_count(u64::MAX), "18E");
    }

    #[test]
    fn ratios() {
        assert_eq!(ratio(None), "-");
        assert_eq!(ratio(Some(f64::NAN)), "-");
        assert_eq!(ratio(Some(f64::INFINITY)), "-");
        assert_eq!(ratio(Some(0.0)), "0.00");
        assert_eq!(ratio(Some(0.001)), "<0.01");
        assert_eq!(ratio(Some(8.0)), "8.00");
        assert_eq!(ratio(Some(1.96)), "1.96");
        assert_eq!(ratio(Some(4096.4)), "4096");
        assert_eq!(ratio(Some(f64::MAX)), ">999999");
    }

    #[test]
    fn shares() {
        assert_eq!(share(0, 0), "-");
        assert_eq!(share(0, 5), "0%");
        assert_eq!(share(1, 1_000), "<1%");
        assert_eq!(share(999, 1_000), ">99%");
        assert_eq!(share(1_000, 1_000), "100%");
        assert_eq!(share(1_400, 1_600), "88%");
        assert_eq!(share(u64::MAX - 1, u64::MAX), ">99%");
    }
}
