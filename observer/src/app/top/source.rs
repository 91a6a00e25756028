//! Where updates come from: this host, or a recording.

use std::{pin::Pin, time::Duration};

use anyhow::Result;
use tokio::time::{Sleep, sleep};

use super::{
    args::TopArgs,
    replay::{self, Replay},
};
use observer::{Config, Observer, Reports, Update};

/// A source of updates.
pub enum Source {
    /// An open window.
    Live(Box<Observer>),
    /// A recording, the update that is shown next, and when.
    Replay(Box<Recorded>),
}

/// A recording that plays.
pub struct Recorded {
    replay: Replay,
    speed: f64,
    next: Option<(Update, Pin<Box<Sleep>>)>,
}

impl Source {
    /// Opens what the arguments ask for.
    ///
    /// # Errors
    ///
    /// When this host cannot be observed, or the recording cannot be read.
    pub fn open(args: &TopArgs) -> Result<Self> {
        if let Some(path) = &args.replay {
            let replay = Replay::open(path)?;
            let recorded = Recorded { replay, speed: args.speed, next: None };
            return Ok(Self::Replay(Box::new(recorded)));
        }
        let reports = Reports::Intervals(args.interval);
        let config = Config { reports, cost: args.cost, ..args.observe.config() };
        Ok(Self::Live(Box::new(Observer::open(&config)?)))
    }

    /// The next update; `None` after the end. Nothing is lost where the future is dropped. A recording that is to stand
    /// still (`holds`) gives none.
    ///
    /// # Errors
    ///
    /// See [`Observer::next`] and [`Replay::next`].
    pub async fn next(&mut self, holds: bool) -> Result<Option<Update>> {
        match self {
            Self::Live(observer) => observer.next().await,
            Self::Replay(_) if holds => std::future::pending().await,
            Self::Replay(recorded) => recorded.next().await,
        }
    }

    /// The next update of a recording, at once.
    ///
    /// # Errors
    ///
    /// See [`Replay::next`].
    pub fn next_now(&mut self) -> Result<Option<Update>> {
        match self {
            Self::Live(_) => Ok(None),
            Self::Replay(recorded) => match recorded.next.take() {
                Some((update, _)) => Ok(Some(update)),
                None => recorded.replay.next(),
            },
        }
    }

    /// Makes intervals of this length; a recording plays as much faster as they are shorter than a second.
    pub fn interval(&mut self, interval: Duration) {
        match self {
            Self::Live(observer) => observer.set_interval(interval),
            Self::Replay(recorded) => {
                recorded.speed = 1.0 / interval.as_secs_f64().max(0.001);
                if let Some((update, at)) = &mut recorded.next {
                    *at = Box::pin(sleep(replay::wait(update, recorded.speed)));
                }
            }
        }
    }

    /// The window, where there is one.
    pub fn observer(&mut self) -> Option<&mut Observer> {
        match self {
            Self::Live(observer) => Some(observer),
            Self::Replay(_) => None,
        }
    }
}

impl Recorded {
    async fn next(&mut self) -> Result<Option<Update>> {
        if self.next.is_none() {
            let Some(update) = self.replay.next()? else { return Ok(None) };
            let at = sleep(replay::wait(&update, self.speed));
            self.next = Some((update, Box::pin(at)));
        }
        if let Some((_, at)) = &mut self.next {
            at.as_mut().await;
        }
        Ok(self.next.take().map(|(update, _)| update))
    }
}
