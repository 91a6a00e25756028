//! Targets, and whether what was measured meets them. Pure.

use std::fmt;

use super::{
    figure::{Case, Instructions, Load, Need, Speed, Tool, With},
    stats::{median, paired},
    store::Run,
};

/// A limit, beside what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Target {
    /// What is limited; empty where the row says it.
    what: &'static str,
    value: f64,
    limit: f64,
}

impl Target {
    /// Whether what was measured is within the limit.
    pub(super) fn met(&self) -> bool {
        self.value <= self.limit
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, value, limit } = self;
        let space = if what.is_empty() { "" } else { " " };
        write!(f, "{what}{space}≤ {}: ", number(*limit))?;
        match self.met() {
            true => f.write_str("met"),
            false => write!(f, "missed by {}", number(value - limit)),
        }
    }
}

/// Whole numbers without a fraction, others with one digit, small ones with two.
fn number(value: f64) -> String {
    let digits = match value {
        _ if value.fract() == 0.0 => 0,
        _ if value.abs() < 10.0 => 2,
        _ => 1,
    };
    format!("{value:.digits$}")
}

/// Whether these hooks are those that observer takes by itself: fentry, or the mixture that it takes
/// where fentry alone is refused.
pub(super) fn preferred(by: &str) -> bool {
    matches!(by, "fentry" | "auto")
}

/// Targets of a case beside a tool.
pub(super) fn of_instructions(run: &Run, of: &Instructions) -> Vec<Target> {
    let at = |tool, by: &str| run.instructions(of.case, &With::new(tool, by));
    let by = of.with.by.as_str();
    let (Some(with), Some(none), Some(floor)) =
        (median(&of.each), at(Tool::None, ""), at(Tool::Floor, by))
    else {
        return Vec::new();
    };
    let part = Target { what: "% of none", value: 100.0 * (with - none) / none, limit: 3.0 };
    let times =
        Target { what: "times the floor", value: (with - none) / (floor - none), limit: 2.0 };
    let over = Target { what: "over the floor", value: with - floor, limit: 200.0 };
    match (of.with.tool, of.case) {
        (Tool::Observer, Case::Herd) if preferred(by) => vec![part, times],
        (Tool::Observer, Case::One) if preferred(by) => vec![Target { limit: 2.0, ..part }],
        (Tool::Observer, Case::Pipe) => vec![Target { limit: 40.0, ..over }],
        (Tool::Filtered, _) => vec![over],
        _ => Vec::new(),
    }
}

/// Targets of the loop's speed: by which part it is slower beside observer than beside others, in the
/// same rounds.
pub(super) fn of_speed(run: &Run, of: &Speed) -> Vec<Target> {
    let than = |of: &Speed, tool, by: &str| {
        let than = run.speed(&With::new(tool, by))?;
        paired(&of.rounds, &than.rounds).map(|(middle, ..)| -middle)
    };
    let peer = run.speed(&With::new(Tool::Peer, "bpftrace"));
    let floor = than(of, Tool::Floor, &of.with.by);
    let losses = than(of, Tool::None, "").zip(peer.and_then(|peer| than(peer, Tool::None, "")));
    let targets = [
        floor.map(|loss| Target { what: "% below the floor", value: 100.0 * loss, limit: 2.0 }),
        losses.map(|(ours, theirs)| Target {
            what: "of bpftrace's loss",
            value: ours / theirs,
            limit: 0.5,
        }),
    ];
    targets.into_iter().flatten().filter(|_| of.with.tool == Tool::Observer).collect()
}

/// Targets of a need.
pub(super) fn of_need(need: &Need) -> Vec<Target> {
    need.target.map(|limit| Target { what: "", value: need.value, limit }).into_iter().collect()
}

/// Targets of a load: what is not in the report, less what the report says is not in it. More than was
/// made is as wrong.
pub(super) fn of_load(load: &Load) -> Vec<Target> {
    let unsaid = match load.seen.checked_sub(load.made) {
        Some(more @ 1..) => more,
        _ => (load.made - load.seen).saturating_sub(load.map_full + load.missed_runs),
    };
    vec![Target { what: "lost and not said", value: unsaid as f64, limit: 0.0 }]
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::{figure::Figure, store::tests::sample},
        *,
    };

    /// A herd beside nothing, the floor and observer.
    fn herd(none: f64, floor: f64, observer: f64) -> Run {
        let one = |tool, by: &str, value: f64| {
            Figure::Instructions(Instructions {
                case: Case::Herd,
                with: With::new(tool, by),
                each: vec![value - 1.0, value, value + 1.0],
                wakeups: 8.0,
            })
        };
        let figures = vec![
            one(Tool::None, "", none),
            one(Tool::Floor, "fentry", floor),
            one(Tool::Observer, "fentry", observer),
        ];
        Run { figures, ..sample().remove(0) }
    }

    fn words(run: &Run) -> Vec<String> {
        let targets = run.of_case(Case::Herd).flat_map(|of| of_instructions(run, of));
        targets.map(|target| target.to_string()).collect()
    }

    #[test]
    fn a_target_that_is_reached_is_met() {
        let words = words(&herd(1000.0, 1010.0, 1020.0));
        assert_eq!(words, ["% of none ≤ 3: met", "times the floor ≤ 2: met"]);
    }

    #[test]
    fn one_that_is_not_says_by_how_much() {
        let words = words(&herd(1000.0, 1010.0, 1045.0));
        assert_eq!(words, ["% of none ≤ 3: missed by 1.50", "times the floor ≤ 2: missed by 2.50"]);
    }

    #[test]
    fn without_a_floor_there_is_nothing_to_compare_with() {
        let mut run = herd(1000.0, 1010.0, 1020.0);
        run.figures.remove(1);
        assert_eq!(words(&run), [""; 0]);
    }

    #[test]
    fn speed_is_held_against_the_floor_and_against_the_peer() {
        let one = |tool, by: &str, value: f64| {
            let (rounds, cpu, wakeups) = (vec![value], vec![1e9 / value], vec![8.0]);
            Figure::Speed(Speed { with: With::new(tool, by), rounds, cpu, wakeups })
        };
        let figures = vec![
            one(Tool::None, "", 1000.0),
            one(Tool::Floor, "tracepoint", 950.0),
            one(Tool::Observer, "tracepoint", 912.0),
            one(Tool::Peer, "bpftrace", 800.0),
        ];
        let run = Run { figures, ..sample().remove(0) };
        let of = |tool, by| of_speed(&run, run.speed(&With::new(tool, by)).expect("a speed"));
        let targets = of(Tool::Observer, "tracepoint");
        assert_eq!(targets.len(), 2);
        assert!((targets[0].value - 4.0).abs() < 1e-9, "{targets:?}");
        assert!((targets[1].value - 0.44).abs() < 1e-9, "{targets:?}");
        assert!(!targets[0].met() && targets[1].met());
        assert_eq!(of(Tool::Peer, "bpftrace"), []);
    }

    #[test]
    fn a_loss_that_is_said_is_none() {
        let met = |made, seen, map_full| {
            let load = Load { made, seen, map_full, ..Load::default() };
            of_load(&load).iter().all(Target::met)
        };
        assert!(met(5, 5, 0) && met(5, 4, 1) && met(5, 4, 9));
        assert!(!met(5, 4, 0) && !met(5, 6, 0) && !met(5, 3, 1));
    }
}
