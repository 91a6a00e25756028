//! What the demo is doing, on one line of a terminal.

use std::io::{self, IsTerminal, Write};

/// The line; nothing where standard error is no terminal. Dropping it wipes it.
pub(super) struct Progress {
    shown: bool,
    text: String,
    ticks: usize,
}

impl Progress {
    /// For standard error.
    pub(super) fn new() -> Self {
        Self { shown: io::stderr().is_terminal(), text: String::new(), ticks: 0 }
    }

    /// Says what is going on from here.
    pub(super) fn say(&mut self, text: String) {
        self.text = text;
        self.tick();
    }

    /// Shows that it still is.
    pub(super) fn tick(&mut self) {
        if self.shown {
            let spinner = ['|', '/', '-', '\\'][self.ticks % 4];
            self.ticks += 1;
            write(&format!("\r\x1b[K{spinner} {}", self.text));
        }
    }

    /// Leaves the line empty for something else.
    pub(super) fn wipe(&self) {
        if self.shown {
            write("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// A line of progress that cannot be written is not worth an error.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}
