//! The decision: which probes to try for each signal, from what the host has and what was asked for.

mod bytes;
mod room;
mod sizes;

use crate::{
    error::Failure,
    kernel::{btf::Layout, facts::Facts},
    probes::{Kind, Probe, Provider, Signal, When, probes},
};

pub use self::{
    bytes::{MapBytes, table},
    room::BUDGET,
    sizes::Sizes,
};

/// What was asked for, as far as it bears on the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Which kind of hooks.
    pub provider: Option<Provider>,
    /// Whether processes were named with `--pid`.
    pub pid_filter: bool,
    /// Whether it is asked what wakeups in vain cost.
    pub cost: bool,
    /// Listeners that exist now.
    pub listeners: usize,
    /// Room for so many of them, where that was said.
    pub max_listeners: Option<u32>,
    /// Kernel memory for all maps together, in MiB, where that was said.
    pub map_memory: Option<u32>,
    /// Whether accepts are told as events.
    pub tells_accepts: bool,
    /// Whether events are told of the listeners of some processes only.
    pub mutes: bool,
    /// Whether every map is to be as small as it may be, which is for tests.
    pub least_maps: bool,
    /// CPUs that can ever be online: per-CPU maps hold that many copies.
    pub cpus: usize,
    /// Ports of the listeners that are asked for; empty for all.
    pub ports: &'a [u16],
}

/// One way to have a signal: all of its probes, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The kind of hooks.
    pub provider: Provider,
    /// The probes with the hook of each that this kernel has, in the order of attaching.
    pub probes: Vec<(&'static Probe, &'static str)>,
}

/// What to load, and what to try.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// For each signal, in the order of attaching: the candidates, the preferred first.
    pub signals: Vec<(Signal, Vec<Candidate>)>,
    /// Where the kernel's fields lie.
    pub layout: Layout,
    /// Inode number of the PID namespace whose numbers the kernel programs are to tell; `None` for the
    /// initial one.
    pub pid_namespace: Option<u32>,
    /// Whether it is measured what wakeups in vain cost.
    pub cost: bool,
    /// Sizes of the kernel maps.
    pub sizes: Sizes,
    /// Ports of the listeners that are asked for; empty for all.
    pub ports: Vec<u16>,
    /// Exits to attach once one waiter of a shared epoll instance has woken the next, one for each
    /// provider that can have one, with the hook of each.
    pub scan_ends: Vec<(&'static Probe, &'static str)>,
}

/// Decides what to try.
///
/// # Errors
///
/// A [`Failure`] that names what is missing and what to do, when the host cannot observe.
pub fn plan(facts: &Facts, request: Request<'_>) -> Result<Plan, Failure> {
    let layout = layout(facts)?;
    let mut signals = Vec::new();
    for signal in Signal::ALL {
        let allowed = Provider::ALL.into_iter().filter(|one| one.is_allowed(request.provider));
        let mut missing = Vec::new();
        let candidates: Vec<_> = allowed
            .filter_map(|provider| {
                candidate(facts, request, signal, provider).map_err(|one| missing.push(one)).ok()
            })
            .collect();
        if candidates.is_empty() {
            return Err(cannot_have(facts, request.provider, signal, &missing));
        }
        signals.push((signal, candidates));
    }
    let scan_ends = match layout.knows_scans() {
        true => probes()
            .filter(|probe| SCAN_ENDS.contains(&probe.program))
            .filter_map(|probe| hook(probe, facts).map(|hook| (probe, hook)))
            .collect(),
        false => Vec::new(),
    };
    let (layout, ports) = (layout.clone(), request.ports.to_vec());
    let pid_namespace = facts.pid_namespace;
    let (cost, sizes) = (request.cost, room::sizes(needs(request))?);
    Ok(Plan { signals, layout, pid_namespace, cost, sizes, ports, scan_ends })
}

/// What the iterator over files needs, which is attached to nothing.
///
/// # Errors
///
/// A [`Failure`], as [`plan`] has it.
pub fn of_iterator(facts: &Facts) -> Result<Plan, Failure> {
    Ok(Plan {
        signals: Vec::new(),
        layout: layout(facts)?.clone(),
        pid_namespace: facts.pid_namespace,
        cost: false,
        sizes: Sizes::LEAST,
        ports: Vec::new(),
        scan_ends: Vec::new(),
    })
}

/// Where the kernel's fields lie, which only those may ask for who may load kernel programs.
fn layout(facts: &Facts) -> Result<&Layout, Failure> {
    if !facts.missing_capabilities.is_empty() {
        return Err(Failure::not_possible(format!(
            "not permitted to load kernel programs: this process lacks {}; run it with sudo",
            facts.missing_capabilities.join(" and ")
        )));
    }
    facts.layout.as_ref().map_err(|reason| {
        Failure::not_possible(format!(
            "{reason}; observer needs a kernel built with CONFIG_DEBUG_INFO_BTF"
        ))
    })
}

/// Programs that tell the end of a scan of an epoll instance's ready list.
const SCAN_ENDS: [&str; 2] = ["scan_exit", "k_scan_exit"];

/// One way to have a signal on this host, or the first probe whose hook is missing.
///
/// # Errors
///
/// The probe that this kernel has no hook for.
pub fn candidate(
    facts: &Facts,
    request: Request<'_>,
    signal: Signal,
    provider: Provider,
) -> Result<Candidate, &'static Probe> {
    let scans_known = facts.layout.as_ref().is_ok_and(Layout::knows_scans);
    let probes = probes()
        .filter(|probe| probe.is_for(signal, provider))
        .filter(|probe| match probe.when {
            When::Always | When::InFlight => true,
            When::PidFilter => request.pid_filter,
            When::CostAsked => request.cost,
            When::Optional | When::RequiredIfPresent => hook(probe, facts).is_some(),
            When::FallbackFor(other) => probes()
                .find(|probe| probe.program == other)
                .is_none_or(|other| hook(other, facts).is_none()),
            When::ScansUnknown => !scans_known && hook(probe, facts).is_some(),
            When::InPlaceOf(other) => {
                let other = probes().find(|probe| probe.program == other);
                !scans_known
                    && hook(probe, facts).is_some()
                    && (provider == Provider::Kprobe
                        || request.provider.is_none()
                            && other.is_none_or(|other| hook(other, facts).is_none()))
            }
        })
        .map(|probe| hook(probe, facts).map(|hook| (probe, hook)).ok_or(probe))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Candidate { provider, probes })
}

/// The hook of a probe that this kernel has.
#[must_use]
pub fn hook(probe: &Probe, facts: &Facts) -> Option<&'static str> {
    let there = match probe.kind {
        Kind::BtfTracepoint => &facts.tracepoints,
        Kind::Fentry | Kind::Fexit | Kind::Kprobe | Kind::Kretprobe => &facts.functions,
    };
    // Only attaching tells whether a symbol is there.
    let by_symbol = matches!(probe.kind, Kind::Kprobe | Kind::Kretprobe);
    let found = |hook: &&str| there.contains(hook) || by_symbol && hook.contains('.');
    probe.hooks.iter().copied().find(found)
}

fn cannot_have(
    facts: &Facts,
    asked: Option<Provider>,
    signal: Signal,
    missing: &[&Probe],
) -> Failure {
    let advice = match asked {
        None => "",
        Some(_) => "; leave out --provider, and observer takes what this kernel has",
    };
    let hooks: Vec<_> = missing
        .iter()
        .map(|probe| match probe.since {
            Some(since) => format!("{} ({since} and later have it)", probe.hook()),
            None => probe.hook().to_owned(),
        })
        .collect();
    Failure::not_possible(format!(
        "this kernel ({}) does not give {}: it has no {}; without it: {}{advice}",
        facts.host.kernel,
        signal.name(),
        hooks.join(" and no "),
        signal.loss()
    ))
}

/// The kernel memory that all maps together may take, in bytes.
#[must_use]
pub fn budget(map_memory: Option<u32>) -> u64 {
    u64::from(map_memory.unwrap_or(BUDGET)) * 1024 * 1024
}

fn needs(request: Request<'_>) -> room::Needs {
    let Request { cpus, listeners, max_listeners, pid_filter, cost, .. } = request;
    let Request { tells_accepts, mutes, .. } = request;
    let (budget, least) = (budget(request.map_memory), request.least_maps);
    room::Needs {
        cpus,
        listeners,
        max_listeners,
        pid_filter,
        cost,
        tells_accepts,
        mutes,
        least,
        budget,
    }
}

#[cfg(test)]
mod tests;
