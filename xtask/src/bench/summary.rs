//! Rows of the page: what follows from the figures, as numbers that the template puts in their place.
//! Pure.

use serde_json::{Value, json};

use super::{
    figure::{Case, Figure, Program, Tool, With},
    growth,
    stats::{median, paired, spread},
    store::{Part, Run},
    targets::{self, Target},
};

/// All that the template is given.
pub(super) fn summary(runs: &[Run]) -> Value {
    let (instructions, speeds) = (instructions(runs), speeds(runs));
    let needs = rows(runs, |figure| match figure {
        Figure::Need(need) => with_targets(json!(need), targets::of_need(need)),
        _ => None,
    });
    let loads = rows(runs, |figure| match figure {
        Figure::Load(load) => with_targets(json!(load), targets::of_load(load)),
        _ => None,
    });
    let all = [&instructions, &speeds, &needs, &loads];
    let targets = all.into_iter().flatten().filter_map(|row| row["targets"].as_array()).flatten();
    let (met, missed): (Vec<_>, Vec<_>) = targets.partition(|target| target["met"] == true);
    let added = |case, tool| range(&instructions, case, tool);
    json!({
        "machines": machines(runs),
        "releases": runs.iter().filter_map(|run| run.release.as_deref()).collect::<Vec<_>>(),
        "targets": {"met": met.len(), "all": met.len() + missed.len()},
        "added": {
            "herd": {"observer": added(Case::Herd, Tool::Observer), "floor": added(Case::Herd, Tool::Floor)},
            "one": {"observer": added(Case::One, Tool::Observer), "floor": added(Case::One, Tool::Floor)},
        },
        "loss": {"observer": loss(&speeds, Tool::Observer), "bpftrace": loss(&speeds, Tool::Peer)},
        "programs": programs(runs),
        "growth": growth::rows(runs),
        "missing": missing(runs),
        "instructions": instructions,
        "speeds": speeds,
        "needs": needs,
        "loads": loads,
    })
}

/// Rows of one kind of figure.
fn rows(runs: &[Run], row: impl Fn(&Figure) -> Option<Value>) -> Vec<Value> {
    runs.iter().flat_map(|run| &run.figures).filter_map(row).collect()
}

fn with_targets(mut row: Value, targets: Vec<Target>) -> Option<Value> {
    let told = |target: &Target| json!({"words": target.to_string(), "met": target.met()});
    row["targets"] = targets.iter().map(told).collect();
    Some(row)
}

/// Each machine and day once, with the parts that were measured there and then.
fn machines(runs: &[Run]) -> Vec<Value> {
    let mut machines: Vec<(&Run, Vec<&str>)> = Vec::new();
    for run in runs {
        let name = run.part.name();
        match machines.iter_mut().find(|(known, _)| known.machine == run.machine) {
            Some((_, parts)) if parts.contains(&name) => {}
            Some((_, parts)) => parts.push(name),
            None => machines.push((run, vec![name])),
        }
    }
    let told = |(run, parts): (&Run, Vec<&str>)| {
        let guests = parts.contains(&Part::Icount.name());
        json!({"of": run.machine, "parts": parts, "guests": guests})
    };
    machines.into_iter().map(told).collect()
}

fn instructions(runs: &[Run]) -> Vec<Value> {
    let mut rows = Vec::new();
    for run in runs {
        for case in Case::ALL {
            let none = run.instructions(case, &With::new(Tool::None, ""));
            for of in run.of_case(case) {
                let Some(value) = median(&of.each) else { continue };
                let added = none.filter(|_| of.with.tool != Tool::None).map(|none| value - none);
                let floor = run.instructions(case, &With::new(Tool::Floor, &of.with.by));
                let ours = matches!(of.with.tool, Tool::Observer | Tool::Filtered);
                let row = json!({
                    "kernel": run.place, "case": case, "what": case.name(),
                    "with": of.with, "beside": of.with.name(),
                    "value": value, "spread": spread(&of.each).unwrap_or(0.0), "wakeups": of.wakeups,
                    "added": added, "part": added.zip(none).map(|(added, none)| added / none),
                    "over": floor.filter(|_| ours).map(|floor| value - floor),
                });
                rows.extend(with_targets(row, targets::of_instructions(run, of)));
            }
        }
    }
    rows
}

/// Part that is added to each connection's own instructions by the hooks that observer chooses: the
/// least and the most of all kernels.
fn range(instructions: &[Value], case: Case, tool: Tool) -> Option<[f64; 2]> {
    let of = instructions.iter().filter(|row| {
        row["case"] == json!(case)
            && row["with"]["tool"] == json!(tool)
            && row["with"]["by"].as_str().is_some_and(targets::preferred)
    });
    let parts: Vec<_> = of.filter_map(|row| row["part"].as_f64()).collect();
    Some([parts.iter().copied().reduce(f64::min)?, parts.iter().copied().reduce(f64::max)?])
}

fn speeds(runs: &[Run]) -> Vec<Value> {
    let mut rows = Vec::new();
    for run in runs {
        let none = run.speed(&With::new(Tool::None, ""));
        for figure in &run.figures {
            let Figure::Speed(of) = figure else { continue };
            let than = none.filter(|_| of.with.tool != Tool::None);
            let less = than.and_then(|none| paired(&of.rounds, &none.rounds));
            let row = json!({
                "with": of.with, "beside": of.with.name(), "rounds": of.rounds.len(),
                "median": median(&of.rounds), "spread": spread(&of.rounds),
                "less": less.map(|(middle, low, high)| [-middle, -high, -low]),
                "cpu": median(&of.cpu), "cpu_spread": spread(&of.cpu),
                "more": than.and_then(|none| paired(&of.cpu, &none.cpu)),
                "wakeups": median(&of.wakeups),
            });
            rows.extend(with_targets(row, targets::of_speed(run, of)));
        }
    }
    rows
}

/// Part by which the loop is slower beside a tool.
fn loss(speeds: &[Value], tool: Tool) -> Option<f64> {
    speeds.iter().find(|row| row["with"]["tool"] == json!(tool))?["less"][0].as_f64()
}

/// Programs of the newest kernel that was measured, the most expensive first; the hooks stay in their
/// order.
fn programs(runs: &[Run]) -> Vec<Value> {
    let of = |run: &Run| -> Vec<Program> {
        let programs = run.figures.iter().filter_map(|figure| match figure {
            Figure::Program(program) => Some(program.clone()),
            _ => None,
        });
        programs.collect()
    };
    let newest = runs.iter().rev().map(|run| (run, of(run))).find(|(_, of)| !of.is_empty());
    let Some((run, mut programs)) = newest else { return Vec::new() };
    let order: Vec<_> = programs.iter().map(|program| program.by.clone()).collect();
    let hooks = |program: &Program| order.iter().position(|by| *by == program.by);
    let cost = |program: &Program| program.runs * program.each;
    programs.sort_by(|a, b| hooks(a).cmp(&hooks(b)).then(cost(b).total_cmp(&cost(a))));
    let row =
        |program: &Program| json!({"kernel": run.place, "of": program, "together": cost(program)});
    programs.iter().map(row).collect()
}

fn missing(runs: &[Run]) -> Vec<Value> {
    let mut rows = Vec::new();
    for run in runs {
        for figure in &run.figures {
            let Figure::Missing(missing) = figure else { continue };
            // What a tool says first is why; what to do follows behind a semicolon.
            let why = missing.why.split(';').next().unwrap_or("");
            rows.push(json!({"place": run.place, "what": missing.what, "why": why}));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::{super::store::tests::sample, *};

    #[test]
    fn what_is_added_has_the_range_of_all_kernels() {
        let rows = instructions(&sample());
        assert_eq!(range(&rows, Case::Herd, Tool::Observer), Some([0.02, 0.04]));
        assert_eq!(range(&rows, Case::Herd, Tool::Floor), Some([0.01, 0.01]));
        assert_eq!(range(&rows, Case::Exclusive, Tool::Observer), None);
    }

    #[test]
    fn a_machine_is_told_once_for_each_day() {
        let told: Vec<_> = machines(&sample()).iter().map(|of| of["parts"].clone()).collect();
        let parts = ["instructions in virtual machines", "the loop's speed on this machine"];
        let later = ["what the process needs", "load without loss"];
        assert_eq!(told, [json!(parts), json!(later)]);
    }

    #[test]
    fn programs_are_those_of_the_newest_kernel_the_most_expensive_first() {
        let told = programs(&sample());
        let names: Vec<_> = told.iter().map(|row| row["of"]["name"].as_str()).collect();
        assert_eq!(names, [Some("waking"), Some("accept_exit"), Some("received")]);
        assert_eq!((&told[0]["kernel"], &told[0]["together"]), (&json!("6.12"), &json!(2000.0)));
    }
}
