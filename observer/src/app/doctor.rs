//! `observer doctor`: what this kernel allows, by trying each way to have each signal.

mod diagnosis;
mod memory;
mod table;

use std::process::ExitCode;

use anyhow::Result;

use self::{
    diagnosis::{CandidateState, Diagnosis, NOT_TRIED, SignalState},
    memory::Memory,
};
use crate::app::{
    cli::{DoctorArgs, Format},
    output,
    render::terminal::Screen,
};
use observer::{
    bpf::{
        attach::{Attached, Verdict, attach_candidate},
        load::{Loaded, load},
    },
    error::{Failure, Status},
    host::{netns, netns_handles::Places, processes::Processes},
    kernel::facts::Facts,
    plan::{Candidate, Request, candidate, plan},
    probes::{Kind, Provider, Signal, functions, tracepoints},
};

/// Runs `observer doctor`: exits 0 when this host can be observed, 4 when it cannot.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let diagnosis = examine();
    match args.format {
        Format::Json => output::line(&diagnosis)?,
        Format::Table => {
            let columns = Screen::of_stdout().columns();
            output::write(table::table(&diagnosis, args.verbose, columns).as_bytes())?;
        }
    }
    let able = diagnosis.refusal.is_none() && diagnosis.signals.iter().all(|one| one.via != "none");
    Ok(if able { ExitCode::SUCCESS } else { ExitCode::from(Status::NotPossible as u8) })
}

/// Tries every candidate of every signal; one that fails does not stop the others. All are let go
/// again when this returns.
fn examine() -> Diagnosis {
    let facts = Facts::gather(&tracepoints(), &functions());
    let mut processes = Processes::default();
    let mut places = Places::new(&mut processes);
    let namespaces = netns::look_at_all(&mut places, &mut processes, |_| false);
    let listeners = namespaces.values().map(|one| one.sockets.len()).sum();
    let request = Request {
        provider: None,
        pid_filter: true,
        cost: false,
        listeners,
        max_listeners: None,
        map_memory: None,
        tells_accepts: false,
        mutes: false,
        least_maps: false,
        cpus: aya::util::nr_cpus().unwrap_or(1),
        ports: &[],
    };
    let planned = plan(&facts, request);
    let memory = planned.as_ref().ok().map(|plan| Memory::of(&plan.sizes, &request));
    let prepared = planned.and_then(|plan| {
        load(&plan, &[], false).map_err(|error| Failure::failed(format!("{error:#}")))
    });
    let refusal = prepared.as_ref().err().map(|failure| failure.sentence.clone());
    let mut loaded = prepared.ok();
    let mut states = Signal::ALL.map(|_| Vec::<CandidateState>::new());
    // All signals by one provider at a time, as observer attaches them: some share a probe, and Linux
    // 5.10 refuses an fentry program on a function that has just been let go.
    for provider in Provider::ALL {
        let mut attached = Attached::default();
        for (signal, states) in Signal::ALL.into_iter().zip(&mut states) {
            let state = match candidate(&facts, request, signal, provider) {
                Ok(candidate) => attempt(loaded.as_mut(), &mut attached, signal, &candidate),
                Err(probe) => CandidateState {
                    provider: provider.name(),
                    usable: false,
                    hooks: Vec::new(),
                    refused_at: Some(probe.hook()),
                    reason: Some(match probe.since {
                        _ if facts.layout.is_err() => NOT_TRIED.to_owned(),
                        Some(since) => format!("not in this kernel; {since} and later have it"),
                        None => "not in this kernel".to_owned(),
                    }),
                    details: None,
                },
            };
            // Where nothing but tracepoints is needed there is one way and not two.
            if states.last().is_none_or(|last| last.provider != state.provider) {
                states.push(state);
            }
        }
    }
    let signals = Signal::ALL.into_iter().zip(states).map(|(signal, states)| SignalState {
        signal: signal.name(),
        via: states.iter().find(|state| state.usable).map_or("none", |state| state.provider),
        lost: signal.loss(),
        candidates: states,
    });
    Diagnosis { host: facts.host, refusal, memory, signals: signals.collect() }
}

/// Attaches a candidate beside what is attached already.
fn attempt(
    loaded: Option<&mut Loaded>,
    attached: &mut Attached,
    signal: Signal,
    candidate: &Candidate,
) -> CandidateState {
    let plain = candidate.probes.iter().all(|(probe, _)| probe.kind == Kind::BtfTracepoint);
    let mut hooks: Vec<_> = candidate.probes.iter().map(|(_, hook)| *hook).collect();
    hooks.dedup();
    let mut state = CandidateState {
        provider: if plain { Provider::Tracepoint.name() } else { candidate.provider.name() },
        usable: false,
        hooks,
        refused_at: None,
        reason: Some(NOT_TRIED.to_owned()),
        details: None,
    };
    let Some(loaded) = loaded else { return state };
    attach_candidate(loaded, attached, signal, candidate);
    match attached.trials.pop().map(|trial| trial.verdict) {
        Some(Verdict::Refused { probe, reason, details }) => {
            state.refused_at = Some(probe);
            state.reason = Some(reason);
            state.details = Some(details);
        }
        Some(Verdict::Attached) => {
            state.usable = true;
            state.reason = None;
        }
        None => {}
    }
    state
}
