//! What a rule is, and what it is given.

use crate::model::{Host, Listener, Provider, Providers, Severity, Via, Window};

/// One thing that can be wrong with a listener.
pub trait Rule: Sync {
    /// Stable name of the finding, which scripts and dashboards use: one of [`super::id`].
    fn id(&self) -> &'static str;

    /// Manual page or kernel document that the advice comes from.
    fn source(&self) -> &'static str;

    /// The verdict on one listener; `None` where nothing is wrong, and where that cannot be told.
    fn judge(&self, case: &Case<'_>) -> Option<Verdict>;

    /// Backlog that would have held the most connections that came together; `None` where the rule is not
    /// about that, and where it cannot be told.
    fn needed(&self, _case: &Case<'_>) -> Option<u64> {
        None
    }
}

/// A listener to be judged, with the report around it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Where it was observed.
    pub host: &'a Host,
    /// For how long.
    pub window: &'a Window,
    /// Which hooks the numbers come from.
    pub providers: &'a Providers,
    /// The listener itself.
    pub listener: &'a Listener,
}

impl Case<'_> {
    /// Word before a number of this signal: none where it is exact.
    pub(super) fn hedge(&self, provider: &Provider) -> &'static str {
        match (self.listener.incomplete, provider.exact) {
            (true, _) => "at least ",
            (false, false) => "about ",
            (false, true) => "",
        }
    }

    /// Word before a number of drops.
    pub(super) fn hedge_drops(&self) -> &'static str {
        match self.listener.drops.at_most {
            Some(_) => "at least ",
            None => self.hedge(&self.providers.drops),
        }
    }

    /// Drops for this reason; 0 where nothing tells reasons apart.
    pub(super) fn dropped(&self, reason: &str) -> u64 {
        let by_reason = self.listener.drops.by_reason.as_ref();
        by_reason.and_then(|counts| counts.get(reason)).copied().unwrap_or(0)
    }

    /// Most connections that were seen in the accept queue, with its limit.
    pub(super) fn fullest(&self) -> Option<(u64, u64)> {
        let queue = &self.listener.accept_queue;
        let limit = queue.limit.or(self.listener.backlog.limit)?;
        Some((queue.max.max(queue.now)?, limit))
    }

    /// Whether this is a picture of one moment, without a window in which anything could have been counted.
    pub(super) fn is_still(&self) -> bool {
        self.providers.accepts.via == Via::None && self.window.seconds <= 0.0
    }

    /// So many events of the window, for each second of it; `None` where it had no length.
    pub(super) fn per_second(&self, count: u64) -> Option<f64> {
        let seconds = self.window.seconds;
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        (seconds > 0.0 && seconds.is_finite()).then(|| count as f64 / seconds)
    }

    /// Whether the accept queue was seen full.
    pub(super) fn was_full(&self) -> bool {
        self.fullest().is_some_and(|(most, limit)| is_full(most, limit))
    }
}

/// Whether an accept queue with this limit is full: with more than it, because the kernel compares with `>`
/// (`sk_acceptq_is_full`).
pub(super) fn is_full(connections: u64, limit: u64) -> bool {
    connections > limit
}

/// A rule's verdict: the parts of a [`crate::model::Finding`] that differ between listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How bad it is.
    pub severity: Severity,
    /// One line with numbers.
    pub summary: String,
    /// The numbers behind it.
    pub evidence: String,
    /// One sentence that fits any server.
    pub fix: String,
}
