//! Lines of a file that may be compressed, and may end anywhere.

use std::io::{self, BufRead, BufReader, Read};

/// Longest line that is read, in bytes. A total of a hundred thousand listeners takes about as much.
pub(super) const LINE_MAX: u64 = 256 << 20;

/// First bytes of a zstd frame.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;

/// Lines, with their places.
pub(super) struct Input {
    bytes: Box<dyn BufRead + Send>,
    /// Whether the bytes were compressed, so that offsets are those of what comes out.
    pub(super) compressed: bool,
    /// Number of lines that were read.
    pub(super) line: u64,
    /// Where the last line that was read begins.
    pub(super) start: u64,
    /// Where the next line begins.
    pub(super) end: u64,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line with its line break.
    Whole,
    /// What the file ends with, without a line break.
    Rest,
    /// Nothing: the file ends, after a line break or before anything. Whether compressed data was cut off there.
    End {
        /// Whether compressed data ends in the middle.
        cut: bool,
    },
}

impl Input {
    /// Looks at the first bytes: what is compressed is known by them, whatever the file's name is.
    pub(super) fn new(raw: impl Read + Send + 'static) -> io::Result<Self> {
        let mut raw = BufReader::with_capacity(BUFFER, raw);
        let mut first = Vec::new();
        raw.by_ref().take(4).read_to_end(&mut first)?;
        // Less than all of them are of a file that was cut off there.
        let compressed = !first.is_empty() && MAGIC.starts_with(&first);
        let whole = io::Cursor::new(first).chain(raw);
        let bytes: Box<dyn BufRead + Send> = if compressed {
            Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::with_buffer(whole)?))
        } else {
            Box::new(whole)
        };
        Ok(Self { bytes, compressed, line: 0, start: 0, end: 0 })
    }

    /// Reads the next line into `line`.
    ///
    /// # Errors
    ///
    /// Those of reading, of compressed data that is damaged, and of a line that is too long
    /// ([`io::ErrorKind::FileTooLarge`]).
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Next> {
        line.clear();
        // What one great line took is given back.
        line.shrink_to(8 << 20);
        self.start = self.end;
        let mut cut = false;
        match self.bytes.by_ref().take(LINE_MAX).read_until(b'\n', line) {
            Ok(_) => {}
            // Compressed data ends in the middle; what came before is good.
            Err(error) if self.compressed && error.kind() == io::ErrorKind::UnexpectedEof => {
                cut = true;
            }
            Err(error) => return Err(error),
        }
        if line.is_empty() {
            return Ok(Next::End { cut });
        }
        self.line += 1;
        self.end += line.len() as u64;
        if line.last() == Some(&b'\n') {
            return Ok(Next::Whole);
        }
        if line.len() as u64 == LINE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Next::Rest)
    }
}
