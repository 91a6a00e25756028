//! Counts that can be summed.

use std::collections::BTreeMap;

use observer::model::{Listener, Wakeups, Worker};

/// The counts that listeners and workers share, and that can be summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub(super) accepted: u64,
    pub(super) wakeups: Wakeups,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Those of a listener, where they are known.
    pub fn of(listener: &Listener) -> Option<Self> {
        Some(Self {
            accepted: listener.accepted?,
            wakeups: listener.wakeups?,
            errors: listener.accept_errors.clone(),
        })
    }

    pub(super) fn of_workers<'a>(workers: impl IntoIterator<Item = &'a Worker>) -> Self {
        workers.into_iter().fold(Self::default(), |mut sum, worker| {
            sum.accepted = sum.accepted.saturating_add(worker.accepted);
            sum.wakeups = added(sum.wakeups, worker.wakeups);
            for (name, count) in &worker.accept_errors {
                let errors = sum.errors.entry(name.clone()).or_default();
                *errors = errors.saturating_add(*count);
            }
            sum
        })
    }

    /// Those of these listeners together, where all are known.
    pub(super) fn of_all(listeners: &[&Listener]) -> Option<Self> {
        listeners.iter().try_fold(Self::default(), |sum, one| Some(sum.and(&Self::of(one)?)))
    }

    /// Both together.
    fn and(mut self, other: &Self) -> Self {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.wakeups = added(self.wakeups, other.wakeups);
        for (name, count) in &other.errors {
            let errors = self.errors.entry(name.clone()).or_default();
            *errors = errors.saturating_add(*count);
        }
        self
    }

    /// Failed accept calls by the name of the errno.
    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.clone()
    }

    /// Wakeups for each accepted connection.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits of a count")]
    pub fn herd_ratio(&self) -> Option<f64> {
        (self.accepted > 0).then(|| self.wakeups.total as f64 / self.accepted as f64)
    }

    /// Wakeups that came to nothing, as far as decided.
    pub fn wasted(&self) -> u64 {
        let Wakeups { lost, silent, failed, .. } = self.wakeups;
        lost.saturating_add(silent).saturating_add(failed)
    }

    pub(super) fn eagain(&self) -> u64 {
        self.errors.get("EAGAIN").copied().unwrap_or(0)
    }

    /// Errors of accept that are no answer to `nothing there yet`.
    pub(super) fn other_errors(&self) -> u64 {
        self.others().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Those errors by name, the most frequent first: `EMFILE 12`.
    pub(super) fn named_errors(&self) -> Vec<String> {
        let mut others: Vec<_> = self.others().filter(|(_, count)| **count > 0).collect();
        others.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        others.into_iter().map(|(name, count)| format!("{name} {count}")).collect()
    }

    fn others(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.errors.iter().filter(|(name, _)| *name != "EAGAIN")
    }
}

/// Both together.
pub fn added(a: Wakeups, b: Wakeups) -> Wakeups {
    Wakeups {
        total: a.total.saturating_add(b.total),
        won: a.won.saturating_add(b.won),
        lost: a.lost.saturating_add(b.lost),
        failed: a.failed.saturating_add(b.failed),
        silent: a.silent.saturating_add(b.silent),
        pending: a.pending.saturating_add(b.pending),
    }
}
