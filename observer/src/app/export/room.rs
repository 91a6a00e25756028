//! Room for series: how many there may be, and how many had none. Pure.

/// How many series there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    most: usize,
    taken: usize,
    left_out: usize,
}

impl Room {
    /// Room for so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, taken: 0, left_out: 0 }
    }

    /// Begins another report: what had no room is counted anew.
    pub fn begin_report(&mut self) {
        self.left_out = 0;
    }

    /// Takes room for so many, and notes it in `reserved`; where there is none, they are counted as left out.
    pub fn take(&mut self, count: usize, reserved: &mut usize) -> bool {
        let fits = self.has(count);
        if fits {
            self.taken += count;
            *reserved += count;
        } else {
            self.left_out = self.left_out.saturating_add(count);
        }
        fits
    }

    /// Whether there is room for so many.
    #[must_use]
    pub fn has(&self, count: usize) -> bool {
        self.taken.saturating_add(count) <= self.most
    }

    /// Gives back room for so many.
    pub fn give_back(&mut self, count: usize, reserved: &mut usize) {
        self.taken = self.taken.saturating_sub(count);
        *reserved = reserved.saturating_sub(count);
    }

    /// Most series that there may be.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Series that room was taken for.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Series that had no room in the last report.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}
