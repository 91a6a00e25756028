//! CPU time of wakeups in vain, as the kernel programs measured it.

use foldhash::HashMap;
use observer_common::counters::ListenerId;

/// CPU time of tasks that listeners woke in vain, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of wakeups that were decided when the maps were read, by listener.
    wasted: HashMap<ListenerId, u64>,
    /// Of wakeups that were open then, by thread id, with the listener.
    open: HashMap<u32, (ListenerId, u64)>,
}

impl Cost {
    /// What the two maps hold.
    pub(super) fn new(
        wasted: impl IntoIterator<Item = (ListenerId, u64)>,
        open: impl IntoIterator<Item = (u32, (ListenerId, u64))>,
    ) -> Self {
        Self { wasted: wasted.into_iter().collect(), open: open.into_iter().collect() }
    }

    /// Takes note that a task's wakeup by a listener was in vain.
    pub fn settle(&mut self, tid: u32, listener: ListenerId) {
        if let Some((_, ran)) = self.open.remove(&tid).filter(|(of, _)| *of == listener) {
            *self.wasted.entry(listener).or_insert(0) += ran;
        }
    }

    /// What came to it since `base`.
    #[must_use]
    pub fn since(&self, base: &Self) -> Self {
        let then = |id| base.of(id);
        let wasted = self.wasted.iter().map(|(id, time)| (*id, time.saturating_sub(then(*id))));
        Self { wasted: wasted.collect(), open: self.open.clone() }
    }

    /// The time that a listener's wakeups in vain took.
    #[must_use]
    pub fn of(&self, listener: ListenerId) -> u64 {
        self.wasted.get(&listener).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Cost;

    #[test]
    fn what_is_open_counts_once_it_was_in_vain_and_for_its_listener_only() {
        let read = Cost::new([(1, 100)], [(10, (1, 7)), (11, (2, 9)), (12, (1, 5))]);
        let mut cost = read.clone();
        cost.settle(10, 1);
        cost.settle(10, 1);
        cost.settle(11, 1);
        assert_eq!((cost.of(1), cost.of(2)), (107, 0));
        // It was decided between two readings, and the kernel programs have it by now.
        let mut later = Cost::new([(1, 130)], []);
        later.settle(12, 1);
        assert_eq!(later.since(&cost).of(1), 23);
        assert_eq!(cost.since(&later).of(1), 0);
    }
}
