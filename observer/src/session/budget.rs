//! How often something expensive is done.

use std::time::{Duration, Instant};

/// Part of the time between two looks that a look from outside may take: one in this many.
const SHARE: u32 = 200;

/// Part of the time that a look may take which hardly ever finds anything new: one in this many.
const SMALL_SHARE: u32 = 2000;

/// CPU time for something that is done again and again: the longer it takes, the less often it is done.
pub(super) struct Budget {
    done: Instant,
    took: Duration,
    share: u32,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { done: Instant::now(), took: Duration::ZERO, share: SHARE }
    }

    /// Something that hardly ever tells anything new.
    pub(super) fn rarely() -> Self {
        Self { share: SMALL_SHARE, ..Self::new() }
    }

    /// Whether enough time has passed.
    pub(super) fn are_due(&self) -> bool {
        self.done.elapsed() >= self.took * self.share
    }

    /// It was done, from then to now.
    pub(super) fn took(&mut self, began: Instant) {
        self.done = Instant::now();
        self.took = began.elapsed();
    }
}
