//! Fairness over several reports.

use crate::{
    model::{Listener, Worker},
    report::counts::jain,
};

/// How many workers share a listener. A report's index includes processes that hold the listener without waiting
/// for it, which its workers do not name; how many there were follows from the index.
#[derive(Default)]
pub(super) struct FairnessSum {
    sharing: usize,
}

impl FairnessSum {
    pub(super) fn add(&mut self, listener: &Listener) {
        let sharing = listener.fairness.and_then(|index| sharing(index, &listener.workers));
        self.sharing = self.sharing.max(sharing.unwrap_or(0));
    }

    /// Index over the sums of what each worker accepted.
    pub(super) fn index(&self, workers: &[Worker]) -> Option<f64> {
        if workers.iter().any(|worker| worker.tid.is_none()) {
            return None;
        }
        let mut taken: Vec<u64> = workers.iter().map(|worker| worker.accepted).collect();
        if taken.len() < self.sharing {
            taken.resize(self.sharing, 0);
        }
        jain(&taken)
    }
}

/// Number of workers in Jain's index: the square of the sum, divided by the sum of the squares and by the index.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of workers, which is rounded and bounded"
)]
fn sharing(index: f64, workers: &[Worker]) -> Option<usize> {
    let parts = || workers.iter().map(|worker| worker.accepted as f64);
    let sum: f64 = parts().sum();
    let squares: f64 = parts().map(|part| part * part).sum();
    let number = (sum * sum / (squares * index)).round();
    // A damaged index is none.
    (number >= 1.0 && number <= workers.len() as f64 + 100_000.0).then_some(number as usize)
}
