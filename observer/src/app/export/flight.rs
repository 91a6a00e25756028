//! The flight recorder: the last minutes are held in bounded memory, and written as a recording when something is
//! critical, or when somebody asks for it by SIGUSR1. So the incident is on disk before anybody typed a command.
//!
//! A recording begins with what was held, and goes on for a while: with reports and, where a listener is critical, with
//! the events of its port, from a window of their own that is open for that long only.

mod capture;
mod directory;
mod events;
mod held;
mod trigger;
mod voice;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use observer::{
    Config,
    model::{Listener, Report, Severity},
};
use tokio::sync::oneshot;

use self::{
    capture::{Beginning, Capture},
    directory::Directory,
    held::Held,
    trigger::{Critical, Trigger},
    voice::Voice,
};
use super::state::{Flight, State, lock};

/// Most bytes of reports that are held, as they are when compressed.
const MOST_HELD: usize = 16 << 20;

/// How long a recording goes on after it began.
const AFTER: Duration = Duration::from_secs(30);

/// Shortest time from one recording to the next, so that none begins while another goes on.
const SHORTEST_COOLDOWN: Duration = Duration::from_secs(60);

/// Longest time after which a recording that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// How long the end waits for a disk that keeps what is being written: one that does not answer may keep it for ever.
const GRACE: Duration = Duration::from_secs(10);

/// How often it is looked whether it is written.
const LOOK: Duration = Duration::from_millis(20);

/// Most recordings that are written at once: the one that goes on, and one that a disk still keeps.
const MOST_WRITING: usize = 2;

/// What the recorder is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where recordings go.
    pub directory: PathBuf,
    /// How much of the past is held.
    pub keep: Duration,
    /// Time from one recording to the next.
    pub cooldown: Duration,
    /// Most bytes in the directory.
    pub most_bytes: u64,
    /// The window that reports come from: that of events is another with the same filters.
    pub config: Config,
}

/// A recording that is being written.
struct Writing {
    number: u64,
    /// It gives whether the recording could be written.
    thread: JoinHandle<bool>,
}

/// The recorder. It is called on the event loop, and nothing in it waits for a disk or for who reads what it says.
pub struct Recorder {
    directory: Directory,
    held: Held,
    trigger: Trigger,
    /// The recording that goes on, and until when.
    capture: Option<(Instant, Capture)>,
    /// What writes, to be waited for in the end.
    writing: Vec<Writing>,
    /// Recordings that were begun.
    begun: u64,
    voice: Voice,
    config: Config,
    state: Arc<Mutex<State>>,
    /// What was critical in the last report.
    critical: BTreeSet<Critical>,
}

impl Recorder {
    /// Makes the directory where it is not there.
    ///
    /// # Errors
    ///
    /// A failure when nothing can be written there.
    pub fn new(settings: Settings, state: Arc<Mutex<State>>) -> Result<Self> {
        let Settings { directory, keep, cooldown, most_bytes, config } = settings;
        let directory = Directory::new(directory, most_bytes)?;
        lock(&state).flight = Some(Flight::default());
        // What is held is in the recording whole, and leaves room for what comes.
        let half = usize::try_from(directory.of_one() / 2).unwrap_or(usize::MAX);
        Ok(Self {
            directory,
            held: Held::new(MOST_HELD.min(half), keep),
            trigger: Trigger::new(cooldown.max(SHORTEST_COOLDOWN), cooldown.min(RETRY)),
            capture: None,
            writing: Vec::new(),
            begun: 0,
            voice: Voice::start().context("cannot start a thread for the flight recorder")?,
            config,
            state,
            critical: BTreeSet::new(),
        })
    }

    /// Takes the report of an interval, and begins a recording where it is critical.
    pub fn report(&mut self, report: &Report) {
        let now = Instant::now();
        self.reap(now);
        let line = self.held.add(report, now);
        lock(&self.state).flight.get_or_insert_default().held = self.held.bytes();
        if let Some((until, capture)) = &self.capture
            && (!capture.line(line) || now >= *until)
        {
            self.end();
        }
        self.critical = report.listeners.iter().flat_map(critical).collect();
        if self.trigger.is_due(&self.critical, now)
            && let Some((_, port, finding)) = self.critical.first()
        {
            let why = format!("{finding} on port {port}");
            self.begin(&why, now);
        }
    }

    /// Somebody asks for a recording.
    pub fn asked(&mut self) {
        let now = Instant::now();
        self.reap(now);
        if self.trigger.may(now) {
            self.begin("SIGUSR1", now);
        } else if self.trigger.is_first_refusal() {
            let wait = self.trigger.wait(now).as_secs() + 1;
            self.voice.words().say(format!(
                "observer: no recording is written for SIGUSR1: the one before is not older than --cooldown; ask again \
                 in {wait} s"
            ));
        }
    }

    fn begin(&mut self, why: &str, now: Instant) {
        self.end();
        self.trigger.fired(&self.critical, now);
        if self.writing.len() >= MOST_WRITING {
            return self.failed(
                why,
                "the ones before are still being written; see to the disk",
                now,
            );
        }
        let (begun, wait) = oneshot::channel();
        let beginning = Beginning {
            directory: self.directory.clone(),
            why: why.to_owned(),
            held: self.held.lines(),
            words: self.voice.words().clone(),
            begun,
        };
        match Capture::begin(beginning) {
            Ok((capture, thread)) => {
                let ports: BTreeSet<u16> = self.critical.iter().map(|(_, port, _)| *port).collect();
                if !ports.is_empty() {
                    events::follow(&self.config, &ports, AFTER, capture.sender(), wait);
                }
                self.capture = Some((now + AFTER, capture));
                self.begun += 1;
                self.writing.push(Writing { number: self.begun, thread });
            }
            Err(error) => self.failed(why, &format!("cannot start a thread: {error}"), now),
        }
    }

    /// None could be begun.
    fn failed(&mut self, why: &str, reason: &str, now: Instant) {
        self.voice.words().say(format!("observer: {why}: no recording is written: {reason}"));
        lock(&self.state).flight.get_or_insert_default().failed += 1;
        self.trigger.failed(now);
    }

    /// Counts recordings that have ended. Where the last of them could not be written, it is as if there had been none.
    fn reap(&mut self, now: Instant) {
        let ended: Vec<_> =
            self.writing.extract_if(.., |writing| writing.thread.is_finished()).collect();
        for Writing { number, thread } in ended {
            // One that panicked has written nothing that is whole.
            let is_written = thread.join().unwrap_or(false);
            let mut state = lock(&self.state);
            let flight = state.flight.get_or_insert_default();
            *(if is_written { &mut flight.written } else { &mut flight.failed }) += 1;
            drop(state);
            if !is_written && number == self.begun {
                self.end();
                self.trigger.failed(now);
            }
        }
    }

    /// Ends a recording that goes on.
    pub fn end(&mut self) {
        self.capture = None;
    }
}

impl Drop for Recorder {
    /// Waits until what is being written is whole, for so long. Nobody sends events any more: the event loop is gone, and
    /// so are the kernel programs.
    fn drop(&mut self) {
        self.end();
        let until = Instant::now() + GRACE;
        for Writing { thread, .. } in self.writing.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                thread::sleep(LOOK);
            }
            if thread.is_finished() {
                let _panicked = thread.join();
            } else {
                self.voice.words().say(format!(
                    "observer: the disk has not taken a recording for {} s: it is cut, or missing; see to the disk",
                    GRACE.as_secs()
                ));
            }
        }
    }
}

/// What is critical of a listener.
fn critical(listener: &Listener) -> impl Iterator<Item = Critical> {
    let findings = listener.findings.iter();
    let critical = findings.filter(|finding| finding.severity == Severity::Critical);
    critical.map(|finding| (listener.netns, listener.port, finding.id.clone()))
}
