//! One recording: a thread that writes what was held, and what comes until it ends. A disk that is slow or full keeps
//! nobody else.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use observer::{
    Update,
    kernel::facts,
    recording::{self, Header, Options, Writer},
};

use super::{held, held::Line};
use crate::app::{
    export::state::{State, lock},
    run::say,
};

/// Most updates that wait to be written: what comes then is left out.
const WAITING: usize = 8192;

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
    /// Begins one with these lines, of so many bytes at most; with the thread that writes it.
    pub fn begin(
        path: PathBuf,
        held: Vec<Line>,
        limit: u64,
        state: Arc<Mutex<State>>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, more) = sync_channel(WAITING);
        let write = move || {
            let result = write(&path, &held, &more, limit);
            let mut state = lock(&state);
            let flight = state.flight.get_or_insert_default();
            match result {
                Ok(()) => flight.written += 1,
                Err(error) => {
                    flight.failed += 1;
                    say(&format!("observer: {error:#}"));
                }
            }
        };
        let thread = thread::Builder::new().name("flight".into()).spawn(write)?;
        Ok((Self { sender }, thread))
    }

    /// Adds a report.
    pub fn line(&self, line: Line) {
        // Who does not write in time gets no more.
        let _full = self.sender.try_send(More::Line(line));
    }

    /// Where events go.
    pub fn sender(&self) -> SyncSender<More> {
        self.sender.clone()
    }
}

fn write(path: &Path, held: &[Line], more: &Receiver<More>, limit: u64) -> Result<()> {
    let first = held.iter().find_map(|line| update(line).ok());
    let start = match first {
        Some(Update::Report(report)) => report.window.start,
        _ => humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
    };
    let words = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let header = Header::new(facts::host(), words.collect(), start);
    let mut writer = Writer::create(path, header, &Options::default())?;
    for line in held {
        if let Ok(update) = update(line) {
            writer.write(&update)?;
        }
    }
    writer.flush()?;
    for more in more {
        if writer.kept().bytes >= limit {
            say(&format!("observer: {} is as large as it may be, and ends", path.display()));
            break;
        }
        match more {
            More::Line(line) => {
                if let Ok(update) = update(&line) {
                    writer.write(&update)?;
                }
            }
            More::Event(update) => writer.write(&update)?,
        }
    }
    writer.finish()?;
    Ok(())
}

/// The update of a line that was held.
fn update(line: &Line) -> Result<Update> {
    let text = zstd::bulk::decompress(line, held::LONGEST).context("a line cannot be unpacked")?;
    match recording::parse_line(&text) {
        Ok(recording::Line::Update(update)) => Ok(update),
        _ => anyhow::bail!("a line is no update"),
    }
}
