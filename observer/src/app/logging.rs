//! Debug lines, on standard error: observer's own with `-vv`, and those of the kernel programs.

use std::io::Write as _;

use log::{LevelFilter, Log, Metadata, Record};

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
