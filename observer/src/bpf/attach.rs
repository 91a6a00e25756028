//! Attaching: each signal's providers in turn, until one has all of its probes.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use crate::{
    bpf::{
        load::Loaded,
        program::{Link, attach, reason, unload},
    },
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
    // What was refused is loaded still. A kprobe that does not run would keep the maps from being read in batches.
    for probe in probes().filter(|probe| !attached.links.contains_key(probe.program)) {
        let _not_loaded = unload(loaded, probe.program);
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
