//! How long connections waited to be accepted.

use ratatui::text::Line;

use super::{
    gauge,
    part::{About, Part},
    style,
};
use observer::{
    model::{AcceptWait, Bucket},
    units,
};

/// Upper bounds of the bars, in nanoseconds: two for each power of ten.
const BOUNDS: [u64; 15] = [
    3_000,
    10_000,
    30_000,
    100_000,
    300_000,
    1_000_000,
    3_000_000,
    10_000_000,
    30_000_000,
    100_000_000,
    300_000_000,
    1_000_000_000,
    3_000_000_000,
    10_000_000_000,
    u64::MAX,
];

/// The part; `None` where none was accepted and none waits.
pub fn part(about: &About<'_>) -> Option<Part> {
    let all: Vec<&AcceptWait> = about.row.listeners().map(|one| &one.accept_wait).collect();
    let one = match all[..] {
        [one] => Some(one),
        _ => None,
    };
    let mut told = Vec::new();
    if let Some(wait) = one {
        let named = [("p50", wait.p50), ("p90", wait.p90), ("p99", wait.p99), ("max", wait.max)];
        told.extend(
            named
                .iter()
                .filter_map(|(name, wait)| Some(format!("{name} {}", units::time((*wait)?)))),
        );
    }
    if let Some(oldest) = all.iter().filter_map(|wait| wait.oldest).max() {
        told.push(format!("the oldest in the queue waits for {}", units::time(oldest)));
    }
    let counts = bars(all.iter().flat_map(|wait| &wait.histogram));
    if told.is_empty() && counts.is_empty() {
        return None;
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let sum: u64 = counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
    let width = about.width.saturating_sub(10 + 10 + 6).clamp(4, 40);
    let line = |(bound, count): &(u64, u64)| {
        #[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
        let bar = gauge::bar(*count as f64, most as f64, width);
        let bound = match *bound {
            u64::MAX => "longer".to_owned(),
            bound => format!("≤ {}", brief(bound)),
        };
        Line::raw(format!(
            "  {} {bar} {} {}",
            style::field(&bound, 8, true),
            style::field(&units::short_count(*count), 7, true),
            style::field(&units::share(*count, sum), 4, true),
        ))
    };
    Some(Part {
        name: "ACCEPT WAIT",
        beside: told.join(", "),
        lines: counts.iter().map(line).collect(),
    })
}

/// `3 µs`, without the decimal that whole bounds do not have.
fn brief(bound: u64) -> String {
    match (bound / 1_000_000, bound / 1_000_000_000) {
        (0, _) => format!("{} µs", bound / 1_000),
        (milliseconds, 0) => format!("{milliseconds} ms"),
        (_, seconds) => format!("{seconds} s"),
    }
}

/// Waits by bound, from the first that has any to the last. A bucket counts where its own bound is.
fn bars<'a>(buckets: impl Iterator<Item = &'a Bucket>) -> Vec<(u64, u64)> {
    let mut counts = [0_u64; BOUNDS.len()];
    for bucket in buckets {
        let at = BOUNDS.iter().position(|bound| bucket.le <= *bound).unwrap_or(BOUNDS.len() - 1);
        counts[at] = counts[at].saturating_add(bucket.count);
    }
    let first = counts.iter().position(|count| *count > 0);
    let last = counts.iter().rposition(|count| *count > 0);
    let Some((first, last)) = first.zip(last) else { return Vec::new() };
    BOUNDS[first..=last].iter().copied().zip(counts[first..=last].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stand_between_the_first_and_the_last() {
        let bucket = |le, count| Bucket { le, count };
        let all = [bucket(900, 0), bucket(2_900, 3), bucket(90_000, 5), bucket(100_000, 1)];
        assert_eq!(bars(all.iter()), [(3_000, 3), (10_000, 0), (30_000, 0), (100_000, 6)]);
        assert_eq!(bars([bucket(u64::MAX, 1)].iter()), [(u64::MAX, 1)]);
        assert!(bars([].iter()).is_empty());
    }
}
