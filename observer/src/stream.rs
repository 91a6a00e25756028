//! One window as a stream of updates, which faces show and agents read.

use std::{collections::VecDeque, os::fd::OwnedFd, time::Duration};

use anyhow::Result;
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use crate::{
    async_fd::readable,
    config::{Config, Reports},
    host::process,
    model::{Event, Providers, Report},
    session::Session,
};

/// How often woken processes are looked at, which may not live until the report.
const LOOK: Duration = Duration::from_millis(100);

/// How often events are read, where any were asked for.
const READ: Duration = Duration::from_millis(20);

/// What a window tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Something happened, of a kind that was asked for.
    Event(Event),
    /// Counts of an interval, or since the window opened: see [`Reports`].
    Report(Box<Report>),
    /// The window is closed: nothing comes after this.
    Ended(Ended),
}

/// The end of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Everything since the window opened.
    pub total: Box<Report>,
    /// Why it ended.
    pub because: Because,
}

/// Why a window ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// [`Observer::close`] was called.
    Closed,
    /// All processes of [`crate::config::Filters::pid`] ended.
    ProcessesEnded,
}

/// An open window: kernel programs are attached and count, until it is dropped.
///
/// ```no_run
/// use std::time::Duration;
///
/// use observer::{Config, Observer, Reports, Update};
///
/// # async fn example() -> anyhow::Result<()> {
/// let config = Config { reports: Reports::Intervals(Duration::from_secs(1)), ..Config::default() };
/// let mut observer = Observer::open(&config)?;
/// while let Some(update) = observer.next().await? {
///     if let Update::Report(report) = update {
///         println!("{} listeners", report.listeners.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Observer {
    session: Session,
    processes: Vec<AsyncFd<OwnedFd>>,
    looks: Interval,
    reads: Option<Interval>,
    reports: Option<Interval>,
    /// Whether reports are of everything so far.
    so_far: bool,
    /// Events that were not handed out yet.
    ready: VecDeque<Event>,
    lost_told: u64,
    phase: Phase,
    /// The last update, once it is known.
    end: Option<Ended>,
}

#[derive(Clone, Copy)]
enum Phase {
    Open,
    Closing(Because),
    Over,
}

impl Observer {
    /// Opens a window: from here on, everything is counted. It must be called within a tokio runtime, of which
    /// I/O and time are enabled.
    ///
    /// # Errors
    ///
    /// A [`crate::error::Failure`] when a named process is not there or this host cannot observe: for want of
    /// a capability, or of something in its kernel. What to do about it is in its sentence.
    pub fn open(config: &Config) -> Result<Self> {
        let watch = |pid: &u32| Ok(readable(process::open(*pid)?)?);
        let processes = config.filters.pid.iter().map(watch).collect::<Result<_>>()?;
        let session = Session::open(config)?;
        let ticks = |period| {
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticks
        };
        let (period, so_far) = match config.reports {
            Reports::AtTheEnd => (None, false),
            Reports::Intervals(period) => (Some(period), false),
            Reports::SoFar(period) => (Some(period), true),
        };
        Ok(Self {
            session,
            processes,
            looks: ticks(LOOK),
            reads: (!config.events.is_empty()).then(|| ticks(READ)),
            reports: period.map(ticks),
            so_far,
            ready: VecDeque::new(),
            lost_told: 0,
            phase: Phase::Open,
            end: None,
        })
    }

    /// The next update, as soon as there is one; `None` after [`Update::Ended`]. Reports come before events.
    /// Nothing is lost where the future is dropped.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub async fn next(&mut self) -> Result<Option<Update>> {
        loop {
            match self.phase {
                Phase::Open => {}
                Phase::Closing(because) => {
                    self.finish(because)?;
                    continue;
                }
                Phase::Over => {
                    let event = self.ready.pop_front().map(Update::Event);
                    return Ok(event.or_else(|| self.end.take().map(Update::Ended)));
                }
            }
            tokio::select! {
                biased;
                () = all_ended(&self.processes) => {
                    self.phase = Phase::Closing(Because::ProcessesEnded);
                }
                () = tick(&mut self.reports) => {
                    let report =
                        if self.so_far { self.session.so_far()? } else { self.session.interval()? };
                    return Ok(Some(Update::Report(Box::new(report))));
                }
                _ = self.looks.tick() => self.session.look_at_woken(),
                () = tick(&mut self.reads) => {
                    self.ready.extend(self.session.read_events());
                    self.tell_lost(self.session.events_lost());
                }
                () = std::future::ready(()), if !self.ready.is_empty() => {
                    return Ok(self.ready.pop_front().map(Update::Event));
                }
            }
        }
    }

    /// Ends the window: [`next`](Self::next) gives what is left, and the total.
    pub fn close(&mut self) {
        if let Phase::Open = self.phase {
            self.phase = Phase::Closing(Because::Closed);
        }
    }

    /// What each signal comes from.
    #[must_use]
    pub fn providers(&self) -> Providers {
        self.session.providers()
    }

    /// How many listeners are chosen now.
    #[must_use]
    pub fn chosen(&self) -> usize {
        self.session.chosen()
    }

    /// Inode number of the PID namespace that this is observed from, where it is not the initial one:
    /// tasks outside of it are counted, and have no number here.
    #[must_use]
    pub fn pid_namespace(&self) -> Option<u32> {
        self.session.pid_namespace()
    }

    /// The kernel programs and maps, for the debug lines of [`Config::debug_lines`].
    pub fn ebpf(&mut self) -> &mut aya::Ebpf {
        self.session.ebpf()
    }

    /// Closes the window, and reads the rest.
    fn finish(&mut self, because: Because) -> Result<()> {
        self.phase = Phase::Over;
        let total = self.session.finish()?;
        self.ready.extend(self.session.read_last_events());
        self.tell_lost(total.audit.events_lost);
        self.end = Some(Ended { total: Box::new(total), because });
        Ok(())
    }

    /// Says how many events are missing, where that has grown.
    fn tell_lost(&mut self, lost: u64) {
        if lost > self.lost_told {
            self.ready.push_back(Session::lost(lost - self.lost_told));
            self.lost_told = lost;
        }
    }
}

/// Waits for the next tick, or for ever where there are none.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

/// Waits until every process has ended; for ever where none was named.
async fn all_ended(processes: &[AsyncFd<OwnedFd>]) {
    if processes.is_empty() {
        return std::future::pending().await;
    }
    for process in processes {
        // The readiness stays: an exited process's descriptor is readable for good.
        let _ready = process.readable().await;
    }
}
