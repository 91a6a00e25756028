//! A lock between processes, as servers put around waiting so that only one of them waits.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep on it.
const CONTENDED: u32 = 2;

/// A futex in shared memory.
#[derive(Default)]
pub(super) struct Lock(AtomicU32);

impl Lock {
    /// Takes the lock. `slept` is called after each sleep for it.
    pub(super) fn acquire(&self, mut slept: impl FnMut()) {
        if self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok() {
            return;
        }
        // From here on the lock is always left as CONTENDED: this task does not know whether
        // others sleep, and one wake too many is cheaper than one that is missing.
        while self.0.swap(CONTENDED, Acquire) != FREE {
            self.futex(libc::FUTEX_WAIT, CONTENDED);
            slept();
        }
    }

    /// Gives the lock back, and wakes one that sleeps for it.
    pub(super) fn release(&self) {
        if self.0.swap(FREE, Release) == CONTENDED {
            self.futex(libc::FUTEX_WAKE, 1);
        }
    }

    /// One futex call, not FUTEX_PRIVATE: the word is shared between processes. All results are
    /// fine: woken, interrupted and "the word has changed" all mean to look again.
    fn futex(&self, operation: libc::c_int, value: u32) {
        // SAFETY: the word outlives the call, and without a timeout nothing else is read.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                operation,
                value,
                std::ptr::null::<libc::timespec>(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_it() {
        let lock = Lock::default();
        let counter = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        lock.acquire(|| {});
                        // Two steps on purpose: without the lock, counts would get lost.
                        counter.store(counter.load(Relaxed) + 1, Relaxed);
                        lock.release();
                    }
                });
            }
        });
        assert_eq!(counter.into_inner(), 4000);
    }
}
