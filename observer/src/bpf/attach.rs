//! Attaching: the only place that tells program kinds apart.

use std::{any::Any, collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::programs::{BtfTracePoint, FEntry, FExit, KProbe, Program, ProgramError};
use nix::errno::Errno;

use crate::{
    bpf::load::Loaded,
    error::Failure,
    plan::{Candidate, Plan},
    probes::{Kind, Probe, Provider, Signal, When, probes},
};

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its probes run.
    Attached,
    /// One of its probes was refused.
    Refused {
        /// Which one.
        probe: &'static str,
        /// One line.
        reason: String,
        /// Everything that is known, the verifier's log included.
        details: String,
    },
}

/// One candidate that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The signal.
    pub signal: Signal,
    /// The kind of hooks.
    pub provider: Provider,
    /// What became of it.
    pub verdict: Verdict,
}

/// What keeps a program attached: dropping it detaches.
type Link = Box<dyn Any + Send>;

/// Links that keep programs attached, and what was tried on the way.
#[derive(Default)]
pub struct Attached {
    links: BTreeMap<&'static str, Link>,
    /// Candidates in the order in which they were tried.
    pub trials: Vec<Trial>,
}

impl Attached {
    /// Lets the probes go that are there for accept calls of before the window.
    pub fn release_in_flight(&mut self) {
        for probe in probes().filter(|probe| probe.when == When::InFlight) {
            self.links.remove(probe.program);
        }
    }

    /// Whether any of them is still there.
    #[must_use]
    pub fn follows_in_flight(&self) -> bool {
        probes()
            .filter(|probe| probe.when == When::InFlight)
            .any(|probe| self.links.contains_key(probe.program))
    }

    /// Whether programs see a task that puts the ready list of an epoll instance in order, from the
    /// beginning to the end.
    #[must_use]
    pub fn sees_scans(&self) -> bool {
        let all_attached =
            |programs: [&str; 2]| programs.iter().all(|one| self.links.contains_key(one));
        all_attached(["scan_enter", "scan_exit"]) || all_attached(["k_scan_enter", "k_scan_exit"])
    }

    /// Attaches the one of `ends` that the provider of wakeups has, and says whether it is there.
    pub fn follow_scans(
        &mut self,
        loaded: &mut Loaded,
        ends: &[(&'static Probe, &'static str)],
    ) -> bool {
        let Some(provider) = self.provider(Signal::Wakeups) else { return false };
        let own = |probe: &Probe| match provider {
            Provider::Fentry => probe.kind == Kind::Fexit,
            Provider::Kprobe => probe.kind == Kind::Kretprobe,
            Provider::Tracepoint => false,
        };
        let Some((probe, hook)) = ends.iter().find(|(probe, _)| own(probe)) else { return false };
        match attach(loaded, probe, hook) {
            Ok(link) => {
                self.links.insert(probe.program, link);
                true
            }
            Err(error) => {
                log::debug!("{}, done without: {error:#}", probe.program);
                false
            }
        }
    }

    /// Whether a kprobe is among the programs that a signal comes from.
    #[must_use]
    pub fn has_kprobes(&self, signal: Signal) -> bool {
        let Some(provider) = self.provider(signal) else { return false };
        probes()
            .filter(|probe| matches!(probe.kind, Kind::Kprobe | Kind::Kretprobe))
            .filter(|probe| probe.is_for(signal, provider))
            .any(|probe| self.links.contains_key(probe.program))
    }

    /// Whether every drop is seen, with its reason. Without the functions of IPv6, which are not in the
    /// kernel's own types where it is a module, the drops of its final ACKs are not.
    #[must_use]
    pub fn sees_drops(&self, ipv6: bool) -> bool {
        let final_acks = match self.provider(Signal::Drops) {
            Some(Provider::Fentry) => "syn_recv_v6",
            Some(Provider::Kprobe) => "k_syn_recv_v6",
            Some(Provider::Tracepoint) | None => return false,
        };
        !ipv6 || self.links.contains_key(final_acks)
    }

    /// Which provider a signal comes from.
    #[must_use]
    pub fn provider(&self, signal: Signal) -> Option<Provider> {
        self.trials
            .iter()
            .find(|trial| trial.signal == signal && trial.verdict == Verdict::Attached)
            .map(|trial| trial.provider)
    }
}

/// For each signal of the plan, tries the candidates until one is attached.
///
/// # Errors
///
/// A [`Failure`] that names the first signal which the kernel refused altogether, with its words
/// below.
pub fn attach_all(loaded: &mut Loaded, plan: &Plan) -> Result<Attached> {
    let mut attached = Attached::default();
    for (signal, candidates) in &plan.signals {
        let had = candidates.iter().any(|candidate| {
            attach_candidate(loaded, &mut attached, *signal, candidate);
            attached.provider(*signal).is_some()
        });
        if !had {
            return Err(refused(*signal, &attached.trials));
        }
    }
    Ok(attached)
}

/// Attaches the probes of one candidate, or none of them.
pub fn attach_candidate(
    loaded: &mut Loaded,
    attached: &mut Attached,
    signal: Signal,
    candidate: &Candidate,
) {
    let mut added = BTreeMap::new();
    let mut verdict = Verdict::Attached;
    for (probe, hook) in &candidate.probes {
        // A probe may serve several signals.
        if attached.links.contains_key(probe.program) {
            continue;
        }
        match attach(loaded, probe, hook) {
            Ok(link) => drop(added.insert(probe.program, link)),
            Err(error)
                if matches!(
                    probe.when,
                    When::Optional | When::ScansUnknown | When::InPlaceOf(_)
                ) =>
            {
                log::debug!("{}, done without: {error:#}", probe.program);
            }
            Err(error) => {
                log::debug!("{} by {}: {error:#}", signal.name(), candidate.provider.name());
                verdict = Verdict::Refused {
                    probe: hook,
                    reason: reason(&error),
                    details: format!("{error:#}"),
                };
                break;
            }
        }
    }
    if verdict == Verdict::Attached {
        attached.links.append(&mut added);
    }
    attached.trials.push(Trial { signal, provider: candidate.provider, verdict });
}

/// Loads one probe's program.
///
/// # Errors
///
/// The kernel's refusal.
pub fn load(loaded: &mut Loaded, probe: &Probe, hook: &str) -> Result<(), ProgramError> {
    let Loaded { ebpf, btf } = loaded;
    let Some(program) = ebpf.program_mut(probe.program) else {
        return Err(ProgramError::InvalidName { name: probe.program.to_owned() });
    };
    match program {
        Program::BtfTracePoint(program) => program.load(hook, btf),
        Program::FEntry(program) => program.load(hook, btf),
        Program::FExit(program) => program.load(hook, btf),
        Program::KProbe(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Takes a loaded program back from the kernel.
///
/// # Errors
///
/// When it was not loaded.
pub fn unload(loaded: &mut Loaded, probe: &Probe) -> Result<(), ProgramError> {
    match loaded.ebpf.program_mut(probe.program) {
        Some(Program::BtfTracePoint(program)) => program.unload(),
        Some(Program::FEntry(program)) => program.unload(),
        Some(Program::FExit(program)) => program.unload(),
        Some(Program::KProbe(program)) => program.unload(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Loads and attaches one probe.
fn attach(loaded: &mut Loaded, probe: &Probe, hook: &str) -> Result<Link> {
    unless_loaded(load(loaded, probe, hook))?;
    let program: &mut Program = loaded
        .ebpf
        .program_mut(probe.program)
        .ok_or_else(|| anyhow!("the object has no program {}", probe.program))?;
    let refused = "the kernel refused to attach it";
    let link: Link = match probe.kind {
        Kind::BtfTracepoint => {
            let program: &mut BtfTracePoint = program.try_into()?;
            let link = program.attach().context(refused)?;
            Box::new(program.take_link(link)?)
        }
        Kind::Fentry => {
            let program: &mut FEntry = program.try_into()?;
            let link = program.attach().context(refused)?;
            Box::new(program.take_link(link)?)
        }
        Kind::Kprobe | Kind::Kretprobe => {
            if !Path::new(KPROBES).exists() {
                bail!("this kernel has no kprobes (CONFIG_KPROBE_EVENTS)");
            }
            let program: &mut KProbe = program.try_into()?;
            let link = program.attach(hook, 0).context(refused)?;
            Box::new(program.take_link(link)?)
        }
        Kind::Fexit => {
            let program: &mut FExit = program.try_into()?;
            let link = program.attach().context(refused)?;
            Box::new(program.take_link(link)?)
        }
    };
    Ok(link)
}

/// A program that an earlier candidate had loaded needs only attaching.
fn unless_loaded(result: Result<(), ProgramError>) -> Result<()> {
    match result {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        result => result.context("the kernel refused to load it"),
    }
}

/// The kernel's own word for a refusal.
#[must_use]
pub fn reason(error: &anyhow::Error) -> String {
    let code = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error);
    match code {
        // It has no name for programs.
        Some(ENOTSUPP) => "the kernel has no way to attach there (ENOTSUPP)".to_owned(),
        Some(code) => {
            let errno = Errno::from_raw(code);
            format!("{} ({errno:?})", errno.desc())
        }
        None => error.root_cause().to_string(),
    }
}

/// include/linux/errno.h, for what the kernel itself does not support.
const ENOTSUPP: i32 = 524;

/// Where the kernel shows that it has kprobes (`perf_kprobe`, CONFIG_KPROBE_EVENTS).
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";

fn refused(signal: Signal, trials: &[Trial]) -> anyhow::Error {
    let mut details = String::new();
    let mut reasons = Vec::new();
    for trial in trials.iter().filter(|trial| trial.signal == signal) {
        if let Verdict::Refused { probe, reason, details: all } = &trial.verdict {
            reasons.push(format!("{} at {probe}: {reason}", trial.provider.name()));
            details.push_str(all);
            details.push('\n');
        }
    }
    let what = match signal {
        Signal::Life => "births and deaths of listeners",
        other => other.name(),
    };
    anyhow!(details.trim_end().to_owned()).context(Failure::not_possible(format!(
        "this kernel refused {} provider of {what} ({}); `observer doctor` shows what it allows",
        if reasons.len() == 1 { "the" } else { "every" },
        reasons.join("; ")
    )))
}

#[cfg(test)]
mod tests;
