use observer::model::Bucket;

use super::{DEPTH, Histogram, WAIT, native_bucket};

fn buckets(pairs: &[(u64, u64)]) -> Vec<Bucket> {
    pairs.iter().map(|(le, count)| Bucket { le: *le, count: *count }).collect()
}

#[test]
fn depths_are_exact_by_powers_of_two() {
    let mut histogram = Histogram::default();
    histogram.add(&buckets(&[(0, 0), (1, 5), (2, 3), (4, 2)]), &DEPTH);
    histogram.add(&buckets(&[(0, 0), (1, 1)]), &DEPTH);
    assert_eq!(histogram.count, 11);
    let classic = histogram.classic_buckets(&DEPTH);
    assert_eq!(classic[..4], [(1.0, 6), (2.0, 3), (4.0, 2), (8.0, 0)]);
    assert_eq!(classic.last(), Some(&(f64::INFINITY, 0)));
    // 6 of 1, 3 of 2, and 2 of 3 or 4.
    assert!((histogram.sum - 18.0).abs() < 1e-9, "{}", histogram.sum);
    assert_eq!(histogram.native_buckets(), (vec![(0, 3)], vec![6, -3, -1]));
}

#[test]
fn a_depth_that_nobody_counts_is_above_all_bounds() {
    let mut histogram = Histogram::default();
    histogram.add(&buckets(&[(1 << 20, 0), (u64::from(u32::MAX), 7)]), &DEPTH);
    assert_eq!(histogram.classic_buckets(&DEPTH).last(), Some(&(f64::INFINITY, 7)));
    assert_eq!(histogram.count, 7);
}

#[test]
fn waits_are_seconds_and_lie_between_their_bounds() {
    let mut histogram = Histogram::default();
    // 1 ms to 1.06 ms, and no bound below that of the first but the one that is told.
    let last = (1 << 46) - 1;
    histogram.add(&buckets(&[(999_999, 0), (1_060_000, 4), (last, 0), (u64::MAX, 1)]), &WAIT);
    let classic = histogram.classic_buckets(&WAIT);
    let counted: Vec<_> = classic.iter().filter(|(_, count)| *count != 0).collect();
    assert_eq!(counted, [&(0.005, 4), &(f64::INFINITY, 1)]);
    assert_eq!(histogram.count, 5);
    assert!(histogram.sum.is_finite());
}

#[test]
fn native_buckets_hold_what_is_at_most_their_bound() {
    for schema in 0..=4 {
        let per_power = 1 << schema;
        assert_eq!(native_bucket(1.0, schema), Some(0));
        assert_eq!(native_bucket(2.0, schema), Some(per_power));
        assert_eq!(native_bucket(2.000_001, schema), Some(per_power + 1));
        assert_eq!(native_bucket(0.5, schema), Some(-per_power));
    }
    assert_eq!(native_bucket(0.0, 3), None);
    for power in -30..20 {
        assert_eq!(native_bucket(f64::from(power).exp2(), 3), Some(power * 8), "{power}");
    }
}

#[test]
fn spans_tell_the_gaps() {
    let mut histogram = Histogram::default();
    for index in [-3, -2, 4] {
        histogram.native.insert(index, 2);
    }
    assert_eq!(histogram.native_buckets(), (vec![(-3, 2), (5, 1)], vec![2, 0, 0]));
    assert_eq!(Histogram::default().native_buckets(), (vec![], vec![]));
}
