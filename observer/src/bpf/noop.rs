//! `observer noop`: programs that do nothing, on the hooks that observer itself would take. What they
//! cost is the floor under what observer can cost with these hooks.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Result;
use nix::{
    sys::resource::{RLIM_INFINITY, Resource, setrlimit},
    unistd::pause,
};

use crate::{
    bpf::{attach::attach_all, load::load_noop},
    kernel::facts::Facts,
    plan::{Request, plan},
    probes::{Provider, Signal, functions, tracepoints},
};

/// Attaches them as observer attaches its own, says so, and stays until a signal ends it.
///
/// # Errors
///
/// When this host cannot be observed.
pub fn run(provider: Option<Provider>) -> Result<ExitCode> {
    let facts = Facts::gather(&tracepoints(), &functions());
    let request = Request {
        provider,
        pid_filter: false,
        cost: false,
        listeners: 0,
        max_listeners: None,
        map_memory: None,
        tells_accepts: false,
        mutes: false,
        least_maps: false,
        cpus: 1,
        ports: &[],
    };
    let plan = plan(&facts, request)?;
    // Where the limit counts and cannot be raised, the kernel refuses what does not fit.
    let _unchanged = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let mut loaded = load_noop()?;
    let mut attached = attach_all(&mut loaded, &plan)?;
    // No accept calls are followed here.
    attached.release_in_flight();
    let via = Signal::ALL.map(|signal| {
        let provider = attached.provider(signal).map_or("none", |provider| provider.name());
        format!("{} {provider}", signal.name())
    });
    // Nobody listening on standard error is no reason to stop.
    let _closed = writeln!(io::stderr().lock(), "observing nothing: {}", via.join(", "));
    loop {
        pause();
    }
}

#[cfg(test)]
mod tests {
    use crate::probes::{Kind, probes};

    /// A program that is missing there would leave the floor lower than it is.
    #[test]
    fn every_probe_has_an_empty_program_of_its_kind() {
        let source = include_str!("../../../observer-ebpf/src/noop.rs");
        let mut found = Vec::new();
        for part in source.split("empty!(").skip(1) {
            let (head, list) = part.split_once(':').expect("a kind and its programs");
            let kind = head.split_whitespace().next().expect("a kind");
            let names = list.split(')').next().expect("programs").split_whitespace();
            found.extend(names.map(|name| (name.to_owned(), kind.to_owned())));
        }
        let mut wanted: Vec<_> = probes()
            .map(|probe| {
                let kind = match probe.kind {
                    Kind::BtfTracepoint => "btf_tracepoint",
                    Kind::Fentry => "fentry",
                    Kind::Fexit => "fexit",
                    Kind::Kprobe => "kprobe",
                    Kind::Kretprobe => "kretprobe",
                };
                (probe.program.to_owned(), kind.to_owned())
            })
            .collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}
