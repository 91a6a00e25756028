//! Loading: offsets into globals, sizes into maps, programs into the kernel.

use anyhow::{Context as _, Result};
use aya::{Btf, Ebpf, EbpfLoader, VerifierLogLevel};
use observer_common::{
    config::PortSet,
    event::{EventKind, MUTES_SOME, MUTES_STRANGERS},
    fields::TASK_COMPAT_MASK,
};

use crate::{kernel::calls::Numbers, plan::Plan};

/// The kernel object that this package's build script made, packed.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/observer.zst"));

/// Programs of the same names that do nothing, packed.
static NOOP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/noop.zst"));

/// The object in the kernel's hands, its programs not yet loaded.
pub struct Loaded {
    /// Maps and programs.
    pub ebpf: Ebpf,
    /// The kernel's types, which attaching needs.
    pub btf: Btf,
}

/// An object that was packed.
fn unpacked(object: &[u8]) -> Result<Vec<u8>> {
    zstd::stream::decode_all(object).context("the kernel programs in this file are damaged")
}

/// Creates the maps and prepares the programs.
///
/// `events` are the kinds of events that they send. `log` keeps their debug lines, and what the verifier says step by
/// step of a program that it refuses; without it the verifier sees that their level is off and removes them, and says
/// how far it went.
///
/// # Errors
///
/// When the kernel refuses a map, or the object does not fit this kernel's types.
pub fn load(plan: &Plan, events: &[EventKind], log: bool) -> Result<Loaded> {
    let btf = Btf::from_sys_fs().context("the kernel's type information cannot be read")?;
    let (waits, compat_waits) = (Numbers::Native.table(), Numbers::Compat.table());
    let (accept, accept4) = (libc::SYS_accept.cast_unsigned(), libc::SYS_accept4.cast_unsigned());
    let listen = libc::SYS_listen.cast_unsigned();
    let (exit, exit_group) = (libc::SYS_exit.cast_unsigned(), libc::SYS_exit_group.cast_unsigned());
    let task_registers = u8::from(plan.layout.task_registers);
    let pid_namespace = plan.pid_namespace.unwrap_or(0);
    let ports = PortSet::of(&plan.ports);
    let ports_given = u8::from(!plan.ports.is_empty());
    let level: u8 = if log { aya_log::Level::Debug as u8 } else { 0 };
    let kinds = events.iter().fold(0, |kinds, kind| kinds | kind.bit());
    let cost = u8::from(plan.cost);
    let mutes = match (plan.sizes.muted, plan.sizes.tree) {
        (1, _) => 0,
        (_, 1) => MUTES_SOME,
        _ => MUTES_STRANGERS,
    };
    let mut loader = EbpfLoader::new();
    loader.btf(Some(&btf));
    for (name, value) in &plan.layout.globals {
        loader.override_global(name, value, true);
    }
    let (byte, mask) = &plan.layout.reuseport;
    loader
        .override_global("REUSEPORT_BYTE", byte, true)
        .override_global("HAS_TASK_REGISTERS", &task_registers, true)
        .override_global("REUSEPORT_MASK", mask, true)
        .override_global("PID_NAMESPACE", &pid_namespace, true)
        .override_global("PORTS", &ports, true)
        .override_global("PORTS_GIVEN", &ports_given, true)
        .override_global("SYSCALL_ACCEPT", &accept, true)
        .override_global("SYSCALL_ACCEPT4", &accept4, true)
        .override_global("SYSCALL_LISTEN", &listen, true)
        .override_global("SYSCALL_EXIT", &exit, true)
        .override_global("SYSCALL_EXIT_GROUP", &exit_group, true)
        .override_global("WAIT_CALLS", &waits, true)
        .override_global("COMPAT_WAIT_CALLS", &compat_waits, true)
        .override_global("TASK_COMPAT_MASK", &TASK_COMPAT_MASK, true)
        .override_global("EVENT_KINDS", &kinds, true)
        .override_global("MUTES", &mutes, true)
        .override_global("COST_ASKED", &cost, true)
        .override_global(aya_log::LEVEL, &level, false)
        .map_max_entries("LISTENERS", plan.sizes.listeners)
        // MPTCP listeners are two socks each.
        .map_max_entries("SOCKS", plan.sizes.listeners.saturating_mul(2))
        .map_max_entries("QUEUES", plan.sizes.listeners)
        .map_max_entries("WORKERS", plan.sizes.workers)
        .map_max_entries("QUIET", plan.sizes.quiet)
        .map_max_entries("ENQUEUED_AT", plan.sizes.enqueued)
        .map_max_entries("CLIENTS", plan.sizes.clients)
        .map_max_entries("ERRORS", plan.sizes.errors)
        .map_max_entries("UNRECOGNISED", plan.sizes.unrecognised)
        .map_max_entries("INTERRUPTED", plan.sizes.interrupted)
        .map_max_entries("WAITS", plan.sizes.waits)
        .map_max_entries("TASKS", plan.sizes.tasks)
        .map_max_entries("WOKEN_AT", plan.sizes.woken)
        .map_max_entries("MUTED", plan.sizes.muted)
        .map_max_entries("IN_FLIGHT", plan.sizes.in_flight)
        .map_max_entries("RUNS", plan.sizes.runs)
        .map_max_entries("WASTED", plan.sizes.wasted)
        .map_max_entries("PID_TREE", plan.sizes.tree);
    if !log {
        // Every step of every path is megabytes, which the kernel formats for each refusal anew.
        loader.verifier_log_level(VerifierLogLevel::STATS);
    }
    let ebpf = loader.load(&unpacked(OBJECT)?).context("the kernel refused observer's maps")?;
    Ok(Loaded { ebpf, btf })
}

/// Loads programs that do nothing, of the same names and kinds.
///
/// # Errors
///
/// When the object does not fit this kernel's types.
pub fn load_noop() -> Result<Loaded> {
    let btf = Btf::from_sys_fs().context("the kernel's type information cannot be read")?;
    let mut loader = EbpfLoader::new();
    loader.btf(Some(&btf));
    let ebpf = loader.load(&unpacked(NOOP)?).context("the kernel refused the empty programs")?;
    Ok(Loaded { ebpf, btf })
}

#[cfg(test)]
mod tests;
