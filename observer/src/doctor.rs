//! `observer doctor`: what this kernel allows, by trying each hook.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use serde::Serialize;

use crate::{
    bpf::{
        attach::{Verdict, attempt},
        load::load,
        table::{PROBES, Probe, Signal, tracepoints},
    },
    cli::{DoctorArgs, Format, ProviderArg},
    fail::Status,
    kernel::facts::{Facts, online_cpus},
    plan::{Request, plan},
    report::model::Via,
};

/// What was found out.
#[derive(Debug, Serialize)]
struct Diagnosis {
    kernel: String,
    arch: String,
    cpus: usize,
    /// Why nothing could be tried, where that is so.
    refusal: Option<String>,
    signals: Vec<SignalState>,
    hooks: Vec<HookState>,
}

/// What a signal would come from.
#[derive(Debug, Serialize)]
struct SignalState {
    signal: &'static str,
    via: Via,
    /// What is not known without it, where it cannot be had.
    lost: Option<&'static str>,
}

/// What became of a hook.
#[derive(Debug, Serialize)]
struct HookState {
    program: &'static str,
    hook: &'static str,
    kind: &'static str,
    signals: Vec<&'static str>,
    purpose: &'static str,
    usable: bool,
    reason: Option<String>,
    #[serde(skip)]
    details: Option<String>,
}

/// Runs `observer doctor`: exits 0 when this host can be observed, 4 when it cannot.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let diagnosis = examine();
    let mut text = Vec::new();
    match args.format {
        Format::Json => {
            serde_json::to_writer(&mut text, &diagnosis)?;
            text.push(b'\n');
        }
        Format::Table => table(&mut text, &diagnosis, args.verbose)?,
    }
    match io::stdout().lock().write_all(&text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    let able = diagnosis.refusal.is_none() && diagnosis.hooks.iter().all(|hook| hook.usable);
    Ok(if able { ExitCode::SUCCESS } else { ExitCode::from(Status::NotPossible as u8) })
}

/// Tries every probe, one after the other; one that fails does not stop the others. All are
/// detached again when this returns.
fn examine() -> Diagnosis {
    let facts = Facts::gather(&tracepoints());
    let request = Request {
        provider: ProviderArg::Auto,
        pid_filter: true,
        listeners: 0,
        cpus: aya::util::nr_cpus().unwrap_or(1),
    };
    // A plan that is refused for want of one tracepoint says nothing about the others, so that
    // the refusal is taken from a plan and the verdicts from trying.
    let planned = plan(&facts, request);
    let refusal = planned.as_ref().err().map(|failure| failure.sentence.clone());
    let verdicts: Vec<_> = match planned.and_then(|plan| {
        load(&plan, false).map_err(|error| crate::fail::Failure::failed(format!("{error:#}")))
    }) {
        Ok(mut loaded) => PROBES.iter().map(|probe| attempt(&mut loaded, probe)).collect(),
        Err(failure) => {
            PROBES.iter().map(|probe| untried(probe, &facts, &failure.sentence)).collect()
        }
    };
    let hooks: Vec<_> =
        PROBES.iter().zip(verdicts).map(|(probe, verdict)| hook_state(probe, verdict)).collect();
    let signals = Signal::ALL.map(|signal| signal_state(signal, &hooks)).into();
    Diagnosis {
        kernel: facts.kernel,
        arch: facts.arch,
        cpus: online_cpus(),
        refusal,
        signals,
        hooks,
    }
}

fn untried(probe: &Probe, facts: &Facts, why: &str) -> Verdict {
    let reason = if facts.layout.is_ok() && !facts.tracepoints.contains(probe.hook) {
        probe.since.map_or_else(
            || "this kernel does not have it".to_owned(),
            |since| format!("this kernel does not have it; {since} and later do"),
        )
    } else {
        "not tried".to_owned()
    };
    Verdict::Refused { reason, details: why.to_owned() }
}

fn hook_state(probe: &Probe, verdict: Verdict) -> HookState {
    let (usable, reason, details) = match verdict {
        Verdict::Attached => (true, None, None),
        Verdict::Refused { reason, details } => (false, Some(reason), Some(details)),
    };
    HookState {
        program: probe.program,
        hook: probe.hook,
        kind: probe.kind.name(),
        signals: probe.signals.iter().map(|signal| signal.name()).collect(),
        purpose: probe.purpose,
        usable,
        reason,
        details,
    }
}

fn signal_state(signal: Signal, hooks: &[HookState]) -> SignalState {
    let name = signal.name();
    let had = hooks.iter().filter(|hook| hook.signals.contains(&name)).all(|hook| hook.usable);
    SignalState {
        signal: name,
        via: if had { Via::Tracepoint } else { Via::None },
        lost: (!had).then(|| signal.loss()),
    }
}

fn table(out: &mut impl Write, diagnosis: &Diagnosis, verbose: u8) -> io::Result<()> {
    let Diagnosis { kernel, arch, cpus, refusal, signals, hooks } = diagnosis;
    writeln!(out, "Linux {kernel} on {arch}, {cpus} CPUs")?;
    match refusal {
        Some(refusal) => writeln!(out, "observer cannot run here: {refusal}\n")?,
        None => writeln!(out, "observer can run here.\n")?,
    }
    writeln!(out, "{:<12}{:<12}WITHOUT IT", "SIGNAL", "VIA")?;
    for signal in signals {
        let via = match signal.via {
            Via::None => "none",
            _ => "tracepoint",
        };
        writeln!(out, "{:<12}{via:<12}{}", signal.signal, signal.lost.unwrap_or("-"))?;
    }
    writeln!(out, "\n{:<21}{:<8}{:<9}FOR", "HOOK", "KIND", "VERDICT")?;
    for hook in hooks {
        let verdict = if hook.usable { "ok" } else { "refused" };
        writeln!(out, "{:<21}{:<8}{verdict:<9}{}", hook.hook, hook.kind, hook.purpose)?;
        if let Some(reason) = &hook.reason {
            writeln!(out, "{:<21}{reason}", "")?;
        }
        if let (Some(details), true) = (&hook.details, verbose > 0) {
            writeln!(out, "{}", details.trim_end().replace('\n', "\n    "))?;
        }
    }
    writeln!(
        out,
        "\nEach hook was tried and let go again. fentry and kprobe hooks are not part of this \
         version."
    )
}

#[cfg(test)]
mod tests {
    use super::{Diagnosis, HookState, hook_state, signal_state, table};
    use crate::{
        bpf::{
            attach::Verdict,
            table::{PROBES, Signal},
        },
        report::model::Via,
    };

    fn hooks(refused: &str) -> Vec<HookState> {
        PROBES
            .iter()
            .map(|probe| {
                let verdict = if probe.hook == refused {
                    Verdict::Refused { reason: "EPERM".into(), details: "the whole log".into() }
                } else {
                    Verdict::Attached
                };
                hook_state(probe, verdict)
            })
            .collect()
    }

    #[test]
    fn a_signal_is_lost_with_any_of_its_hooks() {
        assert_eq!(signal_state(Signal::Wakeups, &hooks("")).via, Via::Tracepoint);
        for probe in PROBES {
            for signal in probe.signals {
                let state = signal_state(*signal, &hooks(probe.hook));
                assert_eq!(state.via, Via::None);
                assert_eq!(state.lost, Some(signal.loss()));
            }
        }
        assert_eq!(signal_state(Signal::Accepts, &hooks("napi_poll")).via, Via::Tracepoint);
    }

    #[test]
    fn the_table_names_the_refused_hook_and_shows_the_log_when_asked() {
        let hooks = hooks("sk_data_ready");
        let signals = Signal::ALL.map(|signal| signal_state(signal, &hooks)).into();
        let diagnosis = Diagnosis {
            kernel: "6.1".into(),
            arch: "x86_64".into(),
            cpus: 2,
            refusal: Some("no tracepoint".into()),
            signals,
            hooks,
        };
        let print = |verbose| {
            let mut out = Vec::new();
            table(&mut out, &diagnosis, verbose).expect("a table");
            String::from_utf8(out).expect("text")
        };
        assert!(print(0).contains("observer cannot run here: no tracepoint"));
        assert!(print(0).contains("EPERM"));
        assert!(!print(0).contains("the whole log"));
        assert!(print(1).contains("the whole log"));
        assert!(print(1).lines().all(|line| line.chars().count() <= 100));
    }
}
