//! Which hooks each signal comes from, and what its numbers are worth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hooks behind each signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Providers {
    /// Wakeups of tasks by a listener.
    pub wakeups: Provider,
    /// Accept calls and their outcome: `accepted`, `accept_errors`, the end of accept waits.
    pub accepts: Provider,
    /// Connections that entered an accept queue: `queued`, depths, the beginning of accept waits.
    pub handshakes: Provider,
    /// Dropped connection attempts, and the SYN queue.
    pub drops: Provider,
}

impl Providers {
    /// Each signal by name, with how it was had and what its numbers are worth.
    #[must_use]
    pub fn signals(&self) -> [(&'static str, &Provider, Worth); 4] {
        let of_hooks = |provider: &Provider| match (provider.exact, provider.via) {
            (true, _) => Worth::Exact,
            (false, Via::None) => Worth::Nothing,
            (false, _) => Worth::Estimate,
        };
        // Without a hook there is still the socket's own counter (`sk_drops`), which also counts
        // what was no refusal, and some refusals twice.
        let of_drops = match of_hooks(&self.drops) {
            Worth::Nothing => Worth::Estimate,
            worth => worth,
        };
        [
            ("wakeups", &self.wakeups, of_hooks(&self.wakeups)),
            ("accepts", &self.accepts, of_hooks(&self.accepts)),
            ("handshakes", &self.handshakes, of_hooks(&self.handshakes)),
            ("drops", &self.drops, of_drops),
        ]
    }
}

/// What a signal's numbers are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// They are right.
    Exact,
    /// They are near.
    Estimate,
    /// Nothing observes the signal: a zero is no zero.
    Nothing,
}

/// Hooks that one signal came from, and what its numbers are worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    /// Kind of hook.
    pub via: Via,
    /// Whether no event can have been missed unnoticed; otherwise the numbers are estimates. `false` with
    /// kprobes before Linux 6.7, in a PID namespace of its own, and where runs were skipped.
    pub exact: bool,
    /// Number of counted events that were inferred from what a task was doing, not bracketed by the
    /// listener's own notification: the most by which the number can be too high. Left out where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inferred: Option<u64>,
    /// Number of events that were seen and not counted, because nothing tells whether they belong to a shown
    /// listener: the most by which the number can be too low for that reason. Left out where there are
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<u64>,
}

/// Kind of hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// fentry and fexit programs.
    Fentry,
    /// kprobes and kretprobes.
    Kprobe,
    /// Tracepoints, classic or BTF-typed.
    Tracepoint,
    /// No hook: a counter that the kernel keeps by itself (`sk_drops`, for drops), or nothing at all.
    None,
}

impl Via {
    /// Whether the functions themselves are hooked.
    #[must_use]
    pub fn sees_functions(self) -> bool {
        matches!(self, Self::Fentry | Self::Kprobe)
    }
}
