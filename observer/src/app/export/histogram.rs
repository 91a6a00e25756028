//! Histograms of the metrics, made of the buckets of reports. Pure.

use std::collections::BTreeMap;

use observer::model::Bucket;

/// How values are put into buckets.
#[derive(Debug)]
pub struct Scale {
    /// What a unit of the report is worth in that of the metric.
    pub unit: f64,
    /// Upper bounds of the classic buckets, inclusive, in the metric's unit.
    pub bounds: &'static [f64],
    /// Schema of the native buckets: each power of two has 2 to the power of this many.
    pub schema: i32,
    /// Whether the greatest value of a bucket of the report stands for it, and not its middle.
    pub at_bound: bool,
}

/// Accept waits: nanoseconds become seconds. The buckets of reports are narrower than these.
pub const WAIT: Scale = Scale {
    unit: 1e-9,
    bounds: &[
        0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0,
        60.0,
    ],
    schema: 3,
    at_bound: false,
};

/// Depths of accept queues: the buckets of reports are powers of two, and so are these.
pub const DEPTH: Scale = Scale {
    unit: 1.0,
    bounds: &[
        1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0, 65536.0,
    ],
    schema: 0,
    at_bound: true,
};

/// Longest value that counts into a sum as it is, in the report's unit: the last bucket has no upper bound.
const OPEN_ENDED: u64 = 1 << 47;

/// Values by size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Number of values.
    pub count: u64,
    /// Sum of the values, in the metric's unit, each taken for the middle of its bucket.
    pub sum: f64,
    /// Number of values in each of [`Scale::bounds`], not cumulative; what is above the last is in none.
    pub classic: Vec<u64>,
    /// Number of values of 0.
    pub zero: u64,
    /// Number of values in each native bucket.
    pub native: BTreeMap<i32, u64>,
}

impl Histogram {
    /// Adds the buckets of an interval.
    pub fn add(&mut self, buckets: &[Bucket], scale: &Scale) {
        self.classic.resize(scale.bounds.len(), 0);
        let mut below = None;
        for bucket in buckets {
            // The bucket begins behind the one below it.
            let least = below.map_or(0, |le: u64| le.saturating_add(1)).min(bucket.le);
            below = Some(bucket.le);
            if bucket.count != 0 {
                self.add_bucket(least, *bucket, scale);
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "waits and depths are far below 2^52")]
    fn add_bucket(&mut self, least: u64, bucket: Bucket, scale: &Scale) {
        let greatest = if bucket.le > OPEN_ENDED { least } else { bucket.le };
        let middle = least.midpoint(greatest) as f64 * scale.unit;
        let value = if scale.at_bound { greatest as f64 * scale.unit } else { middle };
        self.count = self.count.saturating_add(bucket.count);
        self.sum += middle * bucket.count as f64;
        if let Some(at) = scale.bounds.iter().position(|bound| value <= *bound) {
            self.classic[at] = self.classic[at].saturating_add(bucket.count);
        }
        let native = match native_bucket(value, scale.schema) {
            Some(index) => self.native.entry(index).or_default(),
            None => &mut self.zero,
        };
        *native = native.saturating_add(bucket.count);
    }

    /// Classic buckets, each with its upper bound and what it has for itself, and the last without a bound.
    #[must_use]
    pub fn classic_buckets(&self, scale: &Scale) -> Vec<(f64, u64)> {
        let bounded = self.classic.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let of = |(at, bound): (usize, &f64)| (*bound, self.classic.get(at).copied().unwrap_or(0));
        let mut buckets: Vec<_> = scale.bounds.iter().enumerate().map(of).collect();
        buckets.push((f64::INFINITY, self.count.saturating_sub(bounded)));
        buckets
    }

    /// Native buckets: spans of those that follow each other, as the distance from the one before and a length, and the
    /// difference of each count from the one before.
    #[must_use]
    pub fn native_buckets(&self) -> (Vec<(i32, u32)>, Vec<i64>) {
        let (mut spans, mut deltas) = (Vec::<(i32, u32)>::new(), Vec::new());
        let (mut next, mut before) = (0, 0);
        for (index, count) in &self.native {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            match spans.last_mut() {
                Some((_, length)) if *index == next => *length += 1,
                _ => spans.push((*index - next, 1)),
            }
            deltas.push(count - before);
            (next, before) = (*index + 1, count);
        }
        (spans, deltas)
    }
}

/// The native bucket of a value: its upper bound is 2 to the power of index / 2^schema. `None` for 0.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a binary exponent is below 2^11, with a schema up to 8 below 2^19"
)]
fn native_bucket(value: f64, schema: i32) -> Option<i32> {
    if value <= 0.0 {
        return None;
    }
    let per_power = f64::from(1 << schema);
    let exact = value.log2() * per_power;
    // What a power of two is off by in floating point is not another bucket.
    let nearest = exact.round();
    Some(if (exact - nearest).abs() < 1e-9 { nearest } else { exact.ceil() } as i32)
}

#[cfg(test)]
mod tests;
