//! How often something dear is done.

use std::time::{Duration, Instant};

/// A look from outside may take this part of the time between two looks.
const SHARE: u32 = 200;

/// Something that is done again and again, and the less often the longer it takes.
pub(super) struct Paced {
    done: Instant,
    took: Duration,
}

impl Paced {
    pub(super) fn new() -> Self {
        Self { done: Instant::now(), took: Duration::ZERO }
    }

    /// Whether enough time has passed.
    pub(super) fn are_due(&self) -> bool {
        self.done.elapsed() >= self.took * SHARE
    }

    /// It was done, from then to now.
    pub(super) fn took(&mut self, began: Instant) {
        self.done = Instant::now();
        self.took = began.elapsed();
    }
}
