//! The memory that the coordinator and its workers share, across fork as well.

use std::{
    num::NonZeroUsize,
    ptr::NonNull,
    sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use anyhow::Context;
use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap},
};

use super::{lock::Lock, protocol::Counts};

/// One worker's counters, on a cache line of their own so that counting disturbs nobody.
#[repr(C, align(64))]
#[derive(Default)]
pub(super) struct Slot {
    pub(super) tid: AtomicU32,
    /// The errno that ended the worker, 0 while it works.
    pub(super) error: AtomicI32,
    pub(super) accepted: AtomicU64,
    pub(super) eagain: AtomicU64,
    pub(super) wait_returns: AtomicU64,
    pub(super) lock_sleeps: AtomicU64,
}

impl Slot {
    /// The counts so far; the kernel's own count comes from whoever reads it.
    pub(super) fn counts(&self, voluntary_switches: u64) -> Counts {
        Counts {
            accepted: self.accepted.load(Relaxed),
            eagain: self.eagain.load(Relaxed),
            wait_returns: self.wait_returns.load(Relaxed),
            voluntary_switches,
            lock_sleeps: self.lock_sleeps.load(Relaxed),
        }
    }

    /// Why the worker ended, if it did by itself.
    pub(super) fn failure(&self) -> Option<Errno> {
        match self.error.load(Relaxed) {
            0 => None,
            errno => Some(Errno::from_raw(errno)),
        }
    }
}

/// What lies at the beginning of the mapping.
#[repr(C, align(64))]
struct Head {
    lock: Lock,
}

/// A shared anonymous mapping: the accept mutex, then one slot per worker.
pub(super) struct Shared {
    base: NonNull<Head>,
    workers: usize,
    size: NonZeroUsize,
}

// SAFETY: the mapping is reached only through atomics, and lives until `Shared` is dropped.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps room for this many workers; everything is 0 at first.
    pub(super) fn new(workers: usize) -> anyhow::Result<Self> {
        let size =
            NonZeroUsize::MIN.saturating_add(size_of::<Head>() + workers * size_of::<Slot>() - 1);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses overlaps nothing.
        let base = unsafe { mmap_anonymous(None, size, protection, MapFlags::MAP_SHARED) }
            .context("no memory for the workers' counters; run fewer workers")?;
        Ok(Self { base: base.cast(), workers, size })
    }

    /// The accept mutex.
    pub(super) fn lock(&self) -> &Lock {
        // SAFETY: the mapping is page-aligned, holds a `Head`, all of whose bit patterns are
        // valid, and is only ever reached through its atomics.
        unsafe { &self.base.as_ref().lock }
    }

    /// The workers' slots.
    pub(super) fn slots(&self) -> &[Slot] {
        // SAFETY: `new` mapped `workers` slots after the head, both are multiples of 64 bytes
        // and the mapping is page-aligned; atomics are valid for all bit patterns.
        unsafe {
            std::slice::from_raw_parts(self.base.add(1).cast::<Slot>().as_ptr(), self.workers)
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `base` and `size` are those of the mapping, and no borrow outlives `self`.
        // An error would mean that they are not; there is nothing to do about it here.
        let _ = unsafe { munmap(self.base.cast(), self.size.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_begin_at_zero_and_do_not_overlap() {
        let shared = Shared::new(3).expect("a small mapping");
        assert_eq!(shared.slots().len(), 3);
        shared.slots()[1].accepted.store(7, Relaxed);
        shared.slots()[2].error.store(24, Relaxed);
        let accepted: Vec<_> = shared.slots().iter().map(|slot| slot.counts(0).accepted).collect();
        assert_eq!(accepted, [0, 7, 0]);
        assert_eq!(shared.slots()[2].failure(), Some(Errno::EMFILE));
        assert_eq!(shared.slots()[0].failure(), None);
    }
}
