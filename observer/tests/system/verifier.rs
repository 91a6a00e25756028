//! The verifier of the kernel that is here, and each kernel program alone.
//!
//! What a kernel cannot take it must refuse, and for the reason that is expected: everything else is
//! a failure, so that no program is lost in silence.

use std::{collections::HashSet, fs, sync::OnceLock};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::{
    Need, Outcome, Skip, Test,
    observer::{provider, run},
};

/// What `observer verify` says of a program.
#[derive(Clone, Debug, Deserialize)]
struct Verdict {
    program: String,
    kind: String,
    hook: String,
    instructions: Option<u64>,
    refused: Option<String>,
}

/// Programs by name. A program that is not here, or no longer, fails
/// `verifier::every_program_has_its_test`.
const PROGRAMS: &[&str] = &[
    "accept_exit",
    "child_forgotten",
    "child_made",
    "data_ready",
    "hashdance_enter",
    "installed",
    "k_accept_denied",
    "k_accept_enter",
    "k_child_made",
    "k_grafted",
    "k_hashdance_enter",
    "k_installed",
    "k_listen_enter",
    "k_no_descriptor",
    "k_no_descriptor_below",
    "k_peer_proven",
    "k_put_unused",
    "k_queue_add",
    "k_queue_enter",
    "k_readable_enter",
    "k_readable_exit",
    "k_request_alloc",
    "k_request_error",
    "k_request_rwin",
    "k_ring_enter",
    "k_ring_exit",
    "k_route_v6",
    "k_scan_enter",
    "k_scan_exit",
    "k_syn_enter",
    "k_syn_exit",
    "k_syn_recv_v4",
    "k_syn_recv_v4_enter",
    "k_syn_recv_v6",
    "k_syn_recv_v6_enter",
    "listen_enter",
    "listen_start",
    "listen_stop",
    "napi_done",
    "packet_dropped",
    "peer_proven",
    "process_exec",
    "process_fork",
    "queue_add",
    "readable_enter",
    "readable_exit",
    "request_alloc",
    "request_error",
    "request_rwin",
    "ring_completed",
    "ring_exit",
    "ring_submitted",
    "ring_woken",
    "route_v6",
    "scan_enter",
    "scan_exit",
    "set_state",
    "signal_delivered",
    "sock_destroyed",
    "switched",
    "syn_enter",
    "syn_exit",
    "syn_recv_v4",
    "syn_recv_v4_enter",
    "syn_recv_v6",
    "syn_recv_v6_enter",
    "synack_again",
    "sys_accept_exit",
    "syscall_exit",
    "task_exit",
    "waking",
    "watches",
];

/// The greatest count that is accepted: far below the kernel's million, and several times what the
/// programs need.
const LIMIT: u64 = 50_000;

/// Greatest count of a program that walks lists, turn by turn.
const LIMIT_OF_ITERATOR: u64 = 500_000;

/// `EACCES`: the verifier's word for an access that is not allowed.
const EACCES: &str = "(EACCES)";

/// Tracepoints that lack an argument which a program reads, by the beginning of the release. What has
/// too many arguments for a trampoline passes the verifier, and is refused when it is attached.
const TOO_FEW_ARGUMENTS: [(&str, &str); 4] = [
    ("5.10.", "kfree_skb"),
    ("5.10.", "io_uring_submit_sqe"),
    ("5.10.", "io_uring_task_add"),
    ("6.1.", "kfree_skb"),
];

pub fn tests() -> Vec<Test> {
    let one_by_one = PROGRAMS.iter().map(|program| {
        Test::new(format!("verifier::{program}"), Need::Kernel, move || verified(program))
    });
    let all = Test::new("verifier::every_program_has_its_test", Need::Kernel, complete);
    one_by_one.chain([all]).collect()
}

fn verdicts() -> anyhow::Result<&'static [Verdict]> {
    static VERDICTS: OnceLock<Result<Vec<Verdict>, String>> = OnceLock::new();
    let verdicts = VERDICTS.get_or_init(|| {
        let read = || -> anyhow::Result<Vec<Verdict>> {
            let output = run(&["verify"])?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout)?;
            text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
        };
        read().map_err(|error| format!("{error:?}"))
    });
    verdicts.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn complete() -> Outcome {
    let mut found: Vec<_> = verdicts()?.iter().map(|one| one.program.as_str()).collect();
    let mut listed = PROGRAMS.to_vec();
    found.sort_unstable();
    listed.sort_unstable();
    ensure!(found == listed, "the object has {found:?}, the tests name {listed:?}");
    Ok(())
}

fn verified(program: &str) -> Outcome {
    let found = verdicts()?.iter().find(|one| one.program == program);
    let verdict = found.context("observer does not have it any more")?;
    if provider().is_some() {
        let told = match (verdict.instructions, &verdict.refused) {
            (Some(count), _) => count.to_string(),
            (None, Some(reason)) => format!("refused: {reason}"),
            (None, None) => "no count".to_owned(),
        };
        eprintln!("figure verified {program} {} {}: {told}", verdict.kind, verdict.hook);
    }
    let expected = refusal(verdict)?;
    match (&verdict.refused, expected) {
        (None, None) => {
            let count = verdict.instructions.context("no count of instructions")?;
            let limit = if verdict.kind == "iter" { LIMIT_OF_ITERATOR } else { LIMIT };
            ensure!((1..=limit).contains(&count), "the verifier went through {count} instructions");
            Ok(())
        }
        (Some(reason), Some(expected)) => {
            ensure!(reason.contains(expected), "refused, but not by {expected:?}: {reason}");
            Ok(())
        }
        // This machine's kernel may not allow a kind of program at all; those of the matrix must.
        (Some(reason), None) if provider().is_none() && reason.contains("(EPERM)") => {
            Err(Skip(format!("this kernel allows no {} programs", verdict.kind)).into())
        }
        (Some(reason), None) => anyhow::bail!("refused at {}: {reason}", verdict.hook),
        (None, Some(expected)) => anyhow::bail!("taken, although it should say {expected:?}"),
    }
}

/// Why this kernel must refuse a program; `None` where it must not.
fn refusal(verdict: &Verdict) -> anyhow::Result<Option<&'static str>> {
    if verdict.kind == "btftracepoint" {
        if !has_type(&format!("btf_trace_{}", verdict.hook))? {
            return Ok(Some("not in this kernel"));
        }
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let short = TOO_FEW_ARGUMENTS
            .iter()
            .any(|(series, hook)| release.starts_with(series) && *hook == verdict.hook);
        return Ok(short.then_some(EACCES));
    }
    if verdict.kind == "iter" {
        // The function is for its type alone, and goes when the kernel has started.
        let there = has_type(&format!("bpf_iter_{}", verdict.hook))?;
        return Ok((!there).then_some("not in this kernel"));
    }
    Ok((!has_symbol(&verdict.hook)?).then_some("not in this kernel"))
}

/// Whether the kernel has a function of this name.
fn has_symbol(name: &str) -> anyhow::Result<bool> {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let functions = symbols.lines().filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let kind = words.next()?;
            let name = words.next()?;
            kind.eq_ignore_ascii_case("t").then(|| name.to_owned())
        });
        functions.collect()
    });
    ensure!(!names.is_empty(), "the kernel's symbols cannot be read");
    Ok(names.contains(name))
}

/// Whether the kernel's types have this name, among their strings.
fn has_type(name: &str) -> anyhow::Result<bool> {
    static NAMES: OnceLock<HashSet<Vec<u8>>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let types = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
        types.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
    });
    ensure!(names.len() > 1, "the kernel's types cannot be read");
    Ok(names.contains(name.as_bytes()))
}
