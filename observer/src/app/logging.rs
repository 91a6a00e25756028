//! Debug lines, on standard error: observer's own with `-vv`, and those of the kernel programs.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{LevelFilter, Log, Metadata, Record};

use observer::async_fd::readable;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Other crates' lines are about their own insides.
        if record.target().starts_with("observer") {
            let _closed = writeln!(std::io::stderr().lock(), "debug: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Turns debug lines on with `-vv`, and off otherwise.
pub fn set_up(verbose: u8) {
    if verbose >= 2 && log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// Prints the kernel programs' debug lines from a task of the current runtime.
///
/// # Errors
///
/// When the object has no ring buffer for them.
pub fn read_kernel_lines(ebpf: &mut Ebpf) -> Result<()> {
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
