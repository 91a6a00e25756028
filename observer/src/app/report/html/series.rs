//! What happened at chosen listeners over time, in a bounded number of points.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use anyhow::Result;

use crate::app::report::{
    load::{Part, Recording, span},
    source::Source,
};
use observer::{
    Update,
    model::{Listener, Report},
    report::waits::Histogram,
};

/// Listeners with plots of their own.
pub const PLOTTED: usize = 12;

/// Points of a plot at most: more are no more to be seen.
pub const POINTS: usize = 120;

/// Listeners that one set of plots is about, by network namespace and inode number.
pub type Members = Vec<(u64, u64)>;

/// Counts of one point of time. Counts of several intervals are added up, depths and longest waits are the greatest.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Length of the intervals, in seconds.
    pub seconds: f64,
    pub accepted: u64,
    pub wakeups: u64,
    pub depth: u64,
    pub limit: Option<u64>,
    pub waits: Histogram,
    pub longest: Option<u64>,
    pub drops: u64,
    /// Whether a listener was there.
    is_there: bool,
    /// Whether something was not known.
    is_unknown: bool,
}

impl Point {
    /// Whether there is anything to draw.
    pub fn is_known(&self) -> bool {
        self.is_there && !self.is_unknown && self.seconds > 0.0
    }
}

/// Points of all chosen listeners, over the same time.
#[derive(Debug)]
pub struct Series {
    pub start: SystemTime,
    pub end: SystemTime,
    /// Intervals in one point, where there are several.
    pub merged: u64,
    /// For each set of members.
    pub points: Vec<Vec<Point>>,
}

/// A member as the last report left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotYet,
    Open,
    Closed,
}

/// Reads the recording once more, for its course over time. `None` where it has no intervals with a time.
///
/// # Errors
///
/// See [`Source::open`].
pub fn series(
    source: &Source,
    part: Part,
    recording: &Recording,
    sets: &[Members],
) -> Result<Option<Series>> {
    let chosen = recording.chosen;
    let is_time = |(start, end): &(SystemTime, SystemTime)| {
        end.duration_since(*start).is_ok_and(|length| length > Duration::ZERO)
    };
    let Some((start, end)) = recording.covered.filter(is_time) else { return Ok(None) };
    let begin = recording.start.unwrap_or(start);
    let count = usize::try_from(chosen).unwrap_or(usize::MAX).clamp(1, POINTS);
    let mut all = Collecting {
        of: HashMap::new(),
        states: sets.iter().map(|members| vec![State::NotYet; members.len()]).collect(),
        points: vec![vec![Point::default(); count]; sets.len()],
    };
    for (set, members) in sets.iter().enumerate() {
        for (member, key) in members.iter().enumerate() {
            all.of.insert(*key, (set, member));
        }
    }
    let length = end.duration_since(start).unwrap_or_default().as_secs_f64();
    let mut reader = source.open()?;
    while let Some(update) = reader.next()? {
        let Update::Report(report) = update else { continue };
        let Some((from, to)) = span(&report.window).filter(|_| part.has(&report.window, begin))
        else {
            continue;
        };
        let middle = from + to.duration_since(from).unwrap_or_default() / 2;
        let since = middle.duration_since(start).unwrap_or_default().as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place among some points, which is bounded below"
        )]
        let at = (since / length * count as f64) as usize;
        all.add(&report, at.min(count - 1));
    }
    let merged = chosen.div_ceil(u64::try_from(count).unwrap_or(1)).max(1);
    Ok(Some(Series { start, end, merged, points: all.points }))
}

struct Collecting {
    of: HashMap<(u64, u64), (usize, usize)>,
    states: Vec<Vec<State>>,
    points: Vec<Vec<Point>>,
}

impl Collecting {
    fn add(&mut self, report: &Report, at: usize) {
        for points in &mut self.points {
            points[at].seconds += report.window.seconds;
        }
        for listener in &report.listeners {
            let Some((set, member)) = self.of.get(&(listener.netns, listener.inode)) else {
                continue;
            };
            self.states[*set][*member] = if listener.closed { State::Closed } else { State::Open };
            add(&mut self.points[*set][at], listener);
        }
        // An interval leaves out listeners on which nothing happened.
        for (states, points) in self.states.iter().zip(&mut self.points) {
            points[at].is_there |= states.contains(&State::Open);
        }
    }
}

fn add(point: &mut Point, listener: &Listener) {
    point.is_there = true;
    let (Some(accepted), Some(wakeups)) = (listener.accepted, listener.wakeups) else {
        point.is_unknown = true;
        return;
    };
    point.accepted = point.accepted.saturating_add(accepted);
    point.wakeups = point.wakeups.saturating_add(wakeups.total);
    point.drops = point.drops.saturating_add(listener.drops.total.unwrap_or(0));
    let queue = &listener.accept_queue;
    point.depth = point.depth.max(queue.max.max(queue.now).unwrap_or(0));
    point.limit = queue.limit.or(point.limit);
    point.waits.add(&listener.accept_wait.histogram);
    point.longest = point.longest.max(listener.accept_wait.max);
}
