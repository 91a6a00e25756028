//! How often something dear is done.

use std::time::{Duration, Instant};

/// A look from outside may take this part of the time between two looks.
const SHARE: u32 = 200;

/// One that is only to find what hardly ever happens may take this part.
const SMALL_SHARE: u32 = 1000;

/// Something that is done again and again, and the less often the longer it takes.
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
