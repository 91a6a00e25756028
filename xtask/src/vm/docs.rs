//! docs/kernels.md, made from what the machines of a whole run told. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::{
    plan::Provider,
    results::{Counts, Told},
};

const HEAD: &str = "\
# Kernels and providers

Made by `cargo xtask vm --docs` from one run of the matrix; not written by hand. Each kernel is one of
Debian's cloud kernels (`-rt`: its PREEMPT_RT kernel), run by QEMU with two CPUs (`-smp`: four). [architecture.md](architecture.md) says what each number comes from.
";

const COUNTS: &str = "
## Counted, against the workload's own count

Each strategy with servers of 1, 2 and 8 workers, one connection at a time (`spaced`), and a server of 8
with connections back to back (`burst`). `own` is what the servers counted: their successful accept calls,
and their voluntary context switches less those for a lock. Next to it what observer counted, as
accepted / wakeups, by the provider that it was told to use (`auto`: none in particular). `=` is equal;
anything else is the difference. In a burst a worker that is woken may find more than one connection
before it sleeps again, so that `own` differs from run to run.
";

const VERIFIED: &str = "
## Verified instructions

What each program costs the kernel's verifier: instructions that it went through, every path counted.
";

/// The page.
pub(crate) fn page(all: &[Told]) -> String {
    let mut page = HEAD.to_owned();
    let mut series: Vec<&str> = Vec::new();
    for told in all {
        if !series.contains(&told.machine.series.name) {
            series.push(told.machine.series.name);
        }
    }
    kernels(&mut page, all, &series);
    for name in &series {
        let of: Vec<_> = all.iter().filter(|told| told.machine.series.name == *name).collect();
        signals(&mut page, name, &of);
    }
    page.push_str(COUNTS);
    for name in &series {
        let of: Vec<_> = all.iter().filter(|told| told.machine.series.name == *name).collect();
        counts(&mut page, name, &of);
    }
    page.push_str(VERIFIED);
    verified(&mut page, all, &series);
    page
}

/// One row of a table.
fn row(page: &mut String, cells: &[String]) {
    // Writing to a string does not fail.
    let _: std::fmt::Result = writeln!(page, "| {} |", cells.join(" | "));
}

fn heading(page: &mut String, cells: &[String]) {
    page.push('\n');
    row(page, cells);
    row(page, &vec!["---".to_owned(); cells.len()]);
}

fn kernels(page: &mut String, all: &[Told], series: &[&str]) {
    heading(page, &["series", "release", "Debian's version", "run with"].map(str::to_owned));
    for name in series {
        let of: Vec<_> = all.iter().filter(|told| told.machine.series.name == *name).collect();
        let with: Vec<_> = of.iter().map(|told| told.machine.provider.to_string()).collect();
        let Some(first) = of.first() else { continue };
        row(
            page,
            &[
                (*name).to_owned(),
                first.release().to_owned(),
                first.package().to_owned(),
                with.join(", "),
            ],
        );
    }
}

/// What `observer doctor` found on a kernel.
fn signals(page: &mut String, series: &str, of: &[&Told]) {
    let Some(doctor) = of.iter().find_map(|told| told.doctor.as_ref()) else { return };
    let _: std::fmt::Result = writeln!(page, "\n### Linux {series}");
    heading(page, &["signal", "provider", "verdict"].map(str::to_owned));
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    for signal in doctor["signals"].as_array().into_iter().flatten() {
        for candidate in signal["candidates"].as_array().into_iter().flatten() {
            let verdict = if candidate["usable"] != true {
                let hook = candidate["refused_at"].as_str().map(|at| format!("{at}: "));
                format!("no: {}{}", hook.unwrap_or_default(), text(&candidate["reason"]))
            } else if candidate["provider"] == signal["via"] {
                "chosen".to_owned()
            } else {
                "possible".to_owned()
            };
            row(page, &[text(&signal["signal"]), text(&candidate["provider"]), verdict]);
        }
    }
}

fn counts(page: &mut String, series: &str, of: &[&Told]) {
    let machines: Vec<(Provider, BTreeMap<String, Counts>)> =
        of.iter().map(|told| (told.machine.provider, told.counts())).collect();
    let mut cases: Vec<&String> = machines.iter().flat_map(|(_, counts)| counts.keys()).collect();
    cases.sort_unstable();
    cases.dedup();
    if cases.is_empty() {
        return;
    }
    let _: std::fmt::Result = writeln!(page, "\n### Linux {series}");
    let mut cells = vec!["case".to_owned()];
    cells.extend(machines.iter().map(|(provider, _)| format!("{provider}: own, seen")));
    heading(page, &cells);
    for case in cases {
        let name = case.strip_prefix("truth::").unwrap_or(case);
        let mut cells = vec![name.to_owned()];
        cells.extend(machines.iter().map(|(_, counts)| counts.get(case).map_or("".into(), cell)));
        row(page, &cells);
    }
}

fn cell(counts: &Counts) -> String {
    let one = |difference: i128| match difference {
        0 => "=".to_owned(),
        off => format!("{off:+}"),
    };
    let own = format!("{} / {}", counts.accepted.own, counts.wakeups.own);
    let seen =
        format!("{} / {}", one(counts.accepted.difference()), one(counts.wakeups.difference()));
    format!("{own}, {seen}{}", if counts.exact { "" } else { " (says: an estimate)" })
}

fn verified(page: &mut String, all: &[Told], series: &[&str]) {
    // Variants of a kernel do not load each program alone.
    let (series, of): (Vec<&str>, Vec<_>) = series
        .iter()
        .map(|name| {
            let told = all.iter().filter(|told| told.machine.series.name == *name);
            (*name, told.flat_map(Told::verified).collect::<Vec<_>>())
        })
        .filter(|(_, verdicts)| !verdicts.is_empty())
        .unzip();
    let mut programs: Vec<(&str, &str)> = Vec::new();
    for one in of.iter().flatten() {
        if !programs.iter().any(|(program, _)| *program == one.program) {
            programs.push((&one.program, &one.kind));
        }
    }
    programs.sort_unstable();
    let mut cells = vec!["program".to_owned(), "kind".to_owned()];
    cells.extend(series.iter().map(|name| (*name).to_owned()));
    heading(page, &cells);
    for (program, kind) in programs {
        let mut cells = vec![format!("`{program}`"), kind.to_owned()];
        cells.extend(of.iter().map(|verdicts| {
            let verdict = verdicts.iter().find(|one| one.program == program);
            verdict.map_or_else(String::new, |one| one.told.clone())
        }));
        row(page, &cells);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::page;
    use crate::vm::{plan::Provider, results::tests::told};

    #[test]
    fn the_page_has_what_the_machines_told() {
        let case = |seen: u64, via: &str, exact: bool| {
            let figure = json!({"case": "truth::spaced::poll::ipv4", "accepted": [20, 20],
                "wakeups": [40, seen], "via": via, "exact": exact});
            format!("counts {figure}")
        };
        let verdict = |told: &str| format!("verified waking btftracepoint sched_waking: {told}");
        let mut first =
            told("6.12", Provider::Fentry, &[&case(40, "fentry", true), &verdict("9340")]);
        first.doctor = Some(json!({"signals": [{"signal": "wakeups", "via": "fentry",
            "candidates": [
                {"provider": "fentry", "usable": true},
                {"provider": "kprobe", "usable": true},
                {"provider": "tracepoint", "usable": false, "refused_at": "sk_data_ready",
                 "reason": "not in this kernel"}]}]}));
        let second = told("6.12", Provider::Tracepoint, &[&case(39, "tracepoint", false)]);
        let third = told("7.2", Provider::Fentry, &[&verdict("refused: not in this kernel")]);
        let page = page(&[first, second, third]);
        for line in [
            "| 6.12 | 6.12.9-cloud-amd64 | 6.12.9-1 | fentry, tracepoint |",
            "| wakeups | fentry | chosen |",
            "| wakeups | kprobe | possible |",
            "| wakeups | tracepoint | no: sk_data_ready: not in this kernel |",
            "| case | fentry: own, seen | tracepoint: own, seen |",
            "| spaced::poll::ipv4 | 20 / 40, = / = | 20 / 40, = / -1 (says: an estimate) |",
            "| program | kind | 6.12 | 7.2 |",
            "| `waking` | btftracepoint | 9340 | refused: not in this kernel |",
        ] {
            assert!(page.lines().any(|one| one == line), "no {line:?} in:\n{page}");
        }
        assert!(!page.contains("### Linux 7.2\n\n| case"), "nothing was counted there");
    }
}
