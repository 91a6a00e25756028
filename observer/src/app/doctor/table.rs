//! The diagnosis as a table. Pure.

use anstyle::Style;

use super::diagnosis::{CandidateState, Diagnosis, NOT_TRIED};
use crate::app::render::{
    cell::Cell,
    grid::{Grid, Heading, Row},
    line::{Line, indented, joined, painted, wrapped},
};

const COLUMNS: [Heading; 3] = [
    Heading::words("SIGNAL", 0, [0; 3], 6),
    Heading::words("PROVIDER", 1, [0; 3], 8),
    Heading::words("VERDICT", 1, [0; 3], 7),
];

/// What was found out, in lines of at most `width` columns.
pub(super) fn table(diagnosis: &Diagnosis, verbose: u8, width: usize) -> String {
    let Diagnosis { host, refusal, memory, signals } = diagnosis;
    let sentence = |words: &str| wrapped(words, Style::new(), width);
    let mut head = sentence(&format!("Linux {} on {}, {} CPUs", host.kernel, host.arch, host.cpus));
    head.extend(match refusal {
        Some(refusal) => sentence(&format!("observer cannot run here: {refusal}")),
        None => sentence("observer can run here."),
    });
    let mut grid =
        Grid { headings: COLUMNS.to_vec(), remarks: "HOOKS, OR WHY NOT", ..Grid::default() };
    for signal in signals {
        let mut name = signal.signal;
        let mut chosen = false;
        for candidate in &signal.candidates {
            grid.rows.push(row(name, candidate, chosen, verbose, width));
            chosen |= candidate.usable;
            name = "";
        }
        if let (false, Some(last)) = (chosen, grid.rows.last_mut()) {
            let told = format!("without it: {}", signal.lost);
            last.beneath.extend(indented(&told, "  ", Style::new(), width));
        }
    }
    let table = grid.lines(&grid.layout(width));
    let told = match refusal {
        None => sentence(
            "Each was tried and detached again; without --provider, observer uses what is marked used.",
        ),
        Some(_) => Vec::new(),
    };
    let mut of_maps: Vec<Line> =
        memory.iter().flat_map(|memory| sentence(&memory.sentence())).collect();
    let mut maps = Vec::new();
    if let (Some(memory), 1..) = (memory, verbose) {
        maps = memory.lines(width);
    } else if memory.is_some() {
        of_maps.extend(sentence("-v shows each of them."));
    }
    painted(&joined([head, table, told, of_maps, maps]), width, false)
}

/// One candidate; `chosen` says that one before it is used.
fn row(name: &str, candidate: &CandidateState, chosen: bool, verbose: u8, width: usize) -> Row {
    let untried = candidate.reason.as_deref() == Some(NOT_TRIED);
    let verdict = match (candidate.usable, chosen) {
        (true, false) => "used",
        (true, true) => "spare",
        (false, _) if untried => "untried",
        (false, _) => "refused",
    };
    let remark = match (&candidate.reason, candidate.refused_at) {
        _ if untried => String::new(),
        (Some(reason), Some(hook)) => format!("{hook}: {reason}"),
        (Some(reason), None) => reason.clone(),
        (None, _) => candidate.hooks.join(", "),
    };
    let details = candidate.details.iter().filter(|_| verbose > 0).flat_map(|text| text.lines());
    let beneath: Vec<Line> =
        details.flat_map(|line| indented(line, "  ", Style::new(), width)).collect();
    let cells = [name, candidate.provider, verdict].map(Cell::text).to_vec();
    Row { cells, remark, beneath, ..Row::default() }
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::app::doctor::{
        diagnosis::{CandidateState, Diagnosis, SignalState},
        memory::example,
    };
    use observer::model::Host;

    fn diagnosis() -> Diagnosis {
        let refused = || CandidateState {
            provider: "fentry",
            usable: false,
            hooks: vec!["sock_def_readable"],
            refused_at: Some("sock_def_readable"),
            reason: Some("Operation not permitted".into()),
            details: Some("the whole log".into()),
        };
        let used = CandidateState {
            provider: "tracepoint",
            usable: true,
            hooks: vec!["sched_waking", "sk_data_ready", "napi_poll", "inet_sock_set_state"],
            refused_at: None,
            reason: None,
            details: None,
        };
        let state = |signal, via, candidates| SignalState {
            signal,
            via,
            lost: "no herd ratio",
            candidates,
        };
        Diagnosis {
            host: Host { kernel: "6.1".into(), arch: "x86_64".into(), cpus: 2 },
            refusal: None,
            memory: Some(example()),
            signals: vec![
                state("wakeups", "tracepoint", vec![refused(), used]),
                state("accepts", "none", vec![refused()]),
            ],
        }
    }

    #[test]
    fn the_table_names_what_is_used_and_why_the_rest_is_not() {
        let text = table(&diagnosis(), 0, 80);
        assert!(text.contains("observer can run here"), "{text}");
        assert!(text.contains("sock_def_readable: Operation not permitted"), "{text}");
        assert!(text.contains("tracepoint used"), "{text}");
        assert!(text.contains("without it: no herd ratio"), "{text}");
        assert!(!text.contains("the whole log"), "{text}");
        assert!(table(&diagnosis(), 1, 80).contains("the whole log"));
    }

    #[test]
    fn the_memory_of_maps_is_told_with_its_budget() {
        let text = table(&diagnosis(), 0, 100);
        assert!(text.contains("23.6 of at most 64 MiB"), "{text}");
        assert!(text.contains("possible CPUs: 255, listeners now: 10"), "{text}");
        assert!(!text.contains("QUEUES"), "{text}");
        let text = table(&diagnosis(), 1, 100);
        let at = |map| text.find(map).expect("a line of its own");
        assert!(at("QUEUES") < at("WAITS"), "{text}");
    }

    #[test]
    fn it_fits_every_width_and_breaks_no_word() {
        for width in 0..=220 {
            let text = table(&diagnosis(), 0, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
            if width < 48 {
                continue;
            }
            for word in ["sock_def_readable:", "inet_sock_set_state", "permitted", "tracepoint"] {
                assert!(text.split_whitespace().any(|one| one == word), "{width}: {word}: {text}");
            }
        }
    }

    #[test]
    fn what_was_not_tried_is_not_said_to_be() {
        let refused = Diagnosis { refusal: Some("run it with sudo".into()), ..diagnosis() };
        assert!(table(&diagnosis(), 0, 80).contains("Each was tried"));
        let text = table(&refused, 0, 80);
        assert!(text.contains("run it with sudo") && !text.contains("was tried"), "{text}");
    }
}
