//! Debug lines of the kernel programs.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;

use crate::async_fd::readable;

/// Hands them to the program's logger, from a task of the current runtime.
///
/// # Errors
///
/// When the object has no ring buffer for them.
pub fn log(ebpf: &mut Ebpf) -> Result<()> {
    let logger = EbpfLogger::init(ebpf).context("cannot read the kernel programs' debug lines")?;
    let mut logger = readable(logger)?;
    tokio::spawn(async move {
        while let Ok(mut guard) = logger.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    });
    Ok(())
}
