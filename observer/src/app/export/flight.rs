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
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use observer::{
    Config,
    model::{Report, Severity},
};

use self::{capture::Capture, held::Held, trigger::Trigger};
use super::state::{Flight, State};
use crate::app::run::say;

pub use self::directory::Directory;

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
    capture: Option<(Instant, Capture)>,
    config: Config,
    state: Arc<Mutex<State>>,
    /// Ports of the listeners that were critical in the last report.
    critical: Vec<u16>,
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
            config,
            state,
            critical: Vec::new(),
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
        let critical: Vec<_> = report.listeners.iter().filter_map(critical).collect();
        self.critical = critical.iter().map(|(port, _)| *port).collect();
        if let Some((_, why)) = critical.into_iter().next()
            && self.trigger.may(now)
        {
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
        self.trigger.fired(now);
        let path = match self.directory.next() {
            Ok(path) => path,
            Err(error) => return self.failed(&format!("{error:#}")),
        };
        say(&format!("observer: {why}: the last minutes are written to {}", path.display()));
        let limit = self.directory.of_one();
        match Capture::begin(path, self.held.lines(), limit, self.state.clone()) {
            Ok(capture) => {
                if !self.critical.is_empty() {
                    events::follow(&self.config, &self.critical, AFTER, capture.sender());
                }
                self.capture = Some((now + AFTER, capture));
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

/// The port of a listener that is critical, and what is.
fn critical(listener: &observer::model::Listener) -> Option<(u16, String)> {
    let is_critical = |finding: &&observer::model::Finding| finding.severity == Severity::Critical;
    let finding = listener.findings.iter().find(is_critical)?;
    Some((listener.port, format!("{} on port {}", finding.id, listener.port)))
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
