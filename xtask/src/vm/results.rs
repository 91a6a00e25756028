//! What the machines of a run told beside results: numbers to be put side by side. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::{Machine, Provider};

/// What one machine told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) machine: Machine,
    /// `/proc/version`.
    pub(crate) version: String,
    /// What `observer doctor --format json` said, where it was asked.
    pub(crate) doctor: Option<Value>,
    /// Lines of the tests that begin with `figure`, without that word.
    pub(crate) figures: Vec<String>,
}

/// What a case's own tally and observer counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) own: u64,
    pub(crate) seen: u64,
}

impl Pair {
    /// By how much observer's number is off.
    pub(crate) fn difference(self) -> i128 {
        i128::from(self.seen) - i128::from(self.own)
    }
}

/// One test case on one machine, servers of all sizes added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: Pair,
    pub(crate) wakeups: Pair,
    /// Where the wakeups came from, and whether the report calls them exact.
    pub(crate) via: String,
    pub(crate) exact: bool,
}

/// What the verifier made of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) program: String,
    pub(crate) kind: String,
    pub(crate) hook: String,
    /// A count of instructions, or why it was refused.
    pub(crate) told: String,
}

impl Told {
    /// The release, as `uname -r` says it.
    pub(crate) fn release(&self) -> &str {
        self.version.split_whitespace().nth(2).unwrap_or("?")
    }

    /// The distribution's own version: what follows its name at the end.
    pub(crate) fn package(&self) -> &str {
        let words = self.version.rsplit_once("Debian ").map(|(_, after)| after);
        words.and_then(|words| words.split_whitespace().next()).unwrap_or("?")
    }

    /// The counts by the name of the case.
    pub(crate) fn counts(&self) -> BTreeMap<String, Counts> {
        let mut counts = BTreeMap::<String, Counts>::new();
        let lines = self.figures.iter().filter_map(|line| line.strip_prefix("counts "));
        for figure in lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let Some(case) = figure["case"].as_str() else { continue };
            let entry = counts.entry(case.to_owned()).or_default();
            for (pair, name) in [(&mut entry.accepted, "accepted"), (&mut entry.wakeups, "wakeups")]
            {
                pair.own += figure[name][0].as_u64().unwrap_or(0);
                pair.seen += figure[name][1].as_u64().unwrap_or(0);
            }
            entry.via = figure["via"].as_str().unwrap_or("?").to_owned();
            entry.exact = figure["exact"] == true;
        }
        counts
    }

    /// The verifier's verdicts, in the order in which they came.
    pub(crate) fn verified(&self) -> Vec<Verified> {
        let lines = self.figures.iter().filter_map(|line| line.strip_prefix("verified "));
        let verdict = |line: &str| {
            let (head, told) = line.split_once(": ")?;
            let mut words = head.split_whitespace().map(str::to_owned);
            let (program, kind, hook) = (words.next()?, words.next()?, words.next()?);
            Some(Verified { program, kind, hook, told: told.to_owned() })
        };
        lines.filter_map(verdict).collect()
    }
}

/// The strategy of a case, and what is particular about it: `truth::burst::poll`.
fn title(case: &str) -> &str {
    case.strip_prefix("truth::").unwrap_or(case)
}

/// Estimate beside exact: one line for each case that ran by tracepoints, with what the other
/// providers saw on the same kernel.
pub(crate) fn beside(all: &[Told]) -> Vec<String> {
    let mut lines = Vec::new();
    for estimate in all.iter().filter(|told| told.machine.provider == Provider::Tracepoint) {
        let exact = all.iter().filter(|told| {
            told.machine.series == estimate.machine.series
                && told.machine.provider != Provider::Tracepoint
        });
        let exact: Vec<_> = exact.map(|told| (told.machine.provider, told.counts())).collect();
        for (case, counts) in estimate.counts() {
            let mut line = format!(
                "{:<9}{:<32}{} tracepoint",
                estimate.machine.series.name,
                title(&case),
                words(&counts)
            );
            for (provider, other) in &exact {
                if let Some(other) = other.get(&case) {
                    line.push_str(&format!("; {} {provider}", words(other)));
                }
            }
            lines.push(line);
        }
    }
    lines
}

fn words(counts: &Counts) -> String {
    let one = |what: &str, pair: Pair| {
        format!("{what} {} of {} ({:+})", pair.seen, pair.own, pair.difference())
    };
    format!("{}, {}", one("accepted", counts.accepted), one("wakeups", counts.wakeups))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::vm::plan::machines;

    pub(crate) fn told(series: &str, provider: Provider, figures: &[&str]) -> Told {
        let machine = machines(&[series.to_owned()], &[provider]).expect("a machine")[0];
        Told {
            machine,
            version: format!(
                "Linux version {series}.9-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-14 \
                 (Debian 14.2.0-19)) #1 SMP Debian {series}.9-1 (2026-01-01)"
            ),
            doctor: None,
            figures: figures.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    const EIGHT: &str = r#"counts {"case":"truth::burst::poll","workers":8,"accepted":[5,5],"wakeups":[40,39],"via":"tracepoint","exact":true}"#;
    const TWO: &str = r#"counts {"case":"truth::burst::poll","workers":2,"accepted":[5,5],"wakeups":[10,10],"via":"tracepoint","exact":true}"#;

    #[test]
    fn sizes_of_one_case_are_added_up() {
        let counts = told("6.12", Provider::Tracepoint, &[EIGHT, TWO, "counts nonsense"]).counts();
        let poll = &counts["truth::burst::poll"];
        assert_eq!(poll.wakeups, Pair { own: 50, seen: 49 });
        assert_eq!((poll.accepted.difference(), poll.wakeups.difference()), (0, -1));
        assert!(poll.exact);
    }

    #[test]
    fn a_kernel_says_what_it_is() {
        let told = told("6.12", Provider::Kprobe, &[]);
        assert_eq!((told.release(), told.package()), ("6.12.9-cloud-amd64", "6.12.9-1"));
    }

    #[test]
    fn verdicts_are_read_with_their_reasons() {
        let figures =
            ["verified waking btftracepoint sched_waking: 9340", "verified a fexit b: refused: no"];
        let verified = told("6.12", Provider::Fentry, &figures).verified();
        assert_eq!((verified[0].program.as_str(), verified[0].told.as_str()), ("waking", "9340"));
        assert_eq!((verified[1].hook.as_str(), verified[1].told.as_str()), ("b", "refused: no"));
    }

    #[test]
    fn estimate_and_exact_of_one_kernel_stand_side_by_side() {
        let exact = EIGHT.replace("39", "40").replace("tracepoint", "fentry");
        let all = [
            told("6.12", Provider::Fentry, &[&exact]),
            told("6.18", Provider::Fentry, &[&exact]),
            told("6.12", Provider::Tracepoint, &[EIGHT]),
        ];
        let lines = beside(&all);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("wakeups 39 of 40 (-1) tracepoint"), "{lines:?}");
        assert!(lines[0].ends_with("wakeups 40 of 40 (+0) fentry"), "{lines:?}");
    }
}
