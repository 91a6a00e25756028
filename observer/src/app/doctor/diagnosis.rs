//! What this kernel allows.

use observer::model::Host;
use serde::Serialize;

use super::memory::Memory;

/// The reason of what nobody tried, because observer cannot run at all.
pub(super) const NOT_TRIED: &str = "not tried";

/// What was found out.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    #[serde(flatten)]
    pub(super) host: Host,
    /// Why observer cannot run here, where that is so.
    pub(super) refusal: Option<String>,
    /// Kernel memory that the maps take; `None` where observer cannot run at all.
    pub(super) memory: Option<Memory>,
    pub(super) signals: Vec<SignalState>,
}

/// What a signal would come from.
#[derive(Debug, Serialize)]
pub(super) struct SignalState {
    pub(super) signal: &'static str,
    /// The provider that would be used; `none` where there is none.
    pub(super) via: &'static str,
    /// What is not known without the signal.
    pub(super) lost: &'static str,
    pub(super) candidates: Vec<CandidateState>,
}

/// One way to have a signal.
#[derive(Debug, Serialize)]
pub(super) struct CandidateState {
    pub(super) provider: &'static str,
    pub(super) usable: bool,
    pub(super) hooks: Vec<&'static str>,
    /// The hook that the kernel refused or does not have.
    pub(super) refused_at: Option<&'static str>,
    pub(super) reason: Option<String>,
    #[serde(skip)]
    pub(super) details: Option<String>,
}
