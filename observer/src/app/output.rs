//! Standard output: the one place that writes to it.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    os::fd::AsFd as _,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::app::render::json;

/// Writes bytes.
///
/// # Errors
///
/// When they cannot be written; [`is_closed_pipe`] tells whether that is because nobody reads any more.
pub fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Writes one line of JSON.
///
/// # Errors
///
/// See [`write`].
pub fn line(value: &impl Serialize) -> Result<()> {
    let stdout = io::stdout().lock();
    // Past the buffer of lines, which would look for their ends in megabytes. There is nothing in it:
    // whoever writes lines of JSON writes nothing else.
    let mut file = File::from(stdout.as_fd().try_clone_to_owned()?);
    written(json::write(&mut file, value))
}

/// Standard output, for whoever writes much to it.
///
/// # Errors
///
/// When there is none.
pub fn stream() -> Result<Stream> {
    let owned = io::stdout().as_fd().try_clone_to_owned();
    let file = owned.map(File::from).context("cannot write to standard output: it is closed")?;
    Ok(Stream(file))
}

/// Standard output past its buffer of lines.
pub struct Stream(File);

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(marked)
    }
}

/// Mark of standard output's own closed pipe: that of another file, or of a process, is an error like any other.
#[derive(Debug)]
struct NobodyReads;

impl fmt::Display for NobodyReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads it any more")
    }
}

impl std::error::Error for NobodyReads {}

fn marked(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, NobodyReads),
        _ => error,
    }
}

/// Says what could not be written where.
fn written(result: io::Result<()>) -> Result<()> {
    result.map_err(marked).map_err(|error| {
        let sentence = format!("cannot write to standard output: {error}");
        anyhow::Error::new(error).context(sentence)
    })
}

/// Whether an error says that nobody reads what is written to standard output.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.get_ref().is_some_and(|inner| inner.is::<NobodyReads>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_closed_pipe_of_standard_output_is_no_error() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let of_stdout = written(Err(closed())).expect_err("it is closed");
        assert!(is_closed_pipe(&of_stdout.context("more")));
        assert!(!is_closed_pipe(&anyhow::Error::new(closed()).context("another file")));
        let full = written(Err(io::ErrorKind::StorageFull.into())).expect_err("it is full");
        assert!(!is_closed_pipe(&full));
    }
}
