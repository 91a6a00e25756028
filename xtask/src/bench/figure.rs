//! Figures: what was measured, as it goes from a guest to the host, into the files that are kept and from
//! there to the page.

use serde::{Deserialize, Serialize};

/// Figure of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "figure", rename_all = "lowercase")]
pub(crate) enum Figure {
    /// Instructions of a guest.
    Instructions(Instructions),
    /// A kernel program's runs.
    Program(Program),
    /// The loop's speed on this machine.
    Speed(Speed),
    /// What observer needs beside its kernel programs.
    Need(Need),
    /// Value at one size of something that grows.
    Point(Point),
    /// A load, and what was seen of it.
    Load(Load),
    /// What could not be measured.
    Missing(Missing),
    /// The end of a guest's figures, and how many came before it.
    End { count: usize },
}

/// Instructions of a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instructions {
    pub(crate) case: Case,
    pub(crate) with: With,
    /// Instructions for one connection or one wakeup, in each run.
    pub(crate) each: Vec<f64>,
    /// Wakeups of workers for each connection, in the last run: the work must be the same.
    pub(crate) wakeups: f64,
}

/// Work that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// One worker.
    One,
    /// Eight, all woken by each connection.
    Herd,
    /// Eight with EPOLLEXCLUSIVE.
    Exclusive,
    /// Two processes that wake each other, and no listener.
    Pipe,
}

impl Case {
    /// All of them, in the order of the page.
    pub(crate) const ALL: [Self; 4] = [Self::One, Self::Herd, Self::Exclusive, Self::Pipe];

    /// Name on the page.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "1 worker",
            Self::Herd => "herd of 8",
            Self::Exclusive => "8 exclusive",
            Self::Pipe => "pipe wakeup",
        }
    }
}

/// Tool beside which the work runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct With {
    pub(crate) tool: Tool,
    /// The hooks that it was told to use, or a peer's name.
    pub(crate) by: String,
}

/// A kind of tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tool {
    /// Nothing.
    None,
    /// Empty programs on observer's hooks.
    Floor,
    /// observer.
    Observer,
    /// observer with a filter that no listener fits.
    Filtered,
    /// Tool that people would use instead.
    Peer,
}

impl With {
    /// Tool of a kind, by these hooks.
    pub(crate) fn new(tool: Tool, by: &str) -> Self {
        Self { tool, by: by.to_owned() }
    }

    /// Name on the page.
    pub(crate) fn name(&self) -> String {
        match self.tool {
            Tool::None => "nothing".to_owned(),
            Tool::Floor => format!("empty programs, {}", self.by),
            Tool::Observer => format!("observer, {}", self.by),
            Tool::Filtered => format!("observer, {}, no match", self.by),
            Tool::Peer => self.by.clone(),
        }
    }
}

/// A kernel program of observer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) by: String,
    pub(crate) name: String,
    /// Runs for each connection to a herd.
    pub(crate) runs: f64,
    /// Instructions of a run, by the kernel's own statistics.
    pub(crate) each: f64,
    /// BPF instructions that the verifier left.
    pub(crate) instructions: u64,
    /// Bytes of machine code.
    pub(crate) code_bytes: u64,
}

/// Connections a second on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Speed {
    pub(crate) with: With,
    /// Connections a second, in each round.
    pub(crate) rounds: Vec<f64>,
    /// Nanoseconds that client and workers were on a CPU for each connection, softirqs in their context
    /// included: less is in it of what else the machine does.
    pub(crate) cpu: Vec<f64>,
    /// Wakeups of workers for each connection: the work must be the same.
    #[serde(default)]
    pub(crate) wakeups: Vec<f64>,
}

/// A need of observer's process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Need {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// Limit, where there is one.
    pub(crate) target: Option<f64>,
}

/// Value at one size of something that grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) along: Along,
    pub(crate) at: u64,
    /// Name of the value, with its unit.
    pub(crate) what: String,
    pub(crate) value: f64,
    /// Difference that two measurements of the same may have.
    pub(crate) noise: f64,
}

/// Something that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Along {
    /// Listeners that are there.
    Listeners,
    /// Workers that wait for one of them.
    Workers,
    /// Connections a second.
    Rate,
}

impl Along {
    /// Name on the page.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Listeners => "listeners",
            Self::Workers => "workers",
            Self::Rate => "connections a second",
        }
    }
}

/// A load, and what observer saw of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) what: String,
    /// Count by the workload itself.
    pub(crate) made: u64,
    pub(crate) seen: u64,
    pub(crate) events_lost: u64,
    pub(crate) map_full: u64,
    pub(crate) missed_runs: u64,
    /// Whether the audit closes; `None` where the kernel's counters have no counterpart.
    pub(crate) closes: Option<bool>,
    /// Resident memory of observer before and after, in pages of 4 KiB.
    pub(crate) pages_before: u64,
    pub(crate) pages_after: u64,
}

/// What could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) why: String,
}
