//! The demo's table.

use anstyle::Style;

use super::outcome::Outcome;
use crate::app::render::{
    cell::Cell,
    grid::{Grid, Heading, Row},
    line::{joined, painted, wrapped},
};
use observer::units;

/// A column, with what it says of an outcome.
type Column = (Heading, fn(&Outcome) -> String);

/// From left to right.
const COLUMNS: &[Column] = &[
    (Heading::words("STRATEGY", 0, [0; 3], 8), |one| one.strategy.name().into()),
    (Heading::numbers("WAKEUPS/CONN", 1), |one| {
        let ratio =
            one.wakeups_per_connection.map_or_else(|| "-".into(), |one| format!("{one:.1}"));
        format!("{}{ratio}", mark(one))
    }),
    (Heading::numbers("EAGAIN", 4), |one| one.eagain().to_string()),
    (Heading::numbers("SILENT", 5), |one| format!("{}{}", mark(one), one.wakeups.silent)),
    (Heading::numbers("FAIRNESS", 2), |one| units::ratio(one.fairness)),
    (Heading::numbers("TIME/CONN", 3), |one| units::time(one.nanoseconds_per_connection)),
];

fn mark(outcome: &Outcome) -> &'static str {
    if outcome.exact { "" } else { "~" }
}

/// The table for this many columns: what each row means stands beside it where it fits, else
/// below it.
pub(super) fn table(outcomes: &[Outcome], width: usize) -> String {
    let sentence = |words: &str| wrapped(words, Style::new(), width);
    let head =
        outcomes.first().map_or_else(Vec::new, |Outcome { workers, connections, .. }| {
            sentence(&format!(
                "{workers} workers, {connections} connections, each made while every worker sleeps"
            ))
        });
    let rows = outcomes.iter().map(|outcome| Row {
        cells: COLUMNS.iter().map(|(_, says)| Cell::text(&says(outcome))).collect(),
        remark: outcome.strategy.meaning().to_owned(),
        ..Row::default()
    });
    let grid = Grid {
        headings: COLUMNS.iter().map(|(heading, _)| *heading).collect(),
        remarks: "MEANING",
        rows: rows.collect(),
        ..Grid::default()
    };
    let notes = notes(outcomes).iter().flat_map(|note| sentence(note)).collect();
    painted(&joined([head, grid.lines(&grid.layout(width)), notes]), width, false)
}

/// What a reader needs to know about the numbers as a whole.
fn notes(outcomes: &[Outcome]) -> Vec<String> {
    let mut notes = vec![
        "SILENT: woken, found nothing and slept again inside the kernel, unseen by the program. \
         FAIRNESS: 1 is even; with one worker taking all it is 1/workers."
            .to_owned(),
    ];
    if outcomes.iter().any(|outcome| !outcome.exact) {
        notes.push(
            "~ : an estimate: tracepoints see no end of a notification, and wakeups that one waiter of \
             a shared epoll passes on are inferred, or not seen."
                .into(),
        );
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.agrees) {
        notes.push(format!(
            "{}: observer counted {} accepts and {} EAGAIN, the server itself {} and {}.",
            outcome.strategy.name(),
            outcome.accepted,
            outcome.eagain(),
            outcome.tally.sum.accepted,
            outcome.tally.sum.eagain,
        ));
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.wakeups_agree) {
        notes.push(format!(
            "{}: observer counted {} wakeups, the kernel's count of sleeps gives {}.",
            outcome.strategy.name(),
            outcome.wakeups.total,
            outcome.tally.sum.wakeups(),
        ));
    }
    if outcomes.iter().all(|outcome| outcome.agrees && outcome.wakeups_agree) {
        notes.push(
            "These agree with each server's own count of accepts and EAGAIN, and with the \
             kernel's count of its workers' sleeps."
                .into(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::app::demo::{outcome::TallySum, protocol::Counts, strategy::Strategy};
    use observer::model::Wakeups;

    fn outcomes() -> Vec<Outcome> {
        let outcome = |&strategy: &Strategy| Outcome {
            strategy,
            workers: 8,
            connections: 200,
            wakeups_per_connection: Some(8.0),
            wakeups: Wakeups {
                total: 1600,
                won: 200,
                lost: 120,
                silent: 1280,
                ..Wakeups::default()
            },
            exact: true,
            accepted: 200,
            accept_errors: BTreeMap::from([("EAGAIN".into(), 120)]),
            fairness: Some(0.625),
            nanoseconds_per_connection: 41_400,
            tally: TallySum { sum: Counts { accepted: 200, eagain: 120, ..Counts::default() } },
            agrees: true,
            wakeups_agree: true,
        };
        Strategy::all().iter().map(outcome).collect()
    }

    fn widest(text: &str) -> usize {
        text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn at_80_columns_the_meaning_is_below_each_row() {
        let text = table(&outcomes()[..1], 80);
        assert_eq!(
            text,
            "\
8 workers, 200 connections, each made while every worker sleeps

STRATEGY WAKEUPS/CONN EAGAIN SILENT FAIRNESS TIME/CONN
epoll             8.0    120   1280     0.62     41 µs
  every idle worker wakes, one gets the connection

SILENT: woken, found nothing and slept again inside the kernel, unseen by the
  program. FAIRNESS: 1 is even; with one worker taking all it is 1/workers.
These agree with each server's own count of accepts and EAGAIN, and with the
  kernel's count of its workers' sleeps.
"
        );
        let all = table(&outcomes(), 80);
        assert_eq!(all.lines().filter(|line| line.starts_with("  ")).count(), 7 + 2);
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        for width in 0..=220 {
            let all = table(&outcomes(), width);
            assert!(widest(&all) <= width, "{width}: {all}");
        }
    }

    #[test]
    fn at_120_columns_it_is_beside_the_row() {
        let all = table(&outcomes(), 120);
        assert!(all.contains("MEANING"));
        assert!(all.contains("41 µs  as epoll: every idle worker wakes\n"), "{all}");
    }

    #[test]
    fn a_narrow_terminal_breaks_the_words_not_the_rows() {
        let all = table(&outcomes(), 40);
        assert!(all.contains("  every idle worker wakes, one gets the\n    connection\n"), "{all}");
    }

    #[test]
    fn differences_and_estimates_are_said() {
        let mut all = outcomes();
        all[1].agrees = false;
        all[1].accepted = 199;
        all[2].exact = false;
        all[2].wakeups_per_connection = None;
        let text = table(&all, 100);
        assert!(text.contains(
            "epoll-exclusive: observer counted 199 accepts and 120 EAGAIN, the server itself 200"
        ));
        assert!(
            text.contains("~ : an estimate: tracepoints")
                && text.contains("~1280")
                && text.contains("~-")
        );
        assert!(!text.contains("These agree"));
        assert!(!text.contains("count of sleeps"));
        all[3].wakeups_agree = false;
        assert!(table(&all, 100).contains("poll: observer counted 1600 wakeups, the kernel's"));
    }
}
