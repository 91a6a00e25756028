//! Rows about observer's own process, about growth and about great loads.

use super::{
    super::{
        figure::Figure,
        goal::{Goal, words},
        growth,
        maths::grouped,
        measured::Measured,
    },
    markdown::Table,
};

pub(super) fn needs(all: &[Measured], goals: &[Goal]) -> Table {
    let row = |one: &Measured| {
        let Figure::Need(need) = &one.figure else { return None };
        let value = if need.value.abs() < 100.0 {
            format!("{:.2}", need.value)
        } else {
            grouped(need.value)
        };
        let target = words(goals, &one.place, &need.what);
        Some(vec![need.what.clone(), value, need.unit.clone(), target])
    };
    Table {
        title: "What the process needs",
        note: "Reports each second, for ten seconds after the third; memory is VmRSS and VmHWM. Listeners and workers only wait meanwhile: nothing is accepted, but where a row tells connections a second.",
        head: &["what", "value", "unit", "target"],
        rows: all.iter().filter_map(row).collect(),
    }
}

pub(super) fn growth(all: &[Measured]) -> Table {
    let row = |growth: &growth::Growth<'_>| {
        vec![
            growth.place.to_owned(),
            growth.what.to_owned(),
            growth.along.name().to_owned(),
            growth.sizes(),
            growth.values(),
            growth.factors(),
            growth.words(),
        ]
    };
    Table {
        title: "Growth",
        note: "Constant is what differs by less than a tenth or the noise; linear what lies on the line through both ends, a quarter beside it at most; uneven what falls.",
        head: &[
            "where",
            "what",
            "with more",
            "of which there are",
            "values",
            "each step",
            "so it is",
        ],
        rows: growth::growths(all).iter().map(row).collect(),
    }
}

pub(super) fn loads(all: &[Measured], goals: &[Goal]) -> Table {
    let mebibytes = |pages: u64| format!("{:.2}", pages as f64 / 256.0);
    let row = |one: &Measured| {
        let Figure::Load(load) = &one.figure else { return None };
        let count = |count: u64| grouped(count as f64);
        Some(vec![
            load.what.clone(),
            count(load.made),
            count(load.seen),
            count(load.map_full),
            count(load.missed_runs),
            count(load.events_lost),
            load.closes.map_or("–", |closes| if closes { "yes" } else { "no" }).to_owned(),
            format!("{}, {}", mebibytes(load.pages_before), mebibytes(load.pages_after)),
            words(goals, &one.place, &load.what),
        ])
    };
    Table {
        title: "Load without loss",
        note: "The system tests `load::`, with a million connections; what was made is the workload's own count.",
        head: &[
            "what",
            "made",
            "seen",
            "found no room",
            "skipped runs",
            "news lost",
            "audit closes",
            "MiB before, after",
            "target",
        ],
        rows: all.iter().filter_map(row).collect(),
    }
}
