//! What processes were found to hold that is not in the table of what they hold now.

use foldhash::HashMap;

/// Minimum number of latest answers that are kept, and half of the maximum: as many as the kernel map of
/// what tasks did has rows on a machine of two CPUs.
const KEPT: usize = 32_768;

/// Whether processes held a listener when they were looked at, which are mostly gone by now: that is how
/// their wakeups are judged. Answers are kept by process id, as the kernel programs keep their counts, so
/// that a holder's counts stay a holder's, whoever has its id next.
///
/// There are two generations. When the younger is full, the older is dropped: of a process that is gone and
/// whose answer is forgotten, its name decides.
#[derive(Debug, Default)]
pub(super) struct Past {
    young: HashMap<(u32, u64), bool>,
    old: HashMap<(u32, u64), bool>,
}

impl Past {
    pub(super) fn get(&self, pid: u32, listener: u64) -> Option<bool> {
        let key = (pid, listener);
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    pub(super) fn note(&mut self, pid: u32, listener: u64, held: bool) {
        if self.young.len() >= KEPT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert((pid, listener), held);
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Past};

    #[test]
    fn the_latest_answers_are_kept_and_no_more_than_twice_as_many() {
        let mut past = Past::default();
        for pid in 0..5 * KEPT {
            past.note(u32::try_from(pid).expect("few"), 1, pid % 2 == 0);
            assert!(past.young.len() + past.old.len() <= 2 * KEPT);
        }
        let last = u32::try_from(5 * KEPT - 1).expect("few");
        let kept = u32::try_from(KEPT).expect("few");
        assert_eq!((past.get(last, 1), past.get(last, 2)), (Some(false), None));
        assert_eq!(past.get(last - kept + 1, 1), Some(true));
        assert_eq!(past.get(0, 1), None);
        past.note(last, 1, true);
        assert_eq!(past.get(last, 1), Some(true));
    }
}
