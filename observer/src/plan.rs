//! The decision: which probes to try for each signal, from what the host has and what was asked for.

use crate::{
    error::Failure,
    kernel::{btf::Layout, facts::Facts},
    probes::{Kind, Probe, Provider, Signal, When, probes},
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
    /// Listeners that exist now: the maps are sized by it.
    pub listeners: usize,
    /// Room for so many of them, where that was said.
    pub max_listeners: Option<u32>,
    /// CPUs that can ever be online: per-CPU maps hold that many copies.
    pub cpus: usize,
    /// Ports of the listeners that are asked for; empty for all.
    pub ports: &'a [u16],
}

/// Sizes of the kernel maps, in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Listeners that something happens on.
    pub listeners: u32,
    /// Pairs of a listener and a task.
    pub workers: u32,
    /// Tasks that a listener woke.
    pub tasks: u32,
    /// Pairs of a listener and a bucket of accept waits.
    pub waits: u32,
    /// Processes below those that `--pid` names.
    pub tree: u32,
    /// Accept calls that are under way when the window opens.
    pub in_flight: u32,
    /// Tasks whose time is measured since they were woken.
    pub runs: u32,
    /// Listeners of which it is measured what wakeups in vain cost.
    pub wasted: u32,
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
    let (cost, sizes) = (request.cost, sizes(request));
    Ok(Plan { signals, layout, pid_namespace, cost, sizes, ports, scan_ends })
}

/// What the iterator over files needs, which is attached to nothing.
///
/// # Errors
///
/// A [`Failure`], as [`plan`] has it.
pub fn of_iterator(facts: &Facts) -> Result<Plan, Failure> {
    let layout = layout(facts)?.clone();
    let request = Request {
        provider: None,
        pid_filter: false,
        cost: false,
        listeners: 0,
        max_listeners: Some(1),
        cpus: 1,
        ports: &[],
    };
    let (signals, ports, scan_ends) = (Vec::new(), Vec::new(), Vec::new());
    let pid_namespace = facts.pid_namespace;
    let (cost, sizes) = (request.cost, sizes(request));
    Ok(Plan { signals, layout, pid_namespace, cost, sizes, ports, scan_ends })
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

/// Room for what exists twice over, and for a busy host's worth beside it. What has no room is
/// counted, and said.
fn sizes(request: Request<'_>) -> Sizes {
    let listeners = (request.listeners * 2 + 1024).min(65_536);
    // A worker's row is 72 bytes on each CPU: about 16 MiB in all, but never fewer than 4,096.
    let workers = (16 * 1024 * 1024 / 72 / request.cpus.max(1)).clamp(4_096, 32_768) + listeners;
    // A bucket's entry is 80 bytes and 8 more on each CPU; a listener fills twenty to sixty.
    let waits = (listeners * 16).min(16 * 1024 * 1024 / (80 + 8 * request.cpus)).max(8_192);
    let fit = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
    Sizes {
        listeners: request.max_listeners.unwrap_or_else(|| fit(listeners)),
        workers: fit(workers),
        tasks: 32_768,
        waits: fit(waits),
        tree: if request.pid_filter { 32_768 } else { 1 },
        in_flight: 16_384,
        runs: if request.cost { 32_768 } else { 1 },
        wasted: if request.cost { fit(listeners) } else { 1 },
    }
}

#[cfg(test)]
mod tests;
