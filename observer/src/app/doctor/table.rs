//! The diagnosis as a table. Pure.

use std::io::{self, Write};

use super::diagnosis::{Diagnosis, NOT_TRIED};

/// The width of the columns before the last one.
const BEFORE: usize = 33;

/// The most that the last column takes: longer lines are hard to read.
const MOST: usize = 80;

/// Below this width the last column is put beneath the others: it would be one of single words.
const NARROW: usize = 64;

/// Writes what was found out, in lines of at most `width` characters where words allow it.
///
/// # Errors
///
/// Those of `out`.
pub(super) fn write(
    out: &mut impl Write,
    diagnosis: &Diagnosis,
    verbose: u8,
    width: usize,
) -> io::Result<()> {
    let Diagnosis { kernel, arch, cpus, refusal, signals } = diagnosis;
    writeln!(out, "Linux {kernel} on {arch}, {cpus} CPUs")?;
    match refusal {
        Some(refusal) => wrapped(out, &format!("observer cannot run here: {refusal}"), width)?,
        None => writeln!(out, "observer can run here.")?,
    }
    let narrow = width < NARROW;
    let last = if narrow { "" } else { "  HOOKS, OR WHY NOT" };
    writeln!(out, "\n{:<11} {:<11} VERDICT{last}", "SIGNAL", "PROVIDER")?;
    let room = if narrow { width.saturating_sub(2) } else { (width - BEFORE).min(MOST) };
    for signal in signals {
        let mut name = signal.signal;
        let mut chosen = false;
        for candidate in &signal.candidates {
            let untried = candidate.reason.as_deref() == Some(NOT_TRIED);
            let verdict = match (candidate.usable, chosen) {
                (true, false) => "used",
                (true, true) => "spare",
                (false, _) if untried => "untried",
                (false, _) => "refused",
            };
            chosen |= candidate.usable;
            let what = match (&candidate.reason, candidate.refused_at) {
                _ if untried => String::new(),
                (Some(reason), Some(hook)) => format!("{hook}: {reason}"),
                (Some(reason), None) => reason.clone(),
                (None, _) => candidate.hooks.join(", "),
            };
            let lines = textwrap::wrap(&what, room.max(1));
            let provider = candidate.provider;
            if narrow {
                writeln!(out, "{name:<11} {provider:<11} {verdict}")?;
                lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
            } else {
                let mut before = format!("{name:<11} {provider:<11} {verdict:<8}");
                for line in lines {
                    writeln!(out, "{}", format!("{before} {line}").trim_end())?;
                    before = " ".repeat(BEFORE - 1);
                }
            }
            name = "";
            if let (Some(details), true) = (&candidate.details, verbose > 0) {
                writeln!(out, "{}", details.trim_end())?;
            }
        }
        if !chosen {
            let indent = if narrow { "  " } else { "            " };
            let options = textwrap::Options::new(width).initial_indent(indent);
            let told = format!("without it: {}", signal.lost);
            let lines = textwrap::wrap(&told, options.subsequent_indent(indent));
            lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
    }
    if refusal.is_some() {
        return Ok(());
    }
    let told = "Each was tried and let go again; `used` is what observer takes by itself.";
    writeln!(out)?;
    wrapped(out, told, width)
}

fn wrapped(out: &mut impl Write, sentence: &str, width: usize) -> io::Result<()> {
    textwrap::wrap(sentence, width.max(1)).iter().try_for_each(|line| writeln!(out, "{line}"))
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::app::doctor::diagnosis::{CandidateState, Diagnosis, SignalState};

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
            kernel: "6.1".into(),
            arch: "x86_64".into(),
            cpus: 2,
            refusal: None,
            signals: vec![
                state("wakeups", "tracepoint", vec![refused(), used]),
                state("accepts", "none", vec![refused()]),
            ],
        }
    }

    fn print(diagnosis: &Diagnosis, verbose: u8, width: usize) -> String {
        let mut out = Vec::new();
        write(&mut out, diagnosis, verbose, width).expect("a table");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_table_names_what_is_used_and_why_the_rest_is_not() {
        let text = print(&diagnosis(), 0, 80);
        assert!(text.contains("observer can run here"), "{text}");
        assert!(text.contains("sock_def_readable: Operation not permitted"), "{text}");
        assert!(text.contains("tracepoint  used"), "{text}");
        assert!(text.contains("without it: no herd ratio"), "{text}");
        assert!(!text.contains("the whole log"), "{text}");
        assert!(print(&diagnosis(), 1, 80).contains("the whole log"));
    }

    #[test]
    fn it_fits_every_width_and_breaks_no_word() {
        for width in [48, 63, 64, 80, 200] {
            let text = print(&diagnosis(), 0, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
            for word in ["sock_def_readable:", "inet_sock_set_state", "permitted", "tracepoint"] {
                assert!(text.split_whitespace().any(|one| one == word), "{width}: {word}: {text}");
            }
        }
    }

    #[test]
    fn what_was_not_tried_is_not_said_to_be() {
        let refused = Diagnosis { refusal: Some("run it with sudo".into()), ..diagnosis() };
        assert!(print(&diagnosis(), 0, 80).contains("Each was tried"));
        let text = print(&refused, 0, 80);
        assert!(text.contains("run it with sudo") && !text.contains("was tried"), "{text}");
    }
}
