//! Attaching: the only place that tells program kinds apart.

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{BtfTracePoint, Program};

use crate::{
    bpf::{
        load::Loaded,
        table::{Kind, Probe},
    },
    fail::Failure,
};

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs.
    Attached,
    /// It does not, and why: a short reason, and the kernel's own words.
    Refused {
        /// One line.
        reason: String,
        /// Everything that is known, the verifier's log included.
        details: String,
    },
}

/// Loads and attaches one probe.
///
/// # Errors
///
/// When the verifier, the kernel's policy or the hook's absence refuses it.
pub fn attach(loaded: &mut Loaded, probe: &Probe) -> Result<()> {
    let Loaded { ebpf, btf } = loaded;
    let program: &mut Program = ebpf
        .program_mut(probe.program)
        .ok_or_else(|| anyhow!("the object has no program {}", probe.program))?;
    match probe.kind {
        Kind::BtfTracepoint => {
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(probe.hook, btf).context("the kernel refused to load it")?;
            program.attach().context("the kernel refused to attach it")?;
        }
    }
    Ok(())
}

/// Attaches every probe of a plan.
///
/// # Errors
///
/// A [`Failure`] that names the first probe which the kernel refused, with its words below.
pub fn attach_all(loaded: &mut Loaded, probes: &[&Probe]) -> Result<()> {
    for probe in probes {
        attach(loaded, probe).map_err(|error| {
            error.context(Failure::not_possible(format!(
                "this kernel refused observer's program for {} ({}); `observer doctor` shows what \
                 it allows",
                probe.hook, probe.purpose
            )))
        })?;
    }
    Ok(())
}

/// Attaches one probe and says what became of it.
#[must_use]
pub fn attempt(loaded: &mut Loaded, probe: &Probe) -> Verdict {
    match attach(loaded, probe) {
        Ok(()) => Verdict::Attached,
        Err(error) => Verdict::Refused {
            reason: error
                .chain()
                .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
                .map(ToString::to_string)
                .next()
                .unwrap_or_else(|| error.to_string()),
            details: format!("{error:#}"),
        },
    }
}
