//! The decision: which probes to try for each signal, from what the host has and what was asked for.

use crate::{
    bpf::table::{Kind, Probe, Provider, Signal, When, probes},
    cli::ProviderArg,
    fail::Failure,
    kernel::{btf::Layout, facts::Facts},
};

/// What was asked for, as far as it bears on the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Which kind of hooks.
    pub provider: ProviderArg,
    /// Whether processes were named with `--pid`.
    pub pid_filter: bool,
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
    if !facts.missing_capabilities.is_empty() {
        return Err(Failure::not_possible(format!(
            "not permitted to load kernel programs: this process lacks {}; run it with sudo",
            facts.missing_capabilities.join(" and ")
        )));
    }
    let layout = facts.layout.as_ref().map_err(|reason| {
        Failure::not_possible(format!(
            "{reason}; observer needs a kernel built with CONFIG_DEBUG_INFO_BTF"
        ))
    })?;
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
    Ok(Plan { signals, layout, sizes: sizes(request), ports, scan_ends })
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
            When::IfThere | When::WhereThere => hook(probe, facts).is_some(),
            When::Without(other) => probes()
                .find(|probe| probe.program == other)
                .is_none_or(|other| hook(other, facts).is_none()),
            When::ScansUnknown => !scans_known && hook(probe, facts).is_some(),
            When::InPlaceOf(other) => {
                let other = probes().find(|probe| probe.program == other);
                !scans_known
                    && hook(probe, facts).is_some()
                    && (provider == Provider::Kprobe
                        || request.provider == ProviderArg::Auto
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

fn cannot_have(facts: &Facts, asked: ProviderArg, signal: Signal, missing: &[&Probe]) -> Failure {
    let advice = match asked {
        ProviderArg::Auto => "",
        _ => "; leave out --provider, and observer takes what this kernel has",
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
        facts.kernel,
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
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Plan, Request, plan};
    use crate::{
        bpf::table::{Provider, Signal, functions, probes, tracepoints},
        cli::ProviderArg,
        fail::{Failure, Status},
        kernel::{btf::Layout, facts::Facts},
    };

    fn facts() -> Facts {
        Facts {
            kernel: "6.18.0".into(),
            arch: "x86_64".into(),
            missing_capabilities: Vec::new(),
            layout: Ok(Layout::default()),
            tracepoints: tracepoints().into_iter().collect::<BTreeSet<_>>(),
            functions: functions().into_iter().collect::<BTreeSet<_>>(),
        }
    }

    fn without(hook: &str) -> Facts {
        let mut facts = facts();
        facts.tracepoints.remove(hook);
        facts.functions.remove(hook);
        facts
    }

    const REQUEST: Request<'_> = Request {
        ports: &[],
        provider: ProviderArg::Auto,
        pid_filter: true,
        listeners: 10,
        max_listeners: None,
        cpus: 2,
    };

    fn refusal(facts: &Facts, request: Request) -> String {
        let Failure { status, sentence } = plan(facts, request).expect_err("a refusal");
        assert_eq!(status, Status::NotPossible);
        assert!(!sentence.contains('\n'), "{sentence}");
        sentence
    }

    fn providers(plan: &Plan, signal: Signal) -> Vec<Provider> {
        let (_, candidates) =
            plan.signals.iter().find(|(one, _)| *one == signal).expect("every signal");
        candidates.iter().map(|candidate| candidate.provider).collect()
    }

    #[test]
    fn a_host_that_has_everything_prefers_fentry_for_every_signal() {
        let plan = plan(&facts(), REQUEST).expect("a plan");
        for signal in Signal::ALL {
            assert_eq!(providers(&plan, signal), Provider::ALL);
        }
    }

    #[test]
    fn forks_are_followed_only_where_processes_were_named() {
        let has_fork = |pid_filter| {
            let plan = plan(&facts(), Request { pid_filter, ..REQUEST }).expect("a plan");
            plan.signals
                .iter()
                .flat_map(|(_, candidates)| candidates)
                .flat_map(|candidate| &candidate.probes)
                .any(|(probe, _)| probe.program == "process_fork")
        };
        assert!(has_fork(true));
        assert!(!has_fork(false));
    }

    #[test]
    fn a_missing_function_leaves_the_tracepoints_of_its_signal() {
        for function in ["inet_csk_accept", "sock_def_readable", "tcp_v4_syn_recv_sock"] {
            let plan = plan(&without(function), REQUEST).expect("a plan");
            for signal in Signal::ALL {
                let served = probes().any(|probe| {
                    probe.hooks == [function] && probe.is_for(signal, Provider::Fentry)
                });
                let first = providers(&plan, signal)[0];
                assert_eq!(first == Provider::Tracepoint, served, "{function} {}", signal.name());
            }
        }
    }

    #[test]
    fn the_older_name_of_a_function_serves_as_well() {
        let plan = plan(&without("ep_done_scan"), REQUEST).expect("a plan");
        assert_eq!(providers(&plan, Signal::Wakeups)[0], Provider::Fentry);
        let hooks: Vec<_> = plan.signals[4].1[0].probes.iter().map(|(_, hook)| *hook).collect();
        assert!(hooks.contains(&"ep_scan_ready_list"), "{hooks:?}");
    }

    #[test]
    fn a_function_without_type_is_probed_by_its_symbol() {
        let mut facts = facts();
        facts.functions.retain(|name| !name.starts_with("ep_"));
        let scans = |argument, provider| {
            let plan = plan(&facts, Request { provider: argument, ..REQUEST }).expect("a plan");
            let (_, candidates) = plan.signals.last().expect("wakeups");
            let of = candidates.iter().find(|one| one.provider == provider).expect("a candidate");
            of.probes.iter().filter(|(probe, _)| probe.program.contains("scan")).count()
        };
        assert_eq!(scans(ProviderArg::Kprobe, Provider::Kprobe), 2);
        assert_eq!(scans(ProviderArg::Auto, Provider::Fentry), 2);
        // Who asks for fentry gets nothing else.
        assert_eq!(scans(ProviderArg::Fentry, Provider::Fentry), 0);
        facts.functions.insert("ep_done_scan");
        let plan = plan(&facts, REQUEST).expect("a plan");
        let programs = plan.signals[4].1[0].probes.iter().map(|(probe, _)| probe.program);
        let scans: Vec<_> = programs.filter(|name| name.contains("scan")).collect();
        assert_eq!(scans, ["scan_exit", "scan_enter"]);
    }

    #[test]
    fn scans_are_probed_only_where_the_kernel_does_not_tell_of_them() {
        let mut layout = Layout { task_registers: true, ..Layout::default() };
        let scans = |layout: &Layout| {
            let facts = Facts { layout: Ok(layout.clone()), ..facts() };
            let plan = plan(&facts, REQUEST).expect("a plan");
            let candidates = plan.signals.iter().flat_map(|(_, candidates)| candidates);
            let probes = candidates.flat_map(|one| &one.probes);
            let attached = probes.filter(|(probe, _)| probe.program.contains("scan")).count();
            (attached, plan.scan_ends.len())
        };
        assert_eq!(scans(&layout), (4, 0));
        layout.globals.extend([("EPOLL_OWNER", 40), ("EPOLL_OVERFLOW", u32::MAX)]);
        assert_eq!(scans(&layout), (4, 0));
        layout.globals.insert("EPOLL_OVERFLOW", 80);
        assert_eq!(scans(&layout), (0, 2));
        layout.task_registers = false;
        assert_eq!(scans(&layout), (4, 0));
    }

    #[test]
    fn the_ends_of_all_socks_are_probed_only_where_those_of_children_cannot_be() {
        let probed = |facts: &Facts| {
            let plan = plan(facts, REQUEST).expect("a plan");
            let (_, candidates) = &plan.signals[0];
            let programs = candidates[0].probes.iter().map(|(probe, _)| probe.program);
            programs
                .filter(|name| ["child_forgotten", "sock_destroyed"].contains(name))
                .collect::<Vec<_>>()
        };
        assert_eq!(probed(&facts()), ["child_forgotten"]);
        assert_eq!(probed(&without("inet_child_forget")), ["sock_destroyed"]);
        let neither = Facts {
            functions: facts()
                .functions
                .into_iter()
                .filter(|name| !["inet_child_forget", "inet_csk_destroy_sock"].contains(name))
                .collect(),
            ..facts()
        };
        let plan = plan(&neither, REQUEST).expect("a plan");
        assert_eq!(providers(&plan, Signal::Life), [Provider::Kprobe, Provider::Tracepoint]);
    }

    #[test]
    fn each_tracepoint_that_is_taken_away_is_named_with_what_is_lost() {
        let forced = Request { provider: ProviderArg::Tracepoint, ..REQUEST };
        // Without that one the accept queue's refusals are inferred.
        for hook in tracepoints().into_iter().filter(|hook| *hook != "kfree_skb") {
            let sentence = refusal(&without(hook), forced);
            assert!(sentence.contains(hook), "{sentence}");
            assert!(sentence.contains("without it"), "{sentence}");
        }
        // A kernel before 6.3 still has the functions.
        let older = plan(&without("sk_data_ready"), REQUEST).expect("a plan");
        assert_eq!(providers(&older, Signal::Wakeups), [Provider::Fentry, Provider::Kprobe]);
    }

    #[test]
    fn missing_capabilities_are_named() {
        let facts = Facts { missing_capabilities: vec!["CAP_BPF", "CAP_PERFMON"], ..facts() };
        let sentence = refusal(&facts, REQUEST);
        assert!(sentence.contains("CAP_BPF and CAP_PERFMON"), "{sentence}");
        assert!(sentence.contains("sudo"), "{sentence}");
    }

    #[test]
    fn a_kernel_without_type_information_is_refused_in_words() {
        let facts = Facts { layout: Err("no type information".into()), ..facts() };
        assert!(refusal(&facts, REQUEST).contains("CONFIG_DEBUG_INFO_BTF"));
    }

    #[test]
    fn a_forced_provider_is_the_only_candidate() {
        for (argument, provider) in [
            (ProviderArg::Fentry, Provider::Fentry),
            (ProviderArg::Kprobe, Provider::Kprobe),
            (ProviderArg::Tracepoint, Provider::Tracepoint),
        ] {
            let plan = plan(&facts(), Request { provider: argument, ..REQUEST }).expect("a plan");
            for signal in Signal::ALL {
                assert_eq!(providers(&plan, signal), [provider]);
            }
        }
    }

    #[test]
    fn maps_grow_with_the_listeners_and_stay_bounded() {
        let sizes = |listeners, cpus| {
            plan(&facts(), Request { listeners, cpus, ..REQUEST }).expect("a plan").sizes
        };
        assert!(sizes(0, 1).listeners >= 1024);
        assert!(sizes(10_000, 2).listeners >= 20_000);
        assert!(sizes(usize::MAX / 4, 2).listeners <= 65_536);
        assert!(sizes(10, 1024).workers >= 4_096);
        let told = Request { max_listeners: Some(3), ..REQUEST };
        assert_eq!(plan(&facts(), told).expect("a plan").sizes.listeners, 3);
    }
}
