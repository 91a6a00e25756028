//! Bucket maths of accept waits: log-linear, so that a percentile is as good for microseconds as for
//! minutes.
//!
//! Each power of two has sixteen buckets of equal width. A bucket is at most a sixteenth of its
//! lower bound wide, so that its middle is within 3.2 % of everything in it.

/// Bits of the place within a power of two.
const BITS: u32 = 4;
/// Buckets of each power of two.
const STEPS: u64 = 1 << BITS;

/// Waits of this many nanoseconds and more (19.5 hours) share the last bucket.
pub const WAIT_CAP: u64 = 1 << 46;

/// The last bucket.
pub const LAST_WAIT_BUCKET: u32 = wait_bucket(WAIT_CAP);

/// The bucket that a wait of `nanoseconds` falls into.
#[must_use]
#[inline(always)]
pub const fn wait_bucket(nanoseconds: u64) -> u32 {
    let value = if nanoseconds > WAIT_CAP { WAIT_CAP } else { nanoseconds };
    if value < STEPS {
        return value as u32;
    }
    // Halvings instead of `leading_zeros`, which the BPF instruction set lacks.
    let mut rest = value;
    let mut log = 0;
    if rest >= 1 << 32 {
        rest >>= 32;
        log += 32;
    }
    if rest >= 1 << 16 {
        rest >>= 16;
        log += 16;
    }
    if rest >= 1 << 8 {
        rest >>= 8;
        log += 8;
    }
    if rest >= 1 << 4 {
        rest >>= 4;
        log += 4;
    }
    if rest >= 1 << 2 {
        rest >>= 2;
        log += 2;
    }
    if rest >= 1 << 1 {
        log += 1;
    }
    let step = (value >> (log - BITS)) & (STEPS - 1);
    ((log - BITS + 1) << BITS) + step as u32
}

/// The least and the greatest wait of a bucket, in nanoseconds; `None` when there is no such bucket.
#[must_use]
pub const fn wait_bounds(bucket: u32) -> Option<(u64, u64)> {
    if bucket > LAST_WAIT_BUCKET {
        return None;
    }
    let least = least(bucket);
    let greatest = if bucket == LAST_WAIT_BUCKET { u64::MAX } else { least_of_next(bucket) };
    Some((least, greatest))
}

const fn least(bucket: u32) -> u64 {
    let power = bucket >> BITS;
    if power == 0 {
        return bucket as u64;
    }
    (STEPS + bucket as u64 % STEPS) << (power - 1)
}

const fn least_of_next(bucket: u32) -> u64 {
    least(bucket + 1) - 1
}

#[cfg(test)]
mod tests {
    use super::{LAST_WAIT_BUCKET, WAIT_CAP, wait_bounds, wait_bucket};

    #[test]
    fn buckets_follow_each_other_without_gap() {
        let mut next = 0;
        for bucket in 0..=LAST_WAIT_BUCKET {
            let (least, greatest) = wait_bounds(bucket).expect("a bucket that exists");
            assert_eq!(least, next, "bucket {bucket}");
            assert!(greatest >= least);
            next = greatest.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket holds everything else");
        assert_eq!(wait_bounds(LAST_WAIT_BUCKET + 1), None);
    }

    #[test]
    fn each_wait_is_within_its_bucket() {
        let edges = (0..64).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + 1, power + power / 3]
        });
        for wait in edges.chain([WAIT_CAP - 1, WAIT_CAP, WAIT_CAP + 1, u64::MAX]) {
            let (least, greatest) = wait_bounds(wait_bucket(wait)).expect("a bucket that exists");
            assert!((least..=greatest).contains(&wait), "{wait}: {least} to {greatest}");
        }
    }

    #[test]
    fn buckets_are_narrow() {
        for bucket in 32..LAST_WAIT_BUCKET {
            let (least, greatest) = wait_bounds(bucket).expect("a bucket that exists");
            assert!(greatest - least < least / 16 + 1, "bucket {bucket}: {least} to {greatest}");
        }
    }
}
