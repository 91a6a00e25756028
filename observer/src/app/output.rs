//! Standard output and standard error: the one place that writes to them, but for the screen of `top`.

mod patient;

use std::{
    fmt,
    io::{self, Write},
    os::fd::AsFd,
    sync::OnceLock,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

pub use self::patient::{Patient, heed};
use crate::app::render::json;

/// Writes bytes.
///
/// # Errors
///
/// When they cannot be written; [`is_closed_pipe`] tells whether that is because nobody reads any more.
pub fn write(bytes: &[u8]) -> Result<()> {
    written(stdout().and_then(|mut stdout| stdout.write_all(bytes)))
}

/// Writes one line of JSON.
///
/// # Errors
///
/// See [`write`].
pub fn line(value: &impl Serialize) -> Result<()> {
    written(stdout().and_then(|mut stdout| json::write(&mut stdout, value)))
}

/// Standard output, for whoever writes much to it.
///
/// # Errors
///
/// When there is none.
pub fn stream() -> Result<Stream> {
    stdout().map(Stream).context("cannot write to standard output: it is closed")
}

/// Standard output past its buffer of lines.
pub struct Stream(&'static Patient);

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says something to whoever reads standard error. Nobody listening there is no reason to stop.
pub fn say(text: &str) {
    static STDERR: OnceLock<Patient> = OnceLock::new();
    let stderr = of(&STDERR, io::stderr());
    let _closed = stderr.and_then(|mut stderr| stderr.write_all(format!("{text}\n").as_bytes()));
}

fn stdout() -> io::Result<&'static Patient> {
    static STDOUT: OnceLock<Patient> = OnceLock::new();
    of(&STDOUT, io::stdout())
}

fn of(known: &'static OnceLock<Patient>, stream: impl AsFd) -> io::Result<&'static Patient> {
    match known.get() {
        Some(stream) => Ok(stream),
        None => Patient::new(stream).map(|stream| known.get_or_init(|| stream)),
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
