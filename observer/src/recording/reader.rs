//! Reading a recording, or what is left of it.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context as _, Result};

use super::{
    Header,
    input::{Input, LINE_MAX, Next},
    line::{Damage, Line, parse_line},
};
use crate::{error::Failure, stream::Update};

/// Updates of a recording, in their order, in bounded memory: one line at a time.
///
/// It takes what `observer record` writes and what `--format json` prints, compressed by zstd or not.
pub struct Reader {
    name: String,
    input: Input,
    buffer: Vec<u8>,
    header: Option<Header>,
    /// Number of the part that is read.
    part: u64,
    /// What was read ahead to find the header.
    ahead: Option<Update>,
    cut: Option<Cut>,
    ended: bool,
    over: bool,
    skipped: u64,
}

/// Place at which a recording was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Number of whole lines before it.
    pub lines: u64,
    /// Number of bytes before it that are whole lines, decompressed where the file is compressed.
    pub offset: u64,
    /// Number of bytes of the line that is not whole.
    pub bytes: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, offset, bytes } = self;
        write!(formatter, "it was cut off after line {lines} (byte {offset}")?;
        match bytes {
            0 => write!(formatter, ")"),
            bytes => write!(formatter, "); the {bytes} bytes after that are no whole line"),
        }
    }
}

impl Reader {
    /// Opens a recording; `-` is standard input.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when it cannot be read, is empty, or is no recording.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::new("standard input", io::stdin());
        }
        let name = path.display().to_string();
        let cannot =
            || Failure::failed(format!("cannot read {name}; give the name of a recording"));
        let file = File::open(path).with_context(|| match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Failure::failed(format!("there is no file {name}; give the name of a recording"))
            }
            _ => cannot(),
        })?;
        if file.metadata().is_ok_and(|data| data.is_dir()) {
            let sentence = format!("{name} is a directory; give the name of a recording in it");
            return Err(Failure::failed(sentence).into());
        }
        Self::new(&name, file)
    }

    /// Begins to read a recording that is called `name` in what is said about it.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when it cannot be read, is empty, or is no recording.
    pub fn new(name: &str, raw: impl Read + Send + 'static) -> Result<Self> {
        let cannot = || Failure::failed(format!("cannot read {name}"));
        let mut reader = Self {
            name: name.to_owned(),
            input: Input::new(raw).with_context(cannot)?,
            buffer: Vec::new(),
            header: None,
            part: 0,
            ahead: None,
            cut: None,
            ended: false,
            over: false,
            skipped: 0,
        };
        reader.ahead = reader.read(true)?;
        Ok(reader)
    }

    /// First line of the recording; `None` for what `--format json` printed, which has none.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Next update; `None` at the end.
    ///
    /// # Errors
    ///
    /// A [`Failure`] with line and offset where a line is damaged or of a newer schema, and when the file cannot be
    /// read. Nothing comes after it.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would hand out an error for ever"
    )]
    pub fn next(&mut self) -> Result<Option<Update>> {
        match self.ahead.take() {
            Some(update) => Ok(Some(update)),
            None => self.read(false),
        }
    }

    /// Where the recording was cut off; `None` where it was not, and before its end was reached. A recording that
    /// was cut off between two lines shows that only by having no total: see [`has_total`](Self::has_total).
    #[must_use]
    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Whether the total was read, which ends a recording. One that was killed has none, nor has a part that
    /// others follow.
    #[must_use]
    pub fn has_total(&self) -> bool {
        self.ended
    }

    /// Number of the line that was read last, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.input.line
    }

    /// Offset of the line that was read last, in bytes, decompressed where the file is compressed.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.input.start
    }

    /// Number of lines that were left out because their type is not known: a later observer of the same schema wrote
    /// them.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Reads up to the next update. `opening` stops after the header.
    fn read(&mut self, opening: bool) -> Result<Option<Update>> {
        loop {
            if self.over {
                return Ok(None);
            }
            let next = self.input.next(&mut self.buffer).map_err(|error| self.unreadable(error))?;
            match next {
                Next::End { cut } => {
                    self.over = true;
                    if self.input.line == 0 && !cut {
                        return Err(self.fail(format!(
                            "{} is empty: nothing was recorded, or the recording was not begun",
                            self.name
                        )));
                    }
                    if cut {
                        self.cut_here(0);
                    }
                    return Ok(None);
                }
                Next::Rest => {
                    self.over = true;
                    // File systems leave zeros where the machine died before data was on the disk.
                    let written = self.buffer.iter().rposition(|byte| *byte != 0);
                    self.buffer.truncate(written.map_or(0, |last| last + 1));
                    let bytes = self.buffer.len() as u64;
                    if bytes == 0 {
                        self.cut_here(0);
                        return Ok(None);
                    }
                    match parse_line(&self.buffer) {
                        Err(damage) if self.is_cut(&damage) => {
                            self.cut_here(bytes);
                            return Ok(None);
                        }
                        // Only the line break is missing.
                        Ok(line) => {
                            if let Some(update) = self.take(line)? {
                                return Ok(Some(update));
                            }
                        }
                        Err(damage) => return Err(self.damaged(&damage)),
                    }
                }
                Next::Whole if self.buffer.trim_ascii().is_empty() => {}
                Next::Whole => {
                    let line = parse_line(&self.buffer).map_err(|damage| self.damaged(&damage))?;
                    if let Some(update) = self.take(line)? {
                        return Ok(Some(update));
                    }
                    if opening && self.header.is_some() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn take(&mut self, line: Line) -> Result<Option<Update>> {
        match line {
            // The total ends a recording: what follows is about other counts.
            Line::Header(_) | Line::Update(_) if self.ended => {
                let place = self.place();
                Err(self.fail(format!(
                    "another recording begins at {place} of {}, after the total of the first; give one at a time",
                    self.name
                )))
            }
            Line::Update(update) => {
                self.ended = matches!(update, Update::Ended(_));
                Ok(Some(update))
            }
            Line::Header(header) => self.take_header(header).map(|()| None),
            Line::Unknown if self.header.is_none() => {
                Err(self.damaged(&Damage::Foreign("its type is not known".into())))
            }
            Line::Unknown => {
                self.skipped += 1;
                Ok(None)
            }
        }
    }

    /// The parts of one recording can be read one after the other.
    fn take_header(&mut self, header: Header) -> Result<()> {
        let part = std::mem::replace(&mut self.part, header.part);
        let Some(first) = &self.header else {
            self.header = Some(header);
            return Ok(());
        };
        let of =
            |header: &Header| (header.start.clone(), header.host.clone(), header.arguments.clone());
        let (place, name) = (self.place(), &self.name);
        let sentence = if of(first) != of(&header) {
            format!("another recording begins at {place} of {name}; give one at a time")
        } else if header.part != part + 1 {
            format!(
                "part {} of the recording follows part {part} at {place} of {name}; give all parts, the oldest first",
                header.part
            )
        } else {
            return Ok(());
        };
        Err(self.fail(sentence))
    }

    /// Whether what a file ends with is the beginning of a line. What follows a whole line is taken for one unless
    /// it is JSON.
    fn is_cut(&self, damage: &Damage) -> bool {
        match damage {
            Damage::Unfinished => true,
            Damage::Broken(_) => self.input.line > 1,
            Damage::Newer(_) | Damage::Foreign(_) => false,
        }
    }

    fn cut_here(&mut self, bytes: u64) {
        let lines = self.input.line - u64::from(bytes > 0 || !self.buffer.is_empty());
        self.cut = Some(Cut { lines, offset: self.input.start, bytes });
    }

    /// `line 12 (byte 3456)`.
    fn place(&self) -> String {
        let decompressed = if self.input.compressed { " decompressed" } else { "" };
        format!("line {} (byte {}{decompressed})", self.input.line, self.input.start)
    }

    fn damaged(&mut self, damage: &Damage) -> anyhow::Error {
        let (place, name) = (self.place(), &self.name);
        let sentence = match damage {
            Damage::Newer(_) => {
                format!("{place} of {name} {damage}; read it with a newer observer")
            }
            _ if self.input.line == 1 => format!(
                "{name} is no recording: {place} {damage}; give what observer record or --format json wrote"
            ),
            _ => {
                let cat = if self.input.compressed { "zstdcat" } else { "cat" };
                let line = self.input.line;
                format!(
                    "{place} of {name} {damage}; to read the rest, leave it out: \
                     {cat} {name} | sed {line}d | observer report -"
                )
            }
        };
        self.fail(sentence)
    }

    fn unreadable(&mut self, error: io::Error) -> anyhow::Error {
        let (name, line, end) = (&self.name, self.input.line, self.input.end);
        let sentence = match error.kind() {
            io::ErrorKind::FileTooLarge if line == 1 => {
                format!(
                    "{name} is no recording: its first line is longer than {} MiB; give what observer record or \
                     --format json wrote",
                    LINE_MAX >> 20
                )
            }
            io::ErrorKind::FileTooLarge => {
                format!(
                    "{} of {name} is longer than {} MiB: it is damaged",
                    self.place(),
                    LINE_MAX >> 20
                )
            }
            _ if self.input.compressed => format!(
                "the compressed data of {name} is damaged after line {line} (byte {end} decompressed); what comes \
                 before can be read: zstdcat {name} | head -n {line} | observer report -"
            ),
            _ => format!("cannot read {name} after line {line} (byte {end})"),
        };
        self.over = true;
        anyhow::Error::new(error).context(Failure::failed(sentence))
    }

    fn fail(&mut self, sentence: String) -> anyhow::Error {
        self.over = true;
        Failure::failed(sentence).into()
    }
}
