//! Writing to whoever may not read: once the end was asked for, a pipe that is full and a terminal that stands still are
//! waited for no longer than [`PATIENCE`].

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Write},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::OpenOptionsExt as _,
    },
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, poll},
};

/// How long nothing may be read once the end was asked for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether the end was asked for, in milliseconds.
const TICK: u8 = 50;

/// Bytes that a pipe takes whole, and at once where it says that it takes any.
const PIECE: usize = libc::PIPE_BUF;

/// Whether the end was asked for.
static ENDING: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Takes these signals for the wish to end, whatever else is done about them.
///
/// # Errors
///
/// When a signal cannot be handled.
pub fn heed(signals: &[i32]) -> io::Result<()> {
    for signal in signals {
        signal_hook::flag::register(*signal, ENDING.clone())?;
    }
    Ok(())
}

/// A stream that is written to in pieces that end with a line where that can be had, so that whoever reads what is in a
/// pipe when this program has ended finds whole lines.
#[derive(Debug)]
pub struct Patient {
    file: File,
    /// Whether it takes everything at once.
    is_plain: bool,
    /// Whether it was waited for in vain: nothing more is written then.
    given_up: AtomicBool,
}

impl Patient {
    /// A stream that somebody else may write to, too.
    ///
    /// # Errors
    ///
    /// When it is closed.
    pub fn new(stream: impl AsFd) -> io::Result<Self> {
        let shared = File::from(stream.as_fd().try_clone_to_owned()?);
        // A terminal says that it takes more where it takes a letter, and keeps whoever writes two. Opened once more it
        // keeps this program alone from nothing.
        let own = shared.is_terminal().then(|| {
            let path = format!("/proc/self/fd/{}", shared.as_raw_fd());
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
        });
        let file = own.flatten().unwrap_or(shared);
        let is_plain = file.metadata().is_ok_and(|facts| facts.is_file());
        Ok(Self { file, is_plain, given_up: AtomicBool::new(false) })
    }

    /// Whether something can be written now; waits a moment for that.
    fn is_writable(&self) -> io::Result<bool> {
        let mut one = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut one, TICK) {
            // An error is one too, which writing tells.
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Write for &Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_plain {
            return (&self.file).write(bytes);
        }
        let piece = piece(bytes);
        let mut since = None;
        loop {
            if self.given_up.load(Ordering::Relaxed) {
                return Err(given_up());
            }
            if self.is_writable()? {
                match (&self.file).write(piece) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        thread::sleep(Duration::from_millis(TICK.into()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
            if ENDING.load(Ordering::Relaxed)
                && since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
            {
                self.given_up.store(true, Ordering::Relaxed);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn given_up() -> io::Error {
    let seconds = PATIENCE.as_secs();
    let why =
        format!("nobody read it for {seconds} s after the end was asked for, and the rest is lost");
    io::Error::new(io::ErrorKind::TimedOut, why)
}

/// What is written at once: all of it, or lines, or the beginning of a long line.
fn piece(bytes: &[u8]) -> &[u8] {
    let Some(most) = bytes.get(..PIECE) else { return bytes };
    let end = most.iter().rposition(|byte| *byte == b'\n').map_or(PIECE, |end| end + 1);
    &most[..end]
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, thread};

    use super::*;

    #[test]
    fn pieces_end_with_a_line_where_they_can() {
        assert_eq!(piece(b"a\nb"), b"a\nb");
        let lines = [vec![b'a'; 3_000], vec![b'\n'], vec![b'b'; 5_000], vec![b'\n']].concat();
        assert_eq!(piece(&lines).len(), 3_001);
        assert_eq!(piece(&lines[3_001..]).len(), PIECE);
        assert_eq!(piece(&lines[3_001 + PIECE..]).len(), 5_001 - PIECE);
    }

    // One test, because the wish to end is the process's.
    #[test]
    fn a_full_pipe_is_waited_for_until_the_end_is_asked_for() {
        let text = b"a line of words\n".repeat(20_000);
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let stream = Patient::new(&writer).expect("a stream");
        drop(writer);
        let all = text.clone();
        let slow = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        (&stream).write_all(&all).expect("somebody reads");
        drop(stream);
        assert_eq!(slow.join().expect("read").expect("read"), text);

        let (mut reader, writer) = io::pipe().expect("a pipe");
        let stream = Patient::new(&writer).expect("a stream");
        ENDING.store(true, Ordering::Relaxed);
        let error = (&stream).write_all(&text).expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop((stream, writer));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("what fitted");
        ENDING.store(false, Ordering::Relaxed);
        assert!(!read.is_empty() && text.starts_with(&read) && read.ends_with(b"\n"));
    }

    #[test]
    fn a_closed_pipe_is_told_as_one() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let stream = Patient::new(&writer).expect("a stream");
        let error = (&stream).write_all(b"a").expect_err("nobody can read");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
