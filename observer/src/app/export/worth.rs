//! What the numbers of each signal are worth. Pure.

use observer::model::{Providers, Worth};

/// Which signals are observed at all: where nothing observes one, a 0 is no 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Wakeups.
    pub wakeups: bool,
    /// Accept calls.
    pub accepts: bool,
    /// Connections that enter a queue.
    pub handshakes: bool,
}

impl Observed {
    /// By these hooks.
    #[must_use]
    pub fn by(providers: &Providers) -> Self {
        let is = |name: &str| {
            providers
                .signals()
                .iter()
                .any(|(signal, _, worth)| *signal == name && *worth != Worth::Nothing)
        };
        Self { wakeups: is("wakeups"), accepts: is("accepts"), handshakes: is("handshakes") }
    }
}
