//! `observer verify`: each kernel program alone, in the verifier's hands.

use anyhow::{Result, anyhow};
use aya::programs::ProgramError;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use observer_common::event::EventKind;
use serde::Serialize;

use crate::{
    bpf::{
        load::{Loaded, load},
        program,
    },
    kernel::facts::Facts,
    plan::{Request, hook, plan},
    probes::{Probe, functions, probes, tracepoints},
};

/// What became of one program.
#[derive(Debug, Serialize)]
struct Verdict {
    program: &'static str,
    kind: String,
    hook: &'static str,
    /// Instructions that the verifier went through, every path counted.
    instructions: Option<u32>,
    /// Why it was not taken.
    refused: Option<String>,
}

/// One line of JSON for each program of the table.
///
/// # Errors
///
/// When this host cannot be observed at all.
pub fn all() -> Result<Vec<u8>> {
    let facts = Facts::gather(&tracepoints(), &functions());
    let request = Request {
        provider: None,
        pid_filter: true,
        listeners: 0,
        cpus: 1,
        max_listeners: None,
        map_memory: None,
        tells_accepts: false,
        least_maps: false,
        ports: &[],
    };
    let mut loaded = load(&plan(&facts, request)?, &EventKind::ALL, false)?;
    let mut lines = Vec::new();
    for probe in probes() {
        let verdict = one(&mut loaded, probe, &facts)?;
        serde_json::to_writer(&mut lines, &verdict)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn one(loaded: &mut Loaded, probe: &Probe, facts: &Facts) -> Result<Verdict> {
    let mut verdict = Verdict {
        program: probe.program,
        kind: format!("{:?}", probe.kind).to_lowercase(),
        hook: hook(probe, facts).unwrap_or_else(|| probe.hook()),
        instructions: None,
        refused: None,
    };
    if hook(probe, facts).is_none() {
        verdict.refused = Some("not in this kernel".to_owned());
        return Ok(verdict);
    }
    match program::load(loaded, probe, verdict.hook) {
        Ok(()) => {
            verdict.instructions = verified(loaded, probe);
            program::unload(loaded, probe)?;
            if verdict.instructions.is_none() {
                verdict.instructions = processed(loaded, probe, verdict.hook)?;
            }
        }
        Err(error) => verdict.refused = Some(program::reason(&error.into())),
    }
    Ok(verdict)
}

/// `bpf_prog_info.verified_insns`, since Linux 5.16.
fn verified(loaded: &Loaded, probe: &Probe) -> Option<u32> {
    loaded.ebpf.program(probe.program)?.info().ok()?.verified_instruction_count()
}

/// What the verifier's log says before that. The log is kept for what fails only, so the load is
/// made to fail at its last step, which comes after the verifier: there is no descriptor left for
/// the program.
fn processed(loaded: &mut Loaded, probe: &Probe, hook: &str) -> Result<Option<u32>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard)?;
    let result = program::load(loaded, probe, hook);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    match result {
        Err(ProgramError::LoadError { verifier_log, .. }) => {
            Ok(count_in(&verifier_log.to_string()))
        }
        Err(error) => Err(error.into()),
        Ok(()) => Err(anyhow!("{} was loaded without a descriptor", probe.program)),
    }
}

/// N in `processed N insns (limit 1000000) …`.
fn count_in(log: &str) -> Option<u32> {
    let (_, after) = log.rsplit_once("processed ")?;
    after.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::count_in;

    #[test]
    fn the_verifiers_log_tells_how_far_it_went() {
        let log = "processed words\nprocessed 212 insns (limit 1000000) max_states_per_insn 0";
        assert_eq!(count_in(log), Some(212));
        assert_eq!(count_in("permission denied"), None);
    }
}
