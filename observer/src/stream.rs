//! One window as a stream of updates, which faces show and agents read.

use std::{collections::VecDeque, os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout_at},
};

use crate::{
    async_fd::readable,
    bpf::debug_lines,
    config::{Config, Reports},
    error::Failure,
    host::process,
    model::{Event, Providers, Report},
    session::{
        Session,
        thread::{Answer, Ask, SessionThread},
    },
};

/// How often events are read, where any were asked for.
const READ: Duration = Duration::from_millis(20);

/// Number of updates that wait to be handed out from which on no more events are read.
const MOST_READY: usize = 16_384;

/// How long the last report may take: the slowest host and the most listeners take a fraction of it.
const PATIENCE: Duration = Duration::from_secs(60);

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
    session: SessionThread,
    processes: Vec<AsyncFd<OwnedFd>>,
    reads: Option<Interval>,
    reports: Option<Interval>,
    /// What a report is asked for with.
    report: Ask,
    /// Updates that were not handed out yet.
    ready: VecDeque<Update>,
    phase: Phase,
    providers: Providers,
    chosen: usize,
    pid_namespace: Option<u32>,
}

#[derive(Clone, Copy)]
enum Phase {
    Open,
    Closing(Because),
    /// The last report is to come until then.
    Finishing(Because, Instant),
    Over,
}

impl Observer {
    /// Opens a window: from here on, everything is counted. It must be called within a tokio runtime, of which
    /// I/O and time are enabled.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when a named process is not there or this host cannot observe: for want of a capability, or of
    /// something in its kernel. What to do about it is in its sentence.
    pub fn open(config: &Config) -> Result<Self> {
        let watch = |pid: &u32| Ok(readable(process::open(*pid)?)?);
        let processes = config.filters.pid.iter().map(watch).collect::<Result<_>>()?;
        let mut session = Session::open(config)?;
        if config.debug_lines {
            debug_lines::log(session.ebpf())?;
        }
        let (providers, chosen) = (session.providers(), session.chosen());
        let pid_namespace = session.pid_namespace();
        let (period, report) = match config.reports {
            Reports::AtTheEnd => (None, Ask::Interval),
            Reports::Intervals(period) => (Some(period), Ask::Interval),
            Reports::SoFar(period) => (Some(period), Ask::SoFar),
        };
        Ok(Self {
            session: SessionThread::start(session)?,
            processes,
            reads: (!config.events.is_empty()).then(|| ticks(READ)),
            reports: period.map(ticks),
            report,
            ready: VecDeque::new(),
            phase: Phase::Open,
            providers,
            chosen,
            pid_namespace,
        })
    }

    /// The next update, as soon as there is one; `None` after [`Update::Ended`]. Nothing is lost where the future is
    /// dropped.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read, and when the last report is not ready within a minute.
    pub async fn next(&mut self) -> Result<Option<Update>> {
        loop {
            match self.phase {
                Phase::Open => {}
                Phase::Closing(because) => {
                    self.session.ask(Ask::Finish);
                    self.phase = Phase::Finishing(because, Instant::now() + PATIENCE);
                    continue;
                }
                Phase::Finishing(because, until) => {
                    let answer = timeout_at(until, self.session.answer()).await;
                    self.take(answer.map_err(|_| never_ready())?, because)?;
                    continue;
                }
                Phase::Over => return Ok(self.ready.pop_front()),
            }
            tokio::select! {
                biased;
                () = all_ended(&self.processes) => {
                    self.phase = Phase::Closing(Because::ProcessesEnded);
                }
                () = tick(&mut self.reports) => self.session.ask(self.report),
                answer = self.session.answer() => self.take(answer, Because::Closed)?,
                // Also while some wait, so that the kernel's buffers do not fill up meanwhile; but what waits has a
                // bound.
                () = tick(&mut self.reads), if self.ready.len() < MOST_READY => {
                    self.session.ask(Ask::Events);
                }
                () = std::future::ready(()), if !self.ready.is_empty() => {
                    return Ok(self.ready.pop_front());
                }
            }
        }
    }

    /// Takes what the session answered; the last of it is the end.
    fn take(&mut self, answer: Option<Answer>, because: Because) -> Result<()> {
        match answer
            .context("the thread that looks at the kernel ended early; please report this")?
        {
            Answer::Events(events) => {
                self.ready.extend(events.into_iter().map(Update::Event));
            }
            // Before the events that wait: a flood of them must not keep it.
            Answer::Report(report) => self.ready.push_front(Update::Report(Box::new(report?))),
            Answer::Finished(total, events) => {
                let total = total?;
                self.ready.extend(events.into_iter().map(Update::Event));
                let ended = Ended { total: Box::new(total), because };
                self.ready.push_back(Update::Ended(ended));
                self.phase = Phase::Over;
            }
        }
        Ok(())
    }

    /// Makes reports with another period from now on, of intervals or of everything so far as before; none where
    /// there were none. The interval that is under way ends one such period from now.
    pub fn set_interval(&mut self, period: Duration) {
        if self.reports.is_some() && !period.is_zero() {
            self.reports = Some(ticks(period));
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
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// How many listeners were chosen when the window opened.
    #[must_use]
    pub fn chosen(&self) -> usize {
        self.chosen
    }

    /// Inode number of the PID namespace that this is observed from, where it is not the initial one:
    /// tasks outside of it are counted, and have no number here.
    #[must_use]
    pub fn pid_namespace(&self) -> Option<u32> {
        self.pid_namespace
    }

    /// Whether an update is there to be handed out at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

fn never_ready() -> Failure {
    Failure::failed(format!(
        "the last report is not ready after {} s, because looking at a process of this host does not end (is it on a \
         file system that does not answer?); choose other processes with --pid or --port",
        PATIENCE.as_secs()
    ))
}

/// Ticks with this period, the first of them one period from now.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
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
