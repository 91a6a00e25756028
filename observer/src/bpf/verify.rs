//! `observer verify`: each kernel program alone, in the verifier's hands.

use anyhow::{Result, anyhow};
use aya::programs::ProgramError;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use observer_common::event::EventKind;
use serde::Serialize;

use crate::{
    bpf::{
        load::{Loaded, load},
        program, watches,
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
        cost: true,
        listeners: 0,
        cpus: 1,
        max_listeners: None,
        map_memory: None,
        tells_accepts: false,
        mutes: true,
        least_maps: false,
        ports: &[],
    };
    let mut loaded = load(&plan(&facts, request)?, &EventKind::ALL, false)?;
    let mut lines = Vec::new();
    let verdicts = probes().map(|probe| one(&mut loaded, probe, &facts)).collect::<Vec<_>>();
    for verdict in verdicts.into_iter().chain([iterator(&mut loaded)]) {
        serde_json::to_writer(&mut lines, &verdict?)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn one(loaded: &mut Loaded, probe: &Probe, facts: &Facts) -> Result<Verdict> {
    let found = hook(probe, facts);
    let verdict = Verdict {
        program: probe.program,
        kind: format!("{:?}", probe.kind).to_lowercase(),
        hook: found.unwrap_or_else(|| probe.hook()),
        instructions: None,
        refused: None,
    };
    match found {
        None => Ok(Verdict { refused: Some("not in this kernel".to_owned()), ..verdict }),
        Some(hook) => verdict.of(loaded, |loaded| program::load(loaded, probe, hook)),
    }
}

fn iterator(loaded: &mut Loaded) -> Result<Verdict> {
    let verdict = Verdict {
        program: watches::PROGRAM,
        kind: "iter".to_owned(),
        hook: watches::OVER,
        instructions: None,
        refused: None,
    };
    verdict.of(loaded, watches::load)
}

impl Verdict {
    /// What the verifier says of its program.
    fn of(
        mut self,
        loaded: &mut Loaded,
        load: impl Fn(&mut Loaded) -> Result<(), ProgramError>,
    ) -> Result<Self> {
        match load(loaded) {
            Ok(()) => {
                self.instructions = verified(loaded, self.program);
                program::unload(loaded, self.program)?;
                if self.instructions.is_none() {
                    self.instructions = processed(loaded, load)?;
                }
            }
            Err(error) => self.refused = Some(program::reason(&error.into())),
        }
        Ok(self)
    }
}

/// `bpf_prog_info.verified_insns`, since Linux 5.16.
fn verified(loaded: &Loaded, program: &str) -> Option<u32> {
    loaded.ebpf.program(program)?.info().ok()?.verified_instruction_count()
}

/// What the verifier's log says before that. The log is kept for what fails only, so the load is
/// made to fail at its last step, which comes after the verifier: there is no descriptor left for
/// the program.
fn processed(
    loaded: &mut Loaded,
    load: impl Fn(&mut Loaded) -> Result<(), ProgramError>,
) -> Result<Option<u32>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard)?;
    let result = load(loaded);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    match result {
        Err(ProgramError::LoadError { verifier_log, .. }) => {
            Ok(count_in(&verifier_log.to_string()))
        }
        Err(error) => Err(error.into()),
        Ok(()) => Err(anyhow!("a program was loaded without a descriptor")),
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
