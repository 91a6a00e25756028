//! The decision: which probes to attach, from what the host has and what was asked for.

use crate::{
    bpf::table::{Kind, PROBES, Probe, Signal, When},
    cli::ProviderArg,
    fail::Failure,
    kernel::{btf::Layout, facts::Facts},
};

/// What was asked for, as far as it bears on the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which kind of hooks.
    pub provider: ProviderArg,
    /// Whether processes were named with `--pid`.
    pub pid_filter: bool,
    /// Listeners that exist now: the maps are sized by it.
    pub listeners: usize,
    /// CPUs that can ever be online: per-CPU maps hold that many copies.
    pub cpus: usize,
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
    /// Processes below those that `--pid` names.
    pub tree: u32,
}

/// What to load and attach.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// In the order of attaching.
    pub probes: Vec<&'static Probe>,
    /// Where the kernel's fields lie.
    pub layout: Layout,
    /// Sizes of the kernel maps.
    pub sizes: Sizes,
}

/// Decides what to attach.
///
/// # Errors
///
/// A [`Failure`] that names what is missing and what to do, when the host cannot observe.
pub fn plan(facts: &Facts, request: Request) -> Result<Plan, Failure> {
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
    match request.provider {
        ProviderArg::Auto | ProviderArg::Tracepoint => {}
        ProviderArg::Fentry | ProviderArg::Kprobe => {
            return Err(Failure::not_possible(
                "this version of observer has tracepoint programs only; use --provider tracepoint \
                 or leave the flag out",
            ));
        }
    }
    let probes: Vec<_> =
        PROBES.iter().filter(|probe| probe.when == When::Always || request.pid_filter).collect();
    if let Some(missing) = probes.iter().find(|probe| !can_attach(probe, facts)) {
        let lost: Vec<_> = missing.signals.iter().map(|signal| Signal::loss(*signal)).collect();
        let since =
            missing.since.map_or_else(String::new, |since| format!(" ({since} and later have it)"));
        return Err(Failure::not_possible(format!(
            "this kernel ({}) has no tracepoint {}{since}; without it: {}",
            facts.kernel,
            missing.hook,
            lost.join("; ")
        )));
    }
    Ok(Plan { probes, layout: layout.clone(), sizes: sizes(request) })
}

/// Whether the host has what a probe attaches to.
#[must_use]
pub fn can_attach(probe: &Probe, facts: &Facts) -> bool {
    match probe.kind {
        Kind::BtfTracepoint => facts.tracepoints.contains(probe.hook),
    }
}

/// Room for what exists twice over, and for a busy host's worth beside it. What has no room is
/// counted, and said.
fn sizes(request: Request) -> Sizes {
    let listeners = (request.listeners * 2 + 1024).min(65_536);
    // A worker's row is 72 bytes on each CPU: about 16 MiB in all, but never fewer than 4,096.
    let workers = (16 * 1024 * 1024 / 72 / request.cpus.max(1)).clamp(4_096, 32_768) + listeners;
    let fit = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
    Sizes {
        listeners: fit(listeners),
        workers: fit(workers),
        tasks: 32_768,
        tree: if request.pid_filter { 32_768 } else { 1 },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Plan, Request, plan};
    use crate::{
        bpf::table::{PROBES, tracepoints},
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
        }
    }

    const REQUEST: Request =
        Request { provider: ProviderArg::Auto, pid_filter: true, listeners: 10, cpus: 2 };

    fn refusal(facts: &Facts, request: Request) -> String {
        let Failure { status, sentence } = plan(facts, request).expect_err("a refusal");
        assert_eq!(status, Status::NotPossible);
        assert!(!sentence.contains('\n'), "{sentence}");
        sentence
    }

    #[test]
    fn a_host_that_has_everything_gets_every_probe() {
        let Plan { probes, .. } = plan(&facts(), REQUEST).expect("a plan");
        assert_eq!(probes.len(), PROBES.len());
        let without = plan(&facts(), Request { pid_filter: false, ..REQUEST }).expect("a plan");
        assert_eq!(without.probes.len(), PROBES.len() - 1);
        assert!(without.probes.iter().all(|probe| probe.program != "process_fork"));
    }

    #[test]
    fn each_tracepoint_that_is_taken_away_is_named_with_what_is_lost() {
        for probe in PROBES {
            let mut facts = facts();
            facts.tracepoints.remove(probe.hook);
            let sentence = refusal(&facts, REQUEST);
            assert!(sentence.contains(probe.hook), "{sentence}");
            assert!(sentence.contains("without it"), "{sentence}");
        }
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
    fn a_provider_that_is_not_there_is_refused_and_the_one_that_is_is_not() {
        for provider in [ProviderArg::Fentry, ProviderArg::Kprobe] {
            assert!(
                refusal(&facts(), Request { provider, ..REQUEST })
                    .contains("--provider tracepoint")
            );
        }
        assert!(plan(&facts(), Request { provider: ProviderArg::Tracepoint, ..REQUEST }).is_ok());
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
    }
}
