//! The decision, with one fact taken away at a time.

use std::collections::BTreeSet;

use super::{Plan, Request, plan};
use crate::{
    error::{Failure, Status},
    kernel::{btf::Layout, facts::Facts},
    model::Host,
    probes::{Provider, Signal, functions, probes, tracepoints},
};

fn facts() -> Facts {
    Facts {
        host: Host { kernel: "6.18.0".into(), arch: "x86_64".into(), cpus: 2 },
        missing_capabilities: Vec::new(),
        layout: Ok(Layout::default()),
        tracepoints: tracepoints().into_iter().collect::<BTreeSet<_>>(),
        functions: functions().into_iter().collect::<BTreeSet<_>>(),
        ipv6: true,
        pid_namespace: None,
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
    provider: None,
    pid_filter: true,
    cost: true,
    listeners: 10,
    max_listeners: None,
    map_memory: None,
    tells_accepts: false,
    mutes: false,
    least_maps: false,
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
            let served = probes()
                .any(|probe| probe.hooks == [function] && probe.is_for(signal, Provider::Fentry));
            let first = providers(&plan, signal)[0];
            assert_eq!(first == Provider::Tracepoint, served, "{function} {}", signal.name());
        }
    }
}

#[test]
fn a_kernel_without_ipv6_has_all_the_rest() {
    let v6 = ["tcp_v6_syn_recv_sock", "inet6_csk_route_req"];
    let mut facts = facts();
    facts.functions.retain(|name| !v6.contains(name));
    let plan = plan(&facts, REQUEST).expect("a plan");
    for signal in Signal::ALL {
        assert_eq!(providers(&plan, signal), Provider::ALL, "{}", signal.name());
    }
    let hooks = plan.signals.iter().flat_map(|(_, all)| all).flat_map(|one| &one.probes);
    assert!(hooks.clone().any(|(_, hook)| *hook == "tcp_v4_syn_recv_sock"));
    assert!(!hooks.map(|(_, hook)| hook).any(|hook| v6.contains(hook)));
    // Where it is there, it is not left out.
    let whole = super::plan(&self::facts(), REQUEST).expect("a plan");
    let hooks = whole.signals.iter().flat_map(|(_, all)| all).flat_map(|one| &one.probes);
    assert!(v6.iter().all(|v6| hooks.clone().any(|(_, hook)| hook == v6)));
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
    assert_eq!(scans(Some(Provider::Kprobe), Provider::Kprobe), 2);
    assert_eq!(scans(None, Provider::Fentry), 2);
    // Who asks for fentry gets nothing else.
    assert_eq!(scans(Some(Provider::Fentry), Provider::Fentry), 0);
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
    let forced = Request { provider: Some(Provider::Tracepoint), ..REQUEST };
    // Without these drops are inferred, the SYN queue is looked at less often, and a kernel may be without io_uring.
    let optional = ["kfree_skb", "tcp_retransmit_synack"];
    let needed = |hook: &&str| !optional.contains(hook) && !hook.starts_with("io_uring_");
    for hook in tracepoints().into_iter().filter(needed) {
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
        (Some(Provider::Fentry), Provider::Fentry),
        (Some(Provider::Kprobe), Provider::Kprobe),
        (Some(Provider::Tracepoint), Provider::Tracepoint),
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
