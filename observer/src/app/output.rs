//! Where reports go: to the table or to JSON, once or live.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use anyhow::Result;

use crate::app::{
    cli::{Format, WatchArgs},
    render::{
        json,
        table::{self, TableOptions},
        terminal::Screen,
    },
};
use observer::report::model::Report;

/// Standard output, in the format that was asked for.
pub struct Output {
    format: Format,
    workers: usize,
    /// What the table says when no listener is in it.
    empty: String,
    screen: Screen,
}

impl Output {
    /// Looks at the terminal, if there is one.
    #[must_use]
    pub fn new(args: &WatchArgs) -> Self {
        Self {
            format: args.format,
            workers: args.workers,
            empty: table::empty(&args.filters),
            screen: Screen::of_stdout(),
        }
    }

    /// Whether the table is redrawn in place instead of printed again.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.format == Format::Table && self.screen.height.is_some()
    }

    /// Draws the live table.
    ///
    /// # Errors
    ///
    /// When standard output is closed.
    pub fn frame(&mut self, report: &Report) -> Result<()> {
        let options = self.look_again();
        self.write(&table::live_frame(report, &options, self.screen.height))
    }

    /// Prints one report.
    ///
    /// # Errors
    ///
    /// When standard output is closed.
    pub fn report(&mut self, report: &Report) -> Result<()> {
        match self.format {
            Format::Json => {
                let stdout = io::stdout().lock();
                // Past the buffer of lines, which would look for their ends in megabytes. There is
                // nothing in it: reports are all that is written here.
                let mut file = File::from(stdout.as_fd().try_clone_to_owned()?);
                written(json::write(&mut file, report))
            }
            Format::Table => {
                let options = self.look_again();
                self.write(&(table::render(report, &options) + "\n"))
            }
        }
    }

    /// Prints the last report, whole; over the live table where there is one.
    ///
    /// # Errors
    ///
    /// When standard output is closed.
    pub fn last(&mut self, report: &Report, after_frames: bool) -> Result<()> {
        if after_frames {
            self.write(table::CLEAR_SCREEN)?;
        }
        if self.format == Format::Json {
            return self.report(report);
        }
        let options = self.look_again();
        self.write(&table::render(report, &options))
    }

    /// The window may have been resized since.
    fn look_again(&mut self) -> TableOptions {
        self.screen = Screen::of_stdout();
        TableOptions::new(&self.screen, self.workers, self.empty.clone())
    }

    fn write(&self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
    }
}

/// Says what could not be written where.
fn written(result: io::Result<()>) -> Result<()> {
    result.map_err(|error| {
        let sentence = format!("cannot write the report to standard output: {error}");
        anyhow::Error::new(error).context(sentence)
    })
}
