//! One recording: a thread that makes room for it, writes what was held, and what comes until it ends. A disk that is slow,
//! full or does not answer keeps nobody else.

use std::{
    env,
    fs::File,
    io,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use observer::{
    Update,
    kernel::facts,
    recording::{self, Header, Writer},
};
use tokio::sync::oneshot;

use super::{
    directory::{Directory, remove_empty},
    held,
    held::Line,
    voice::Words,
};

/// Most updates that wait to be written: what comes then is left out.
const WAITING: usize = 8192;

/// What a recording begins with.
pub struct Beginning {
    /// Where it goes.
    pub directory: Directory,
    /// What it is made for.
    pub why: String,
    /// What was held.
    pub held: Vec<Line>,
    /// Who says where it is, or why it is not.
    pub words: Words,
    /// Who waits until what was held is written.
    pub begun: oneshot::Sender<()>,
}

/// What comes after what was held.
pub enum More {
    /// A report, as a line.
    Line(Line),
    /// An event.
    Event(Update),
}

/// A recording that is being written, until this is dropped and whoever sends events has ended.
pub struct Capture {
    sender: SyncSender<More>,
}

impl Capture {
    /// Begins one; with the thread that writes it, which gives whether it could.
    pub fn begin(beginning: Beginning) -> io::Result<(Self, JoinHandle<bool>)> {
        let (sender, more) = sync_channel(WAITING);
        let write = move || {
            let (why, words) = (beginning.why.clone(), beginning.words.clone());
            let result = write(beginning, &more);
            if let Err(error) = &result {
                words.say(format!("observer: {why}: {error:#}"));
            }
            result.is_ok()
        };
        let thread = thread::Builder::new().name("flight".into()).spawn(write)?;
        Ok((Self { sender }, thread))
    }

    /// Adds a report. Whether it still goes on is returned.
    pub fn line(&self, line: Line) -> bool {
        // Who does not write in time gets no more.
        let sent = self.sender.try_send(More::Line(line));
        !matches!(sent, Err(TrySendError::Disconnected(_)))
    }

    /// Where events go.
    pub fn sender(&self) -> SyncSender<More> {
        self.sender.clone()
    }
}

fn write(beginning: Beginning, more: &Receiver<More>) -> Result<()> {
    let Beginning { directory, words, .. } = &beginning;
    let next = directory.next(|warning| words.say(warning));
    let (path, file) = next.context("no recording is written")?;
    let own = file.try_clone().context("no recording is written");
    let result = own.and_then(|own| fill(&path, own, beginning, more));
    if result.is_err() {
        remove_empty(&path, &file);
    }
    result
}

fn fill(path: &Path, file: File, beginning: Beginning, more: &Receiver<More>) -> Result<()> {
    let Beginning { directory, why, held, words, begun } = beginning;
    let (limit, name) = (directory.of_one(), path.display());
    let mut writer = Writer::onto(path, file, header(&held))?;
    let mut has_room = true;
    for line in held {
        has_room = has_room && add(&mut writer, More::Line(line), limit)?;
    }
    writer.flush()?;
    words.say(format!("observer: {why}: the last minutes are written to {name}"));
    if has_room {
        // Nobody may wait for it.
        let _nobody = begun.send(());
        for more in more {
            has_room = add(&mut writer, more, limit)?;
            if !has_room {
                break;
            }
        }
    }
    if !has_room {
        words.say(format!("observer: {name} is as large as it may be, and ends"));
    }
    writer.finish()?;
    Ok(())
}

/// Adds something; `false` where it has no room.
fn add(writer: &mut Writer, more: More, limit: u64) -> Result<bool> {
    let update = match more {
        // Compressed it takes about what it takes in memory.
        More::Line(line) if writer.size().saturating_add(line.len() as u64) > limit => {
            return Ok(false);
        }
        More::Event(_) if writer.size() >= limit => return Ok(false),
        More::Line(line) => match update(&line) {
            Ok(update) => update,
            Err(_) => return Ok(true),
        },
        More::Event(update) => update,
    };
    writer.write(&update)?;
    Ok(true)
}

/// The header of a recording that begins with these lines.
fn header(held: &[Line]) -> Header {
    let first = held.iter().find_map(|line| update(line).ok());
    let start = match first {
        Some(Update::Report(report)) => report.window.start,
        _ => humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
    };
    let words = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    Header::new(facts::host(), words.collect(), start)
}

/// The update of a line that was held.
fn update(line: &Line) -> Result<Update> {
    let text = zstd::bulk::decompress(line, held::LONGEST).context("a line cannot be unpacked")?;
    match recording::parse_line(&text) {
        Ok(recording::Line::Update(update)) => Ok(update),
        _ => anyhow::bail!("a line is no update"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::PathBuf,
        time::{Duration, Instant},
    };

    use observer::{model::WindowKind, recording::Reader};

    use super::*;
    use crate::app::{export::flight::held::Held, render::table::fixtures};

    /// Lines of which none is like another.
    fn lines(count: u16) -> Vec<Line> {
        let mut held = Held::new(usize::MAX, Duration::from_secs(600));
        let report = |port| {
            let mut report = fixtures::report(vec![fixtures::listener("127.0.0.1", port)]);
            report.window.kind = WindowKind::Interval;
            report
        };
        (0..count).map(|port| held.add(&report(port), Instant::now())).collect()
    }

    fn begin(directory: &Directory, held: Vec<Line>) -> (Capture, JoinHandle<bool>) {
        let (begun, _nobody) = oneshot::channel();
        let words = Words::unheard();
        let beginning =
            Beginning { directory: directory.clone(), why: "a test".into(), held, words, begun };
        Capture::begin(beginning).expect("a thread")
    }

    fn recordings(place: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(place).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    #[test]
    fn it_is_no_larger_than_there_is_room_for() {
        let place = tempfile::tempdir().expect("a directory");
        let most = 20_000;
        let directory = Directory::new(place.path().into(), most).expect("a directory");
        let lines = lines(2_000);
        for held in [lines.clone(), Vec::new()] {
            let more = if held.is_empty() { &lines[..] } else { &[] };
            let (capture, thread) = begin(&directory, held);
            for line in more {
                capture.line(line.clone());
            }
            drop(capture);
            assert!(thread.join().expect("no panic"));
            let path = recordings(place.path()).pop().expect("a recording");
            let bytes = fs::metadata(&path).expect("it is there").len();
            assert!((most / 5..=most / 2).contains(&bytes), "{bytes} bytes");
            let mut reader = Reader::open(&path).expect("a recording");
            let mut reports = 0;
            while reader.next().expect("a report").is_some() {
                reports += 1;
            }
            assert!(reader.cut().is_none() && (1..2_000).contains(&reports), "{reports}");
            fs::remove_file(path).expect("it is there");
        }
    }

    #[test]
    fn what_cannot_be_written_is_told_to_whoever_adds() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("gone");
        let directory = Directory::new(path.clone(), 20_000).expect("a directory");
        fs::remove_dir(path).expect("it is there");
        let (capture, thread) = begin(&directory, lines(1));
        assert!(!thread.join().expect("no panic"));
        assert!(!capture.line(lines(1).remove(0)));
    }
}
