//! What was measured, and where.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::figure::Figure;

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// Instructions, in virtual machines
    Icount,
    /// The loop's speed on this machine
    Native,
    /// What observer's own process needs
    Userspace,
    /// A million connections and other great loads, against the workload's own count
    Load,
}

impl Part {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Icount => "instructions in virtual machines",
            Self::Native => "the loop's speed on this machine",
            Self::Userspace => "what the process needs",
            Self::Load => "load without loss",
        }
    }
}

/// A figure, and where it was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) part: Part,
    /// The kernel's series, or `here`.
    pub(crate) place: String,
    pub(crate) figure: Figure,
}
