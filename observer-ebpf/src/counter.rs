//! Counters and words that several CPUs write.

use core::{arch::asm, cell::UnsafeCell};

/// A word that all CPUs read and write.
pub(crate) struct SharedWord(UnsafeCell<u64>);

// SAFETY: read by volatile loads of one aligned word, and written by volatile stores or atomic adds.
unsafe impl Sync for SharedWord {}

impl SharedWord {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> u64 {
        // SAFETY: the word's own address.
        unsafe { self.0.get().read_volatile() }
    }

    /// Makes it 1.
    #[inline(always)]
    pub(crate) fn set(&self) {
        // SAFETY: the word's own address; everybody writes the same.
        unsafe { self.0.get().write_volatile(1) };
    }

    /// Makes it 0.
    #[inline(always)]
    pub(crate) fn clear(&self) {
        // SAFETY: the word's own address; everybody writes the same.
        unsafe { self.0.get().write_volatile(0) };
    }

    #[inline(always)]
    pub(crate) fn add(&self, change: i64) {
        // SAFETY: the word's own address, in a map value that lives as long as the program.
        unsafe { add(self.0.get(), change.cast_unsigned()) };
    }
}

/// Adds one to a counter. Per-CPU counters need the atomic form too: a softirq can interrupt a
/// program that runs in process context between its load and its store.
///
/// # Safety
///
/// `counter` must point into a map value that is alive.
#[inline(always)]
pub(crate) unsafe fn increment(counter: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe { add(counter, 1) };
}

/// Adds to a counter, in one instruction that does not fetch: the form that 5.10 knows too.
/// `core::sync::atomic` has no read-modify-write for BPF targets.
///
/// # Safety
///
/// `counter` must point into a map value that is alive, aligned to eight bytes.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {amount}",
            counter = in(reg) counter,
            amount = in(reg) amount,
            options(nostack),
        );
    }
}
