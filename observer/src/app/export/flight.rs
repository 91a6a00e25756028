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

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Result;
use observer::{
    Config,
    model::{Listener, Report, Severity},
};

use self::{
    capture::Capture,
    directory::Directory,
    held::Held,
    trigger::{Critical, Trigger},
};
use super::state::{Flight, State, lock};
use crate::app::run::say;

/// Most bytes of reports that are held, as they are when compressed.
const MOST_HELD: usize = 16 << 20;

/// How long a recording goes on after it began.
const AFTER: Duration = Duration::from_secs(30);

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

/// The recorder.
pub struct Recorder {
    directory: Directory,
    held: Held,
    trigger: Trigger,
    /// The recording that goes on, and until when.
    capture: Option<(Instant, Capture)>,
    /// What writes, to be waited for in the end.
    threads: Vec<JoinHandle<()>>,
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
        Ok(Self {
            directory,
            held: Held::new(MOST_HELD, keep),
            trigger: Trigger::new(cooldown),
            capture: None,
            threads: Vec::new(),
            config,
            state,
            critical: BTreeSet::new(),
        })
    }

    /// Takes the report of an interval, and begins a recording where it is critical.
    pub fn report(&mut self, report: &Report) {
        let now = Instant::now();
        let line = self.held.add(report, now);
        lock(&self.state).flight.get_or_insert_default().held = self.held.bytes();
        if let Some((until, capture)) = &mut self.capture {
            capture.line(line);
            if now >= *until {
                self.end();
            }
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
        if self.trigger.may(now) {
            self.begin("SIGUSR1", now);
        } else {
            let wait = self.trigger.wait(now).as_secs();
            say(&format!(
                "observer: no recording is written for this SIGUSR1: the one before is not older than --cooldown, \
                 which is over in {wait} s"
            ));
        }
    }

    fn begin(&mut self, why: &str, now: Instant) {
        self.end();
        self.trigger.fired(&self.critical, now);
        let path = match self.directory.next() {
            Ok(path) => path,
            Err(error) => return self.failed(&format!("{error:#}")),
        };
        say(&format!("observer: {why}: the last minutes are written to {}", path.display()));
        let limit = self.directory.of_one();
        match Capture::begin(path, self.held.lines(), limit, self.state.clone()) {
            Ok((capture, thread)) => {
                let ports: BTreeSet<u16> = self.critical.iter().map(|(_, port, _)| *port).collect();
                if !ports.is_empty() {
                    events::follow(&self.config, &ports, AFTER, capture.sender());
                }
                self.capture = Some((now + AFTER, capture));
                self.threads.retain(|thread| !thread.is_finished());
                self.threads.push(thread);
            }
            Err(error) => self.failed(&format!("cannot start a thread: {error}")),
        }
    }

    fn failed(&self, why: &str) {
        say(&format!("observer: no recording is written: {why}"));
        lock(&self.state).flight.get_or_insert_default().failed += 1;
    }

    /// Ends a recording that goes on.
    pub fn end(&mut self) {
        self.capture = None;
    }
}

impl Drop for Recorder {
    /// Waits until what is being written is whole. Nobody sends events any more: the event loop is gone.
    fn drop(&mut self) {
        self.end();
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

/// What is critical of a listener.
fn critical(listener: &Listener) -> impl Iterator<Item = Critical> {
    let findings = listener.findings.iter();
    let critical = findings.filter(|finding| finding.severity == Severity::Critical);
    critical.map(|finding| (listener.netns, listener.port, finding.id.clone()))
}
