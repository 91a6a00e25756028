//! What observing costs in three sentences, for whoever reads no table. Pure.

use super::{
    figure::{Case, Tool, With},
    goal,
    maths::paired,
    measured::Measured,
    table,
};

/// The hooks that observer takes by itself in the virtual machines, as figures name them.
const PREFERRED: [&str; 2] = ["fentry", "auto"];

/// The sentences; none of what was not measured.
pub(super) fn text(all: &[Measured]) -> String {
    let cases =
        [(Case::Herd, "a connection that wakes eight workers"), (Case::One, "one that wakes one")];
    let instructions = cases.iter().filter_map(|(case, what)| {
        let (with, floor) = (range(all, *case, Tool::Observer)?, range(all, *case, Tool::Floor)?);
        Some(format!(
            "{what} takes {with} more instructions, of which empty programs on the same hooks \
                      are {floor}"
        ))
    });
    let mut sentences = Vec::new();
    let instructions = instructions.collect::<Vec<_>>().join("; ");
    if !instructions.is_empty() {
        sentences.push(format!("By the hooks that observer chooses, {instructions}."));
    }
    if let (Some(observer), Some(bpftrace)) =
        (loss(all, Tool::Observer, "tracepoint"), loss(all, Tool::Peer, "bpftrace"))
    {
        sentences.push(format!(
            "By tracepoints alone, a herd of eight that does nothing but accept makes {observer} fewer \
             connections a second on this machine, and {bpftrace} fewer beside bpftrace."
        ));
    }
    sentences.join(" ")
}

/// What is added to each connection's own instructions, from the least to the most of all kernels.
fn range(all: &[Measured], case: Case, tool: Tool) -> Option<String> {
    let added = table::places(all).into_iter().filter_map(|place| {
        let at = |tool, by| goal::instructions(all, place, case, &With::new(tool, by));
        let none = at(Tool::None, "")?;
        let with = PREFERRED.iter().find_map(|by| at(tool, by))?;
        Some(100.0 * (with - none) / none)
    });
    let (least, most) = added.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), one| {
        (least.min(one), most.max(one))
    });
    let (least, most) = (format!("{least:.1}"), format!("{most:.1}"));
    match (most.parse::<f64>().ok()?.is_finite(), least == most) {
        (false, _) => None,
        (true, true) => Some(format!("{most} %")),
        (true, false) => Some(format!("{least} to {most} %")),
    }
}

/// By how much the loop is slower on this machine than beside nothing.
fn loss(all: &[Measured], tool: Tool, by: &str) -> Option<String> {
    let none = goal::speed(all, &With::new(Tool::None, ""))?;
    let with = goal::speed(all, &With::new(tool, by))?;
    paired(&with.rounds, &none.rounds).map(|(middle, ..)| format!("{:.1} %", -100.0 * middle))
}

#[cfg(test)]
mod tests {
    use super::{super::goal::tests::herd, text};

    #[test]
    fn what_was_measured_is_said_and_nothing_else() {
        assert_eq!(text(&[]), "");
        let mut all = herd(1000.0, 1010.0, 1020.0);
        assert_eq!(
            text(&all),
            "By the hooks that observer chooses, a connection that wakes eight workers takes 2.0 % more \
             instructions, of which empty programs on the same hooks are 1.0 %."
        );
        let mut other = herd(1000.0, 1010.0, 1050.0);
        other.iter_mut().for_each(|one| "5.10".clone_into(&mut one.place));
        all.extend(other);
        assert!(text(&all).contains("takes 2.0 to 5.0 % more"), "{}", text(&all));
    }
}
