//! What was promised, and whether it holds. Pure.

use serde_json::{Value, json};

use super::{
    figure::{Case, Figure, Instructions, Load, Speed, Tool, With},
    maths::{median, paired},
    measured::Measured,
};

/// A promise, set beside what was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) place: String,
    /// What it is about: the row of a table.
    pub(crate) row: String,
    /// What is limited.
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) limit: f64,
}

impl Goal {
    /// Whether it holds.
    pub(crate) fn met(&self) -> bool {
        self.value <= self.limit
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let Self { what, value, limit, .. } = self;
        let promise = format!("{what} ≤ {}", number(*limit));
        let promise = promise.trim_start();
        if self.met() {
            format!("{promise}: met")
        } else {
            format!("{promise}: missed by {}", number(value - limit))
        }
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let Self { place, row, what, value, limit } = self;
        json!({"figure": "goal", "place": place, "row": row, "what": what, "value": value,
            "limit": limit, "met": self.met()})
    }
}

/// All goals of a row, in words.
pub(crate) fn words(goals: &[Goal], place: &str, row: &str) -> String {
    let of = goals.iter().filter(|goal| goal.place == place && goal.row == row);
    of.map(Goal::words).collect::<Vec<_>>().join("; ")
}

/// Whole numbers without a fraction, others with one digit, small ones with two.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value.abs() < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

/// The name of a row.
pub(crate) fn row(case: Case, with: &With) -> String {
    format!("{}, {}", case.name(), with.name())
}

/// The middle of what was measured at a place, for a case beside a tool.
pub(crate) fn instructions(all: &[Measured], place: &str, case: Case, with: &With) -> Option<f64> {
    all.iter().filter(|one| one.place == place).find_map(|one| match &one.figure {
        Figure::Instructions(of) if of.case == case && of.with == *with => median(&of.each),
        _ => None,
    })
}

/// How fast the loop was beside a tool, in each round.
pub(crate) fn speed<'a>(all: &'a [Measured], with: &With) -> Option<&'a Speed> {
    all.iter().find_map(|one| match &one.figure {
        Figure::Speed(of) if of.with == *with => Some(of),
        _ => None,
    })
}

/// By which part the loop was slower beside one tool than beside another, in the same rounds.
fn loss(of: &Speed, than: &Speed) -> Option<f64> {
    paired(&of.rounds, &than.rounds).map(|(middle, ..)| -middle)
}

/// Every promise that what was measured tells about.
pub(crate) fn goals(all: &[Measured]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for Measured { place, figure, .. } in all {
        match figure {
            Figure::Instructions(of) => goals.extend(of_instructions(all, place, of)),
            Figure::Speed(of) => goals.extend(of_speed(all, place, of)),
            Figure::Need(need) => goals.extend(need.target.map(|limit| Goal {
                place: place.clone(),
                row: need.what.clone(),
                what: "",
                value: need.value,
                limit,
            })),
            Figure::Load(load) => goals.push(Goal {
                place: place.clone(),
                row: load.what.clone(),
                what: "lost and not said",
                value: unsaid(load),
                limit: 0.0,
            }),
            Figure::Kernel(_)
            | Figure::Program(_)
            | Figure::Point(_)
            | Figure::Missing(_)
            | Figure::Machine(_)
            | Figure::End(_) => {}
        }
    }
    goals
}

/// What is not in the report, less what the report says is not in it. More than was made is as wrong.
fn unsaid(load: &Load) -> f64 {
    if load.seen > load.made {
        return (load.seen - load.made) as f64;
    }
    (load.made - load.seen).saturating_sub(load.map_full + load.missed_runs) as f64
}

fn of_instructions(all: &[Measured], place: &str, of: &Instructions) -> Vec<Goal> {
    let goal = |what, value, limit| Goal {
        place: place.to_owned(),
        row: row(of.case, &of.with),
        what,
        value,
        limit,
    };
    let at = |tool, by: &str| instructions(all, place, of.case, &With::new(tool, by));
    let by = of.with.by.as_str();
    let (Some(with), Some(none), Some(floor)) =
        (median(&of.each), at(Tool::None, ""), at(Tool::Floor, by))
    else {
        return Vec::new();
    };
    let part = 100.0 * (with - none) / none;
    let times = (with - none) / (floor - none);
    // fentry, or what observer takes by itself where fentry alone is refused.
    let best = matches!(by, "fentry" | "auto");
    match (of.with.tool, of.case) {
        (Tool::Observer, Case::Herd) if best => {
            vec![goal("% of none", part, 3.0), goal("times the floor", times, 2.0)]
        }
        (Tool::Observer, Case::One) if best => vec![goal("% of none", part, 2.0)],
        (Tool::Observer, Case::Pipe) => vec![goal("over the floor", with - floor, 40.0)],
        (Tool::Filtered, _) => vec![goal("over the floor", with - floor, 200.0)],
        _ => Vec::new(),
    }
}

fn of_speed(all: &[Measured], place: &str, of: &Speed) -> Vec<Goal> {
    if of.with.tool != Tool::Observer {
        return Vec::new();
    }
    let goal = |what, value, limit| Goal {
        place: place.to_owned(),
        row: of.with.name(),
        what,
        value,
        limit,
    };
    let mut goals = Vec::new();
    let floor = speed(all, &With::new(Tool::Floor, &of.with.by));
    if let Some(loss) = floor.and_then(|floor| loss(of, floor)) {
        goals.push(goal("% below the floor", 100.0 * loss, 2.0));
    }
    let none = speed(all, &With::new(Tool::None, ""));
    if let (Some(none), Some(peer)) = (none, speed(all, &With::new(Tool::Peer, "bpftrace")))
        && let (Some(ours), Some(theirs)) = (loss(of, none), loss(peer, none))
    {
        goals.push(goal("of bpftrace's loss", ours / theirs, 0.5));
    }
    goals
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bench::measured::Part;

    /// A case beside nothing, the floor and observer.
    pub(crate) fn herd(none: f64, floor: f64, observer: f64) -> Vec<Measured> {
        let one = |tool, by: &str, value: f64| Measured {
            part: Part::Icount,
            place: "6.12".to_owned(),
            figure: Figure::Instructions(Instructions {
                case: Case::Herd,
                with: With::new(tool, by),
                each: vec![value - 1.0, value, value + 1.0],
                wakeups: 8.0,
            }),
        };
        vec![
            one(Tool::None, "", none),
            one(Tool::Floor, "fentry", floor),
            one(Tool::Observer, "fentry", observer),
        ]
    }

    #[test]
    fn a_promise_that_holds_is_met() {
        let goals = goals(&herd(1000.0, 1010.0, 1020.0));
        let words: Vec<_> = goals.iter().map(Goal::words).collect();
        assert_eq!(words, ["% of none ≤ 3: met", "times the floor ≤ 2: met"]);
    }

    #[test]
    fn one_that_does_not_says_by_how_much() {
        let goals = goals(&herd(1000.0, 1010.0, 1045.0));
        let words: Vec<_> = goals.iter().map(Goal::words).collect();
        assert_eq!(words, ["% of none ≤ 3: missed by 1.50", "times the floor ≤ 2: missed by 2.50"]);
        assert!(goals.iter().all(|goal| goal.json()["met"] == false));
    }

    #[test]
    fn without_a_floor_there_is_nothing_to_compare_with() {
        let mut all = herd(1000.0, 1010.0, 1020.0);
        all.remove(1);
        assert_eq!(goals(&all), []);
    }

    #[test]
    fn speed_is_held_against_the_floor_and_against_the_peer() {
        let one = |tool, by: &str, value: f64| Measured {
            part: Part::Native,
            place: "here".to_owned(),
            figure: Figure::Speed(Speed {
                with: With::new(tool, by),
                rounds: vec![value],
                cpu: vec![1e9 / value],
                wakeups: vec![8.0],
            }),
        };
        let all = [
            one(Tool::None, "", 1000.0),
            one(Tool::Floor, "tracepoint", 950.0),
            one(Tool::Observer, "tracepoint", 912.0),
            one(Tool::Peer, "bpftrace", 800.0),
        ];
        let goals = goals(&all);
        assert_eq!(goals.len(), 2);
        assert!((goals[0].value - 4.0).abs() < 1e-9, "{goals:?}");
        assert!((goals[1].value - 0.44).abs() < 1e-9, "{goals:?}");
        assert!(!goals[0].met() && goals[1].met());
    }

    #[test]
    fn a_loss_that_is_said_is_none() {
        let of = |made, seen, map_full| Measured {
            part: Part::Load,
            place: "here".to_owned(),
            figure: Figure::Load(Load {
                what: "a load".to_owned(),
                made,
                seen,
                events_lost: 0,
                map_full,
                missed_runs: 0,
                closes: None,
                pages_before: 0,
                pages_after: 0,
            }),
        };
        let met = |one| goals(&[one]).iter().all(Goal::met);
        assert!(met(of(5, 5, 0)) && met(of(5, 4, 1)) && met(of(5, 4, 9)));
        assert!(!met(of(5, 4, 0)) && !met(of(5, 6, 0)) && !met(of(5, 3, 1)));
    }
}
