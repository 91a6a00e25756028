//! Counts that can be summed.

use std::collections::BTreeMap;

use observer::model::{Listener, Wakeups, Worker};

/// The counts that listeners and workers share, and that can be summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) wakeups: Wakeups,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Those of a listener, where they are known.
    pub(super) fn of(listener: &Listener) -> Option<Self> {
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

    /// Wakeups that came to nothing, as far as decided.
    pub(super) fn wasted(&self) -> u64 {
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

fn added(a: Wakeups, b: Wakeups) -> Wakeups {
    Wakeups {
        total: a.total.saturating_add(b.total),
        won: a.won.saturating_add(b.won),
        lost: a.lost.saturating_add(b.lost),
        failed: a.failed.saturating_add(b.failed),
        silent: a.silent.saturating_add(b.silent),
        pending: a.pending.saturating_add(b.pending),
    }
}
