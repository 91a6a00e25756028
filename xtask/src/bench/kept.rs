//! What was measured before, and how it is put together with other runs. Pure.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    figure::{Figure, Machine},
    goal::Goal,
    measured::{Measured, Part},
};

/// One line of JSON for each figure, and for each goal.
pub(crate) fn json(all: &[Measured], goals: &[Goal]) -> Result<String> {
    let mut text = String::new();
    for one in all {
        let mut value = serde_json::to_value(&one.figure)?;
        value["part"] = serde_json::to_value(one.part)?;
        value["place"] = one.place.clone().into();
        writeln!(text, "{value}")?;
    }
    text.extend(goals.iter().map(|goal| format!("{}\n", goal.json())));
    Ok(text)
}

/// The figures that were printed before; goals follow from them.
pub(crate) fn kept(text: &str) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line)?;
        if value["figure"] != "goal" {
            let place = value["place"].as_str().context("a figure of no place")?.to_owned();
            let part = serde_json::from_value(value["part"].clone()).context("of no part")?;
            all.push(Measured { part, place, figure: serde_json::from_value(value)? });
        }
    }
    Ok(all)
}

/// Puts later figures to earlier ones, in place of those of the same part and place: what two runs
/// measured of one thing is never mixed.
pub(crate) fn put(all: &mut Vec<Measured>, later: Vec<Measured>) {
    let mut groups: Vec<(Part, String)> = Vec::new();
    for one in &later {
        let group = (one.part, one.place.clone());
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for (part, place) in groups {
        let of = |one: &Measured| one.part == part && one.place == place;
        // Where the earlier ones were: tables follow that order.
        let at = all.iter().position(of).unwrap_or(all.len());
        all.retain(|one| !of(one));
        let new: Vec<_> = later.iter().filter(|one| of(one)).cloned().collect();
        all.splice(at..at, new);
    }
}

/// Where and when it was measured: each machine and day once, with the parts.
pub(crate) fn machines(all: &[Measured]) -> Vec<(&Machine, Vec<Part>)> {
    let mut machines: Vec<(&Machine, Vec<Part>)> = Vec::new();
    for one in all {
        let Figure::Machine(machine) = &one.figure else { continue };
        let at = machines.iter().position(|(known, _)| *known == machine);
        let at = at.unwrap_or_else(|| {
            machines.push((machine, Vec::new()));
            machines.len() - 1
        });
        if !machines[at].1.contains(&one.part) {
            machines[at].1.push(one.part);
        }
    }
    machines
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            figure::{Missing, tests::machine},
            goal::{goals, tests::herd},
        },
        *,
    };

    fn missing(part: Part, place: &str, what: &str) -> Measured {
        let (what, why) = (what.to_owned(), String::new());
        Measured { part, place: place.to_owned(), figure: Figure::Missing(Missing { what, why }) }
    }

    #[test]
    fn what_is_printed_is_read() {
        let all = herd(1000.0, 1010.0, 1020.0);
        let goals = goals(&all);
        let lines = json(&all, &goals).expect("figures");
        assert!(lines.contains("\"goal\""), "{lines}");
        let read = kept(&lines).expect("figures");
        assert_eq!(read, all);
        assert!(kept("{}").is_err());
    }

    #[test]
    fn the_later_of_the_same_part_and_place_counts() {
        let (icount, native) = (Part::Icount, Part::Native);
        let mut all = vec![
            missing(icount, "5.10", "a"),
            missing(icount, "5.10", "b"),
            missing(icount, "6.12", "c"),
            missing(native, "here", "d"),
        ];
        let later = vec![
            missing(icount, "7.2", "e"),
            missing(icount, "5.10", "f"),
            missing(Part::Userspace, "here", "g"),
        ];
        put(&mut all, later);
        let what = |one: &Measured| match &one.figure {
            Figure::Missing(missing) => missing.what.clone(),
            _ => String::new(),
        };
        assert_eq!(all.iter().map(what).collect::<String>(), "fcdeg");
    }

    #[test]
    fn a_machine_is_told_once_for_each_day() {
        let of = |part, date| Measured {
            part,
            place: "here".to_owned(),
            figure: Figure::Machine(machine(date)),
        };
        let all = [
            of(Part::Native, "2026-01-02"),
            of(Part::Load, "2026-01-02"),
            of(Part::Userspace, "2026-01-03"),
        ];
        let told: Vec<_> =
            machines(&all).into_iter().map(|(one, parts)| (&*one.date, parts)).collect();
        let first = vec![Part::Native, Part::Load];
        assert_eq!(told, [("2026-01-02", first), ("2026-01-03", vec![Part::Userspace])]);
    }
}
