//! Bucket maths of the accept queue's depth.

/// Buckets of the depth: 0, then one per power of two up to 2^20, then everything above.
///
/// A backlog is a `u32`, but a queue of more than a million connections is no longer a matter of
/// its exact depth.
pub const DEPTH_BUCKETS: usize = 23;

/// The bucket that `depth` falls into: what is above the previous bucket's bound and at most its
/// own (see [`depth_bound`]).
#[must_use]
#[inline(always)]
pub fn depth_bucket(depth: u32) -> usize {
    // Written without `leading_zeros`, which the BPF instruction set lacks and LLVM expands to a
    // long sequence: five halvings are short and have no loop for the verifier to walk.
    if depth <= 1 {
        return depth as usize;
    }
    let mut rest = depth - 1;
    let mut log = 1;
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
    if log + 1 < DEPTH_BUCKETS { log + 1 } else { DEPTH_BUCKETS - 1 }
}

/// The greatest depth of a bucket, `None` when there is no such bucket.
#[must_use]
pub fn depth_bound(bucket: usize) -> Option<u64> {
    match bucket {
        0 => Some(0),
        last if last == DEPTH_BUCKETS - 1 => Some(u64::from(u32::MAX)),
        bucket if bucket < DEPTH_BUCKETS => Some(1 << (bucket - 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{DEPTH_BUCKETS, depth_bound, depth_bucket};

    #[test]
    fn each_depth_is_within_its_bucket_and_above_the_previous() {
        let edges = (0..=40).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power.saturating_sub(1), power, power + 1]
        });
        for depth in edges.filter_map(|depth| u32::try_from(depth).ok()).chain([0, u32::MAX]) {
            let bucket = depth_bucket(depth);
            let bound = depth_bound(bucket).expect("a bucket that exists");
            assert!(u64::from(depth) <= bound, "{depth} in {bucket}");
            if bucket > 0 {
                let previous = depth_bound(bucket - 1).expect("a bucket that exists");
                assert!(u64::from(depth) > previous, "{depth} in {bucket}");
            }
        }
    }

    #[test]
    fn bounds_rise_and_end() {
        for bucket in 1..DEPTH_BUCKETS {
            assert!(depth_bound(bucket) > depth_bound(bucket - 1));
        }
        assert_eq!(depth_bound(DEPTH_BUCKETS), None);
    }
}
