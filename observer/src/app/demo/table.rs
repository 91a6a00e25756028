//! The demo's table.

use std::fmt::Write;

use super::outcome::Outcome;

const HEADINGS: [&str; 6] =
    ["STRATEGY", "WAKEUPS/CONN", "EAGAIN", "SILENT", "FAIRNESS", "TIME/CONN"];
const GAP: &str = "  ";

/// The table for this many columns: what each row means stands beside it where it fits, else
/// below it.
pub(super) fn table(outcomes: &[Outcome], width: usize) -> String {
    let rows: Vec<[String; 6]> = outcomes.iter().map(cells).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADINGS[column].len()]).max().unwrap_or(0)
    });
    let meaning = outcomes.iter().map(|outcome| outcome.strategy.meaning().len()).max();
    let numbers = widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1);
    let beside = meaning.is_some_and(|meaning| numbers + GAP.len() + meaning <= width);

    let mut text = String::new();
    if let Some(first) = outcomes.first() {
        let (workers, connections) = (first.workers, first.connections);
        let line = format!(
            "{workers} workers, {connections} connections, each made while every worker sleeps"
        );
        paragraph(&mut text, &line, "", width);
        text.push('\n');
    }
    let mut heading = row(&HEADINGS.map(String::from), &widths);
    if beside {
        heading.push_str(GAP);
        heading.push_str("MEANING");
    }
    line(&mut text, &heading);
    for (outcome, cells) in outcomes.iter().zip(&rows) {
        let mut numbers = row(cells, &widths);
        if beside {
            numbers.push_str(GAP);
            numbers.push_str(outcome.strategy.meaning());
        }
        line(&mut text, &numbers);
        if !beside {
            paragraph(&mut text, outcome.strategy.meaning(), GAP, width);
        }
    }
    text.push('\n');
    for note in notes(outcomes) {
        paragraph(&mut text, &note, "", width);
    }
    text
}

fn cells(outcome: &Outcome) -> [String; 6] {
    let estimate = if outcome.exact { "" } else { "~" };
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or_else(|| "-".into(), |value| format!("{value:.decimals$}"))
    };
    [
        outcome.strategy.name().into(),
        format!("{estimate}{}", number(outcome.wakeups_per_connection, 1)),
        outcome.eagain().to_string(),
        format!("{estimate}{}", outcome.wakeups.silent),
        number(outcome.fairness, 2),
        time(outcome.nanoseconds_per_connection),
    ]
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

/// One row: the first cell to the left, numbers to the right.
fn row(cells: &[String; 6], widths: &[usize; 6]) -> String {
    let mut text = format!("{:<width$}", cells[0], width = widths[0]);
    for (cell, width) in cells.iter().zip(widths).skip(1) {
        // Writing to a string does not fail.
        let _ = write!(text, "{GAP}{cell:>width$}");
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Adds a text in lines of at most `width` columns.
fn paragraph(text: &mut String, words: &str, indent: &str, width: usize) {
    let mut column = 0;
    for word in words.split_whitespace() {
        if column > 0 && column + 1 + word.chars().count() > width {
            text.push('\n');
            column = 0;
        }
        let before = if column == 0 { indent } else { " " };
        text.push_str(before);
        text.push_str(word);
        column += before.len() + word.chars().count();
    }
    text.push('\n');
}

/// A time with the unit that keeps it short.
fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..999_500 => format!("{} µs", (nanoseconds + 500) / 1_000),
        999_500..10_000_000_000 => {
            let tenths = (nanoseconds + 50_000) / 100_000;
            format!("{}.{} ms", tenths / 10, tenths % 10)
        }
        _ => format!("{} s", (nanoseconds + 500_000_000) / 1_000_000_000),
    }
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

STRATEGY  WAKEUPS/CONN  EAGAIN  SILENT  FAIRNESS  TIME/CONN
epoll              8.0     120    1280      0.62      41 µs
  every idle worker wakes, one gets the connection

SILENT: woken, found nothing and slept again inside the kernel, unseen by the
program. FAIRNESS: 1 is even; with one worker taking all it is 1/workers.
These agree with each server's own count of accepts and EAGAIN, and with the
kernel's count of its workers' sleeps.
"
        );
        let all = table(&outcomes(), 80);
        assert!(widest(&all) <= 80);
        assert_eq!(all.lines().filter(|line| line.starts_with("  ")).count(), 7);
    }

    #[test]
    fn at_120_columns_it_is_beside_the_row() {
        let all = table(&outcomes(), 120);
        assert!(widest(&all) <= 120, "{all}");
        assert!(all.contains("MEANING"));
        assert!(all.contains("41 µs  as epoll: every idle worker wakes\n"), "{all}");
    }

    #[test]
    fn a_narrow_terminal_breaks_the_words_not_the_rows() {
        let all = table(&outcomes(), 40);
        assert!(all.contains("  every idle worker wakes, one gets the\n  connection\n"), "{all}");
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

    #[test]
    fn times_keep_short() {
        let times = [999, 1_000, 41_499, 999_499, 999_500, 1_350_000, 10_000_000_000].map(time);
        assert_eq!(times, ["999 ns", "1 µs", "41 µs", "999 µs", "1.0 ms", "1.4 ms", "10 s"]);
    }
}
