//! Ctrl-C as something to wait for, beside the children's pipes.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context;
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// The signals that ask for an end, held back from the process while this lives.
pub(super) struct Interrupts {
    descriptor: SignalFd,
    before: SigSet,
}

impl Interrupts {
    /// Holds the signals back. The caller must be the only thread: others would still get them.
    pub(super) fn hold() -> anyhow::Result<Self> {
        let signals: SigSet =
            [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        let before = SigSet::thread_get_mask().context("the signal mask cannot be read")?;
        signals.thread_block().context("signals cannot be held back")?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let descriptor =
            SignalFd::with_flags(&signals, flags).context("signals cannot be waited for")?;
        Ok(Self { descriptor, before })
    }

    /// The number of a signal that came.
    pub(super) fn take(&self) -> nix::Result<Option<u8>> {
        let signal = self.descriptor.read_signal()?;
        Ok(signal.and_then(|signal| u8::try_from(signal.ssi_signo).ok()))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // Failing would leave them held back, for a process that is about to end.
        let _ = self.before.thread_set_mask();
    }
}
