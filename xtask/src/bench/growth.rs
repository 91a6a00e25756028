//! Growth of a figure with what there is more of: the factor of each step, and the kind of growth. Pure.

use serde_json::{Value, json};

use super::{
    figure::{Along, Figure, Point},
    stats::{grouped, significant},
    store::Run,
};

/// Points of one figure, with more and more of one thing.
#[derive(Debug)]
struct Growth<'a> {
    place: &'a str,
    what: &'a str,
    along: Along,
    points: Vec<&'a Point>,
}

/// A part of the greatest value by which what is constant may differ.
const CONSTANT: f64 = 0.1;
/// A part of a value by which it may lie beside the line.
const LINEAR: f64 = 0.25;

/// Row of the page for each of them.
pub(super) fn rows(runs: &[Run]) -> Vec<Value> {
    let row = |growth: &Growth<'_>| {
        let join = |cell: fn(&Point) -> String| {
            growth.points.iter().map(|point| cell(point)).collect::<Vec<_>>().join(", ")
        };
        json!({
            "place": growth.place, "what": growth.what, "along": growth.along.name(),
            "sizes": join(|point| grouped(point.at as f64)),
            "values": join(|point| significant(point.value)),
            "factors": growth.factors(), "kind": growth.kind(),
        })
    };
    growths(runs).iter().map(row).collect()
}

/// All of them, the points of each from the smallest size on.
fn growths(runs: &[Run]) -> Vec<Growth<'_>> {
    let mut growths: Vec<Growth<'_>> = Vec::new();
    for (run, figure) in runs.iter().flat_map(|run| run.figures.iter().map(move |of| (run, of))) {
        let Figure::Point(point) = figure else { continue };
        let Point { along, what, .. } = point;
        let of = |growth: &&mut Growth<'_>| {
            (growth.place, growth.what, growth.along) == (&*run.place, what, *along)
        };
        match growths.iter_mut().find(of) {
            Some(growth) => growth.points.push(point),
            None => {
                growths.push(Growth { place: &run.place, what, along: *along, points: vec![point] })
            }
        }
    }
    growths.iter_mut().for_each(|growth| growth.points.sort_by_key(|point| point.at));
    growths
}

impl Growth<'_> {
    /// The factor at each step.
    fn factors(&self) -> String {
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

    /// Kind of growth.
    fn kind(&self) -> String {
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
                format!("linear: {} each", significant(each))
            }
            (false, false) => {
                format!("{} and linear: {} each", significant(start), significant(each))
            }
            (true, false) => "less than linear".to_owned(),
            (false, true) => "more than linear".to_owned(),
            (true, true) => "uneven".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::store::tests::sample, *};

    fn row(values: &[(u64, f64)], noise: f64) -> Value {
        let point = |(at, value): &(u64, f64)| {
            let (along, what) = (Along::Listeners, "CPU".to_owned());
            Figure::Point(Point { along, at: *at, what, value: *value, noise })
        };
        let run = Run { figures: values.iter().map(point).collect(), ..sample().remove(0) };
        let mut rows = rows(&[run]);
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    fn kind(values: &[(u64, f64)], noise: f64) -> String {
        row(values, noise)["kind"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_stays_is_constant() {
        assert_eq!(kind(&[(10, 8.0), (100, 8.1), (1000, 7.9)], 0.0), "constant");
        assert_eq!(kind(&[(10, 0.1), (100, 0.3), (1000, 0.2)], 0.5), "constant");
    }

    #[test]
    fn what_grows_as_they_do_is_linear() {
        assert_eq!(kind(&[(10, 1.0), (100, 11.0), (1000, 100.0)], 0.0), "linear: 0.100 each");
        assert_eq!(
            kind(&[(1000, 63.0), (10, 62.01), (100, 62.1), (10_000, 72.0)], 0.0),
            "62.0 and linear: 0.00100 each"
        );
    }

    #[test]
    fn what_does_not_is_neither() {
        assert_eq!(kind(&[(10, 1.0), (100, 3.0), (1000, 9.0)], 0.0), "less than linear");
        assert_eq!(kind(&[(10, 1.0), (100, 100.0), (1000, 10_000.0)], 0.0), "more than linear");
        assert_eq!(kind(&[(1, 1.0), (2, 9.0), (3, 1.0), (4, 10.0)], 0.0), "uneven");
        assert_eq!(kind(&[(1, 9.0), (10, 5.0), (100, 1.0)], 0.0), "uneven");
        assert_eq!(kind(&[(1, 1.0), (10, 9.0)], 0.0), "two points only");
    }

    #[test]
    fn a_row_has_a_factor_for_each_step() {
        let row = row(&[(10, 2.0), (1000, 500.0), (100, 5.0)], 0.0);
        assert_eq!(
            (&row["sizes"], &row["values"]),
            (&json!("10, 100, 1,000"), &json!("2.00, 5.00, 500"))
        );
        assert_eq!(row["factors"], "×2.50, ×100.00");
        assert_eq!(super::tests::row(&[(10, 0.0), (100, 5.0)], 0.0)["factors"], "–");
    }
}
