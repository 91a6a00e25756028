//! Writing a recording.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::Serialize;

use super::{
    Header,
    files::{Files, is_compressed, refuse_existing},
    options::Options,
    output::{Output, Target},
    written::{Written, until},
};
use crate::{error::Failure, stream::Update};

/// How long events may wait in memory.
const PATIENCE: Duration = Duration::from_secs(1);

/// A recording that is being written: each report is in the file when [`write`](Self::write) returns, and each
/// event a second later at most.
///
/// A part that is full gets a name with its number before the suffix (`a.0001.ndjson`); the part that is being
/// written has the name of the recording. Each part has a header, and can be read alone or after the one before.
pub struct Writer {
    name: String,
    header: Header,
    max_size: Option<u64>,
    /// `None` where the recording goes to something that is no file.
    files: Option<Files>,
    output: Output,
    line: Vec<u8>,
    /// All that was taken.
    written: Written,
    /// What of it is whole in the file.
    kept: Written,
    /// Bytes of the parts before.
    before: u64,
    flushed: Instant,
    /// Whether nothing more can be written.
    closed: bool,
    failed: bool,
}

impl Writer {
    /// Refuses a file that [`create`](Self::create) would refuse because it exists.
    ///
    /// # Errors
    ///
    /// A [`Failure`] that names the file.
    pub fn check(path: &Path, options: &Options) -> Result<()> {
        if options.overwrite { Ok(()) } else { refuse_existing(path) }
    }

    /// Creates a file, compressed where its name ends in `.zst`, and writes the header.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when the file exists and is not to be overwritten, or cannot be created or written.
    pub fn create(path: &Path, header: Header, options: &Options) -> Result<Self> {
        let files = Files::new(path, options)?;
        let target = Target::File(files.create()?);
        let name = path.display().to_string();
        Self::begin(name, target, is_compressed(path), header, options.max_size, Some(files))
    }

    /// Writes to a file that the caller created, compressed where its name ends in `.zst`: whoever chose the name knows
    /// that nobody else has it. It is not split.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when it cannot be written.
    pub fn onto(path: &Path, file: File, header: Header) -> Result<Self> {
        let files = Files::new(path, &Options::default())?;
        let name = path.display().to_string();
        Self::begin(name, Target::File(file), is_compressed(path), header, None, Some(files))
    }

    /// Writes to something that is no file, such as standard output.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when it cannot be written.
    pub fn to(name: &str, out: impl Write + Send + 'static, header: Header) -> Result<Self> {
        Self::begin(name.to_owned(), Target::Other(Box::new(out)), false, header, None, None)
    }

    fn begin(
        name: String,
        target: Target,
        compressed: bool,
        header: Header,
        max_size: Option<u64>,
        files: Option<Files>,
    ) -> Result<Self> {
        let output = Output::new(target, compressed).map_err(|error| {
            anyhow::Error::new(error).context(Failure::failed("cannot compress with zstd"))
        })?;
        let mut writer = Self {
            name,
            header,
            max_size,
            files,
            output,
            line: Vec::new(),
            written: Written::default(),
            kept: Written::default(),
            before: 0,
            flushed: Instant::now(),
            closed: false,
            failed: false,
        };
        writer.write_header()?;
        Ok(writer)
    }

    /// Adds an update. Nothing can be added after [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// A [`Failure`] that names the file and says what is kept in it, when it cannot be written. What comes after
    /// is refused with the same.
    pub fn write(&mut self, update: &Update) -> Result<()> {
        if self.closed {
            return Err(self.cannot(io::Error::other("an earlier line could not be written")));
        }
        to_line(update, &mut self.line);
        if !matches!(update, Update::Ended(_)) && self.is_full() {
            self.rotate()?;
        }
        let whole = self.output.line(&self.line).map_err(|error| self.cannot(error))?;
        let written = &mut self.written;
        written.lines += 1;
        match update {
            Update::Report(report) => {
                written.reports += 1;
                written.until = until(report);
            }
            Update::Event(event) => {
                written.events += 1;
                written.until = Some(event.time.clone());
            }
            Update::Ended(ended) => {
                written.total = true;
                written.until = until(&ended.total);
            }
        }
        if whole {
            self.keep();
        }
        if !matches!(update, Update::Event(_)) || self.flushed.elapsed() >= PATIENCE {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what waits in memory.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> Result<()> {
        self.output.flush().map_err(|error| self.cannot(error))?;
        self.keep();
        Ok(())
    }

    /// Ends the recording, and waits until it is on the disk.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(&mut self) -> Result<&Written> {
        if !self.closed {
            self.output.finish().map_err(|error| self.cannot(error))?;
            self.keep();
            self.closed = true;
        }
        Ok(&self.kept)
    }

    /// Whether something could not be written, which was told then.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// What is whole in the file.
    #[must_use]
    pub fn kept(&self) -> &Written {
        &self.kept
    }

    /// Bytes of all parts with what waits to be written, as far as it is compressed already.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.before + self.output.size()
    }

    /// Files that are there, the oldest first: the parts, and the file that is written. Empty where the recording
    /// goes to something that is no file.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let of = |files: &Files| files.earlier().cloned().chain([files.path.clone()]).collect();
        self.files.as_ref().map_or_else(Vec::new, of)
    }

    /// Number of parts that were removed, because there were more than were to be kept.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.files.as_ref().map_or(0, |files| files.removed)
    }

    fn write_header(&mut self) -> Result<()> {
        let mut line = Vec::new();
        to_line(&self.header, &mut line);
        self.output.line(&line).map_err(|error| self.cannot(error))?;
        self.written.lines = 1;
        self.flush()
    }

    /// Whether the next line is to be in another part; one line at least is in each.
    fn is_full(&self) -> bool {
        let Some(max) = self.max_size else { return false };
        // How much a line takes when compressed is not known before.
        let line = if self.output.is_compressed() { 0 } else { self.line.len() as u64 };
        self.written.lines > 1 && self.output.size() + line > max
    }

    fn rotate(&mut self) -> Result<()> {
        self.output.finish().map_err(|error| self.cannot(error))?;
        self.keep();
        let Some(files) = &mut self.files else { return Ok(()) };
        let file = files.rotate().inspect_err(|_| (self.closed, self.failed) = (true, true))?;
        self.header.part = files.part;
        self.before += self.output.size();
        let compressed = self.output.is_compressed();
        self.output =
            Output::new(Target::File(file), compressed).map_err(|error| self.cannot(error))?;
        self.write_header()
    }

    /// Notes that all that was taken is in the file.
    fn keep(&mut self) {
        self.flushed = Instant::now();
        self.written.bytes = self.size();
        self.kept.clone_from(&self.written);
    }

    fn cannot(&mut self, error: io::Error) -> anyhow::Error {
        (self.closed, self.failed) = (true, true);
        self.output.cut_back();
        let sentence = format!("cannot write {}: {error}; {}", self.name, self.kept.words());
        anyhow::Error::new(error).context(Failure::failed(sentence))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.closed {
            // Whoever wants to know calls `finish`.
            let _unknown: io::Result<()> = self.output.finish();
        }
    }
}

/// Replaces `line` by the value and a line break. All names in it are strings, so that nothing can fail.
fn to_line(value: &impl Serialize, line: &mut Vec<u8>) {
    line.clear();
    line.shrink_to(8 << 20);
    if serde_json::to_writer(&mut *line, value).is_ok() {
        line.push(b'\n');
    } else {
        line.clear();
    }
}
