//! Which hooks each signal comes from, and what its numbers are worth.

use serde::{Deserialize, Serialize};

/// The hooks behind each signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Providers {
    /// Wakeups of tasks by a listener.
    pub wakeups: Provider,
    /// Accept calls and their outcome.
    pub accepts: Provider,
    /// Connections that entered an accept queue.
    pub handshakes: Provider,
    /// Refused connection attempts.
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

/// How one signal was had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The kind of hook.
    pub via: Via,
    /// Whether these hooks see every event; otherwise the numbers are estimates.
    pub exact: bool,
    /// How many of the counted events were inferred from what a task was doing, not bracketed by
    /// the listener's own notification: the most by which an inexact number can be too high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inferred: Option<u64>,
    /// How many events were seen and not counted, because nothing tells whether they belong to a listener
    /// that is shown: the most by which an inexact number can be too low for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<u64>,
}

/// A kind of hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// fentry and fexit programs.
    Fentry,
    /// kprobes and kretprobes.
    Kprobe,
    /// Tracepoints, classic or BTF-typed.
    Tracepoint,
    /// No hook: a counter that the kernel keeps by itself, or nothing at all.
    None,
}

impl Via {
    /// Whether the functions themselves are hooked.
    #[must_use]
    pub fn sees_functions(self) -> bool {
        matches!(self, Self::Fentry | Self::Kprobe)
    }
}
