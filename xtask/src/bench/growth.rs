//! How a figure grows with what there is more of: by which factor at each step, and what that is. Pure.

use super::{
    figure::{Along, Figure, Point},
    maths::grouped,
    measured::Measured,
};

/// A row of points: one figure, with more and more of one thing.
#[derive(Debug)]
pub(crate) struct Growth<'a> {
    pub(crate) place: &'a str,
    pub(crate) what: &'a str,
    pub(crate) along: Along,
    pub(crate) points: Vec<&'a Point>,
}

/// A part of the greatest value by which what is constant may differ.
const CONSTANT: f64 = 0.1;
/// A part of a value by which it may lie beside the line.
const LINEAR: f64 = 0.25;

/// All of them, each with its points from the least.
pub(crate) fn growths(all: &[Measured]) -> Vec<Growth<'_>> {
    let mut growths: Vec<Growth<'_>> = Vec::new();
    for one in all {
        let Figure::Point(point) = &one.figure else { continue };
        let same = |growth: &&mut Growth<'_>| {
            growth.place == one.place && growth.what == point.what && growth.along == point.along
        };
        match growths.iter_mut().find(same) {
            Some(growth) => growth.points.push(point),
            None => growths.push(Growth {
                place: &one.place,
                what: &point.what,
                along: point.along,
                points: vec![point],
            }),
        }
    }
    for growth in &mut growths {
        growth.points.sort_by_key(|point| point.at);
    }
    growths
}

impl Growth<'_> {
    /// How many there were.
    pub(crate) fn sizes(&self) -> String {
        self.join(|point| grouped(point.at as f64))
    }

    /// What was measured.
    pub(crate) fn values(&self) -> String {
        self.join(|point| short(point.value))
    }

    fn join(&self, cell: impl Fn(&Point) -> String) -> String {
        self.points.iter().map(|point| cell(point)).collect::<Vec<_>>().join(", ")
    }

    /// The factor at each step.
    pub(crate) fn factors(&self) -> String {
        let steps = self.points.windows(2).map(|pair| {
            let factor = pair[1].value / pair[0].value;
            if factor.is_finite() && factor > 0.0 {
                format!("×{factor:.2}")
            } else {
                "–".to_owned()
            }
        });
        steps.collect::<Vec<_>>().join(", ")
    }

    /// What that is.
    pub(crate) fn words(&self) -> String {
        let [first, middle @ .., last] = &self.points[..] else {
            return "one point only".to_owned();
        };
        if middle.is_empty() {
            return "two points only".to_owned();
        }
        let measured = self.points.iter().map(|point| point.noise).fold(0.0, f64::max);
        let values = || self.points.iter().map(|point| point.value);
        let (least, most) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let noise = measured.max(CONSTANT * most.abs());
        if most - least <= noise {
            return "constant".to_owned();
        }
        let mut highest = f64::NEG_INFINITY;
        let falls = |value: f64| {
            highest = highest.max(value);
            highest - value > noise
        };
        // More of it never makes less: what falls was disturbed.
        if values().any(falls) {
            return "uneven".to_owned();
        }
        // The line through both ends, and whether what is between lies on it.
        let each = (last.value - first.value) / (last.at - first.at) as f64;
        let start = first.value - each * first.at as f64;
        let beside = |point: &Point| {
            let line = start + each * point.at as f64;
            let beside = point.value - line;
            if beside.abs() <= measured.max(LINEAR * line.abs()) { 0.0 } else { beside }
        };
        let beside: Vec<_> = middle.iter().map(|point| beside(point)).collect();
        let above = beside.iter().any(|one| *one > 0.0);
        let below = beside.iter().any(|one| *one < 0.0);
        match (above, below) {
            (false, false) if start.abs() <= measured.max(LINEAR * first.value.abs()) => {
                format!("linear: {} each", short(each))
            }
            (false, false) => format!("{} and linear: {} each", short(start), short(each)),
            (true, false) => "less than linear".to_owned(),
            (false, true) => "more than linear".to_owned(),
            (true, true) => "uneven".to_owned(),
        }
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    if value.abs() >= 100.0 {
        return grouped(value);
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // A size of ten has one digit less behind the point; what is very small has a few more.
    #[expect(clippy::cast_possible_truncation, reason = "an exponent")]
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 9);
    format!("{value:.*}", usize::try_from(digits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measured::Part;

    fn measured(values: &[(u64, f64)], noise: f64) -> Vec<Measured> {
        let point = |(at, value): &(u64, f64)| Measured {
            part: Part::Userspace,
            place: "here".to_owned(),
            figure: Figure::Point(Point {
                along: Along::Listeners,
                at: *at,
                what: "CPU".to_owned(),
                value: *value,
                noise,
            }),
        };
        values.iter().map(point).collect()
    }

    fn words(values: &[(u64, f64)], noise: f64) -> String {
        let all = measured(values, noise);
        growths(&all)[0].words()
    }

    #[test]
    fn what_stays_is_constant() {
        assert_eq!(words(&[(10, 8.0), (100, 8.1), (1000, 7.9)], 0.0), "constant");
        assert_eq!(words(&[(10, 0.1), (100, 0.3), (1000, 0.2)], 0.5), "constant");
    }

    #[test]
    fn what_grows_as_they_do_is_linear() {
        assert_eq!(words(&[(10, 1.0), (100, 11.0), (1000, 100.0)], 0.0), "linear: 0.100 each");
        assert_eq!(
            words(&[(1000, 63.0), (10, 62.01), (100, 62.1), (10_000, 72.0)], 0.0),
            "62.0 and linear: 0.00100 each"
        );
    }

    #[test]
    fn what_does_not_is_neither() {
        assert_eq!(words(&[(10, 1.0), (100, 3.0), (1000, 9.0)], 0.0), "less than linear");
        assert_eq!(words(&[(10, 1.0), (100, 100.0), (1000, 10_000.0)], 0.0), "more than linear");
        assert_eq!(words(&[(1, 1.0), (2, 9.0), (3, 1.0), (4, 10.0)], 0.0), "uneven");
        assert_eq!(words(&[(1, 9.0), (10, 5.0), (100, 1.0)], 0.0), "uneven");
        assert_eq!(words(&[(1, 1.0), (10, 9.0)], 0.0), "two points only");
    }

    #[test]
    fn a_row_has_a_factor_for_each_step() {
        let all = measured(&[(10, 2.0), (1000, 500.0), (100, 5.0)], 0.0);
        let growths = growths(&all);
        assert_eq!(growths.len(), 1);
        assert_eq!(growths[0].sizes(), "10, 100, 1,000");
        assert_eq!(growths[0].values(), "2.00, 5.00, 500");
        assert_eq!(growths[0].factors(), "×2.50, ×100.00");
        let all = measured(&[(10, 0.0), (100, 5.0)], 0.0);
        assert_eq!(super::growths(&all)[0].factors(), "–");
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.0, "0"), (0.001_234, "0.00123"), (62.04, "62.0"), (9170.4, "9,170")]
        {
            assert_eq!(short(value), text);
        }
    }
}
