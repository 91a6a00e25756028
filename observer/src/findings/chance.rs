//! What chance alone explains.

/// Probability below which chance is no explanation: with a report a second for a thousand listeners, one
/// false alarm in a quarter of an hour of nothing but chance would be too many; this is one in many days,
/// since the bounds here are far above the probabilities themselves.
pub(super) const NO_CHANCE: f64 = 1e-6;

/// Upper bound on the probability that one of `workers`, any of them, gets `most` or more of `all`
/// connections, if each connection goes to any worker with the same chance.
///
/// For one worker it is the tail of a binomial distribution, bounded by Chernoff: `exp(-all * D)`, with the
/// relative entropy `D` of `most / all` to `1 / workers`. For any of them it is `workers` times that. 1 where
/// nothing can be said.
#[expect(clippy::cast_precision_loss, reason = "an order of magnitude is wanted")]
pub(super) fn of_so_many(most: u64, all: u64, workers: usize) -> f64 {
    let (count, share) = (workers as f64, most as f64 / all as f64);
    let fair = 1.0 / count;
    if workers < 2 || all == 0 || share <= fair || share > 1.0 {
        return 1.0;
    }
    let part = |share: f64, fair: f64| if share > 0.0 { share * (share / fair).ln() } else { 0.0 };
    let entropy = part(share, fair) + part(1.0 - share, 1.0 - fair);
    (count * (-(all as f64) * entropy).exp()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_share_is_chance() {
        for (most, all, workers) in [(5, 10, 2), (1, 4, 4), (0, 0, 4), (3, 10, 4), (7, 7, 1)] {
            assert!(of_so_many(most, all, workers) > 0.1, "{most} of {all} for {workers}");
        }
        assert!((of_so_many(9, 3, 4) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn it_bounds_the_true_probability_from_above() {
        // All of n to one of k has probability k * k^-n.
        for (all, workers) in [(2_u64, 2_usize), (10, 2), (20, 4), (6, 8)] {
            let exact = (workers as f64).powi(1 - i32::try_from(all).expect("small"));
            let bound = of_so_many(all, all, workers);
            assert!(bound >= exact * 0.999, "{bound} {exact}");
            assert!(bound <= exact * 1.001, "with all of them it is exact: {bound} {exact}");
        }
        // 60 heads or more of 100 on either side: 0.057.
        assert!(of_so_many(60, 100, 2) > 0.057);
    }

    #[test]
    fn more_connections_leave_less_to_chance() {
        // All of 20 to one of two: 2 * 2^-20 is above one in a million, of 21 below.
        assert!(of_so_many(20, 20, 2) > NO_CHANCE);
        assert!(of_so_many(21, 21, 2) < NO_CHANCE);
        // Nine of ten.
        assert!(of_so_many(27, 30, 2) > NO_CHANCE);
        assert!(of_so_many(90, 100, 2) < NO_CHANCE);
        assert!(of_so_many(900_000_000, 1_000_000_000, 2) < NO_CHANCE);
    }
}
