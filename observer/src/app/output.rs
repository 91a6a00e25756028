//! Standard output: the one place that writes to it.

use std::{
    fs::File,
    io::{self, Write as _},
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
pub fn stream() -> Result<File> {
    let owned = io::stdout().as_fd().try_clone_to_owned();
    owned.map(File::from).context("cannot write to standard output: it is closed")
}

/// Says what could not be written where.
fn written(result: io::Result<()>) -> Result<()> {
    result.map_err(|error| {
        let sentence = format!("cannot write to standard output: {error}");
        anyhow::Error::new(error).context(sentence)
    })
}

/// Whether an error says that nobody reads what is written.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
