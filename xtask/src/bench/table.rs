//! From figures to tables. Pure. The tables are Markdown whose columns are aligned, so that what is
//! printed and what stands in docs/cost.md are one text.

mod markdown;
mod process;

use self::{
    markdown::Table,
    process::{growth, loads, needs},
};
use super::{
    figure::{Case, Figure, Program, Tool, With},
    goal::{self, Goal, words},
    maths::{grouped, median, paired, spread},
    measured::Measured,
};

/// All that can be made of what was measured.
pub(crate) fn text(all: &[Measured], goals: &[Goal]) -> String {
    let tables = [
        instructions(all, goals),
        speeds(all, goals),
        programs(all),
        needs(all, goals),
        growth(all),
        loads(all, goals),
        missing(all),
    ];
    let texts = tables.iter().filter(|table| !table.rows.is_empty()).map(Table::text);
    texts.collect::<Vec<_>>().join("\n")
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

/// Places in the order in which they come.
pub(super) fn places(all: &[Measured]) -> Vec<&str> {
    let mut places: Vec<&str> = Vec::new();
    for one in all {
        if !places.contains(&one.place.as_str()) {
            places.push(&one.place);
        }
    }
    places
}

fn instructions(all: &[Measured], goals: &[Goal]) -> Table {
    let mut rows = Vec::new();
    for place in places(all) {
        for case in [Case::One, Case::Herd, Case::Exclusive, Case::Pipe] {
            let at = |tool, by: &str| goal::instructions(all, place, case, &With::new(tool, by));
            for Measured { figure, .. } in all.iter().filter(|one| one.place == place) {
                let Figure::Instructions(of) = figure else { continue };
                if of.case != case {
                    continue;
                }
                let Some(value) = median(&of.each) else { continue };
                let added = at(Tool::None, "").map(|none| (value - none, none));
                let added = added.filter(|_| of.with.tool != Tool::None);
                let over = at(Tool::Floor, &of.with.by)
                    .filter(|_| matches!(of.with.tool, Tool::Observer | Tool::Filtered));
                rows.push(vec![
                    place.to_owned(),
                    case.name().to_owned(),
                    of.with.name(),
                    grouped(value),
                    percent(spread(&of.each).unwrap_or(0.0)),
                    format!("{:.2}", of.wakeups),
                    added.map_or_else(String::new, |(added, _)| grouped(added)),
                    added.map_or_else(String::new, |(added, none)| percent(added / none)),
                    over.map_or_else(String::new, |floor| grouped(value - floor)),
                    words(goals, place, &goal::row(case, &of.with)),
                ]);
            }
        }
    }
    Table {
        title: "Instructions for each connection, or each wakeup of a pipe's reader",
        note: "",
        head: &[
            "kernel",
            "what",
            "beside",
            "instructions",
            "spread",
            "wakeups",
            "added",
            "of none",
            "over the floor",
            "target",
        ],
        rows,
    }
}

/// A middle, and what lies halfway out on both sides.
fn compared((middle, low, high): (f64, f64, f64)) -> String {
    format!("{} ({} to {})", percent(middle), percent(low), percent(high))
}

fn speeds(all: &[Measured], goals: &[Goal]) -> Table {
    let none = goal::speed(all, &With::new(Tool::None, ""));
    let row = |one: &Measured| {
        let Figure::Speed(speed) = &one.figure else { return None };
        let than = none.filter(|_| speed.with.tool != Tool::None);
        let less = than.and_then(|none| paired(&speed.rounds, &none.rounds));
        let more = than.and_then(|none| paired(&speed.cpu, &none.cpu));
        Some(vec![
            speed.with.name(),
            speed.rounds.len().to_string(),
            grouped(median(&speed.rounds)?),
            percent(spread(&speed.rounds)?),
            less.map_or_else(String::new, |(middle, low, high)| compared((-middle, -high, -low))),
            grouped(median(&speed.cpu)?),
            percent(spread(&speed.cpu)?),
            more.map_or_else(String::new, compared),
            median(&speed.wakeups).map_or_else(String::new, |wakeups| format!("{wakeups:.2}")),
            words(goals, &one.place, &speed.with.name()),
        ])
    };
    Table {
        title: "Connections a second on this machine, herd of 8",
        note: "",
        head: &[
            "beside",
            "rounds",
            "median",
            "spread",
            "less than nothing's",
            "CPU ns each",
            "spread",
            "more than nothing's",
            "wakeups",
            "target",
        ],
        rows: all.iter().filter_map(row).collect(),
    }
}

/// Of the newest kernel that was measured; the others are in the JSON.
fn programs(all: &[Measured]) -> Table {
    let of = |place: &str| -> Vec<&Program> {
        let of = all.iter().filter(|one| one.place == place);
        let programs = of.filter_map(|one| match &one.figure {
            Figure::Program(program) => Some(program),
            _ => None,
        });
        programs.collect()
    };
    let newest = places(all).into_iter().rfind(|place| !of(place).is_empty());
    let mut rows = Vec::new();
    if let Some(place) = newest {
        let mut programs = of(place);
        let cost = |program: &Program| program.runs * program.each;
        // Stable: the hooks stay in their order.
        programs.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
        let mut hooks: Vec<&str> = Vec::new();
        for program in of(place) {
            if !hooks.contains(&program.by.as_str()) {
                hooks.push(&program.by);
            }
        }
        for by in hooks {
            rows.extend(programs.iter().filter(|program| program.by == by).map(|program| {
                vec![
                    place.to_owned(),
                    program.by.clone(),
                    format!("`{}`", program.name),
                    format!("{:.2}", program.runs),
                    grouped(program.each),
                    grouped(cost(program)),
                    program.instructions.to_string(),
                    program.code_bytes.to_string(),
                ]
            }));
        }
    }
    Table {
        title: "Each kernel program, for each connection to a herd of 8",
        note: "By the kernel's statistics (`kernel.bpf_stats_enabled`) in the same guest; the two readings of the clock that they take are part of each run.",
        head: &[
            "kernel",
            "hooks",
            "program",
            "runs",
            "a run",
            "together",
            "BPF instructions",
            "bytes of code",
        ],
        rows,
    }
}

fn missing(all: &[Measured]) -> Table {
    let row = |one: &Measured| {
        let Figure::Missing(missing) = &one.figure else { return None };
        // What a tool says first is why; what to do follows behind a semicolon.
        let why = missing.why.split(';').next().unwrap_or("").replace('|', "/");
        Some(vec![one.place.clone(), missing.what.clone(), why])
    };
    Table {
        title: "Not measured",
        note: "",
        head: &["where", "what", "why"],
        rows: all.iter().filter_map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            figure::{Missing, Need},
            goal::{goals, tests::herd},
        },
        *,
    };
    use crate::bench::measured::Part;

    #[test]
    fn a_row_says_what_is_added_and_what_was_promised() {
        let all = herd(100_000.0, 101_000.0, 104_000.0);
        let text = text(&all, &goals(&all));
        let line = text.lines().find(|line| line.contains("observer")).expect("a row");
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        assert_eq!(cells[1..4], ["6.12", "herd of 8", "observer, fentry"]);
        assert_eq!(cells[4], "104,000");
        assert_eq!(cells[7..10], ["4,000", "4.0 %", "3,000"]);
        assert!(cells[10].starts_with("% of none ≤ 3: missed by 1"), "{line}");
    }

    #[test]
    fn every_line_of_a_table_is_as_wide_as_the_others() {
        let all = herd(100.0, 101.0, 104.0);
        let text = text(&all, &goals(&all));
        let mut widths: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.chars().count())
            .collect();
        widths.dedup();
        assert_eq!(widths.len(), 1, "{text}");
    }

    #[test]
    fn what_is_missing_and_what_is_needed_have_tables_of_their_own() {
        let measured =
            |figure| Measured { part: Part::Userspace, place: "here".to_owned(), figure };
        let all = [
            measured(Figure::Missing(Missing { what: "a|b".into(), why: "c|d".into() })),
            measured(Figure::Need(Need {
                what: "binary".into(),
                value: 7.5,
                unit: "MiB".into(),
                target: Some(8.0),
            })),
        ];
        let text = text(&all, &goals(&all));
        assert!(text.contains("### Not measured") && text.contains("c/d"), "{text}");
        let line = text.lines().find(|line| line.contains("binary")).expect("a row");
        assert!(line.contains("7.50") && line.contains("≤ 8: met"), "{line}");
        assert!(!text.contains("### Each kernel program"), "{text}");
    }
}
