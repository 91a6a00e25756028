//! Bytes of a recording on their way into a file.

use std::{
    fs::File,
    io::{self, Write},
    mem,
};

/// Bytes that are gathered before they are written, where nobody asks for them earlier. They are lost where a disk is
/// full.
const BUFFER: usize = 16 * 1024;

/// Level of compression: zstd's own default, some hundred MB/s.
const LEVEL: i32 = 3;

/// Where a recording goes.
pub(super) enum Target {
    /// A file, which can be cut back to what is whole.
    File(File),
    /// Something else, such as standard output.
    Other(Box<dyn Write + Send>),
}

/// Lines, compressed or not. All of them go to memory first, so that only [`drain`](Self::drain) can fail.
pub(super) struct Output {
    target: Target,
    waiting: Waiting,
    /// Bytes that were written.
    written: u64,
    /// Bytes that were written when the lines in them were whole for the last time.
    whole: u64,
}

enum Waiting {
    Plain(Vec<u8>),
    Compressed(zstd::Encoder<'static, Vec<u8>>),
}

impl Output {
    pub(super) fn new(target: Target, compressed: bool) -> io::Result<Self> {
        let waiting = if compressed {
            let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
            encoder.include_checksum(true)?;
            Waiting::Compressed(encoder)
        } else {
            Waiting::Plain(Vec::new())
        };
        Ok(Self { target, waiting, written: 0, whole: 0 })
    }

    /// Size of the file with what waits to be written, as far as it is compressed already.
    pub(super) fn size(&self) -> u64 {
        let waiting = match &self.waiting {
            Waiting::Plain(bytes) => bytes.len(),
            Waiting::Compressed(encoder) => encoder.get_ref().len(),
        };
        self.written + waiting as u64
    }

    /// Whether the size is known only as far as it is compressed already.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.waiting, Waiting::Compressed(_))
    }

    /// Takes a whole line. Whether all lines so far are in the file is returned.
    pub(super) fn line(&mut self, line: &[u8]) -> io::Result<bool> {
        match &mut self.waiting {
            Waiting::Plain(bytes) => {
                bytes.extend(line);
                if bytes.len() < BUFFER {
                    return Ok(false);
                }
                self.drain()?;
                self.whole = self.written;
                Ok(true)
            }
            Waiting::Compressed(encoder) => {
                encoder.write_all(line)?;
                if encoder.get_ref().len() >= BUFFER {
                    self.drain()?;
                }
                Ok(false)
            }
        }
    }

    /// Writes all lines so far, so that a reader finds them there whatever happens now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Waiting::Compressed(encoder) = &mut self.waiting {
            encoder.flush()?;
        }
        self.drain()?;
        if let Target::Other(other) = &mut self.target {
            other.flush()?;
        }
        self.whole = self.written;
        Ok(())
    }

    /// Ends the file. Errors that file systems tell late are told here.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Waiting::Compressed(encoder) = &mut self.waiting {
            encoder.do_finish()?;
        }
        self.drain()?;
        self.whole = self.written;
        match &mut self.target {
            Target::File(file) => match file.sync_all() {
                // What is no file on a disk cannot be synchronised.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                result => result,
            },
            Target::Other(other) => other.flush(),
        }
    }

    /// Takes back what is not whole: where a disk is full, half a line may have had room.
    pub(super) fn cut_back(&mut self) {
        if let Target::File(file) = &self.target
            && file.metadata().is_ok_and(|data| data.is_file())
        {
            // A reader copes with the half line too.
            let _kept: io::Result<()> = file.set_len(self.whole);
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        let bytes = match &mut self.waiting {
            Waiting::Plain(bytes) => bytes,
            Waiting::Compressed(encoder) => encoder.get_mut(),
        };
        match &mut self.target {
            Target::File(file) => file.write_all(bytes)?,
            Target::Other(other) => other.write_all(bytes)?,
        }
        self.written += bytes.len() as u64;
        bytes.clear();
        if bytes.capacity() > 64 * BUFFER {
            drop(mem::take(bytes));
        }
        Ok(())
    }
}
