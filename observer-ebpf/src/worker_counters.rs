//! Which counters of a worker's row one event adds to.

use core::mem::offset_of;

use observer_common::counters::WorkerStats;

use crate::counter::increment;

/// One or two counters of [`WorkerStats`]: where they lie there, eight bits for each.
#[derive(Clone, Copy)]
pub(crate) struct Counters(pub(crate) u32);

/// No counter.
pub(crate) const NOTHING: Counters = Counters(0xffff);
pub(crate) const WAKEUPS: Counters = Counters::one(offset_of!(WorkerStats, wakeups));
pub(crate) const WON: Counters = Counters::one(offset_of!(WorkerStats, won));
pub(crate) const LOST: Counters = Counters::one(offset_of!(WorkerStats, lost));
pub(crate) const FAILED: Counters = Counters::one(offset_of!(WorkerStats, failed));
pub(crate) const SILENT: Counters = Counters::one(offset_of!(WorkerStats, silent));
pub(crate) const ACCEPTED: Counters = Counters::one(offset_of!(WorkerStats, accepted));
pub(crate) const EAGAIN: Counters = Counters::one(LAST);

/// Where the last counter lies.
const LAST: usize = offset_of!(WorkerStats, eagain);

impl Counters {
    const fn one(offset: usize) -> Self {
        Self(0xff00 | offset as u32)
    }

    /// These two, each of which is one.
    #[inline(always)]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & 0xff | other.0 << 8 & 0xff00)
    }

    /// Adds one to each of them in a row.
    ///
    /// # Safety
    ///
    /// `row` must be alive.
    #[inline(always)]
    pub(crate) unsafe fn increment(self, row: *mut WorkerStats) {
        for offset in [self.0 & 0xff, self.0 >> 8 & 0xff] {
            if offset as usize <= LAST {
                // SAFETY: the caller's promise, and the offset is that of a field of eight bytes.
                unsafe { increment(row.cast::<u8>().add(offset as usize).cast::<u64>()) };
            }
        }
    }
}
