//! What was: the reports of the last minutes, compressed, and a few numbers of each listener in each of them.

use std::collections::VecDeque;

use observer::model::{Listener, Report};

/// Room for compressed reports, in bytes. The oldest go first.
const ROOM: usize = 32 << 20;

/// Most reports that are kept: a quarter of an hour at one a second.
const REPORTS: usize = 900;

/// Most samples that are kept of one listener: as many as the widest sparkline has columns.
const SAMPLES: usize = 120;

/// How hard reports are compressed: the first level, which is several times faster than JSON is written.
const LEVEL: i32 = 1;

/// One interval: its number, and its report.
#[derive(Debug)]
struct Kept {
    tick: u32,
    /// JSON, compressed with zstd.
    report: Vec<u8>,
}

/// The reports of the last minutes.
#[derive(Debug, Default)]
pub struct Past {
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl Past {
    /// Keeps the report of an interval.
    pub fn keep(&mut self, tick: u32, report: &Report) {
        // What cannot be written as JSON, such as a length that is no number, cannot be stepped back to.
        let Ok(json) = serde_json::to_vec(report) else { return };
        let Ok(report) = zstd::bulk::compress(&json, LEVEL) else { return };
        self.bytes += report.len();
        self.kept.push_back(Kept { tick, report });
        while self.kept.len() > REPORTS || self.bytes > ROOM && self.kept.len() > 1 {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes -= oldest.report.len();
        }
    }

    /// The report of an interval, if it is still kept.
    pub fn report(&self, tick: u32) -> Option<Report> {
        let at = self.kept.binary_search_by_key(&tick, |kept| kept.tick).ok()?;
        let json = zstd::stream::decode_all(self.kept[at].report.as_slice()).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// The oldest interval that is kept.
    pub fn oldest(&self) -> Option<u32> {
        self.kept.front().map(|kept| kept.tick)
    }

    /// How many intervals are kept.
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// How many bytes the compressed reports take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A listener's numbers of one interval, as a sparkline has them. Unknown numbers are 0 here and nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    tick: u32,
    /// Connections accepted per second.
    pub accepts: f32,
    /// Wakeups per second.
    pub wakeups: f32,
    /// Drops per second.
    pub drops: f32,
    /// Most connections in the accept queue.
    pub depth: f32,
    /// 99th percentile of accept waits, in nanoseconds.
    pub wait: f32,
}

impl Sample {
    /// Those of a listener in an interval of so many seconds.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the height of a bar is one of eight"
    )]
    fn of(listener: &Listener, tick: u32, seconds: f64) -> Self {
        let rate = |count: Option<u64>| match count {
            Some(count) if seconds > 0.0 => (count as f64 / seconds) as f32,
            _ => 0.0,
        };
        let queue = &listener.accept_queue;
        Self {
            tick,
            accepts: rate(listener.accepted),
            wakeups: rate(listener.wakeups.map(|wakeups| wakeups.total)),
            drops: rate(listener.drops.total),
            depth: queue.max.max(queue.now).unwrap_or(0) as f32,
            wait: listener.accept_wait.p99.unwrap_or(0) as f32,
        }
    }

    /// Wakeups for each accepted connection; 0 where nothing was accepted.
    pub fn herd(&self) -> f32 {
        if self.accepts > 0.0 { self.wakeups / self.accepts } else { 0.0 }
    }

    /// Both together, as a reuseport group's row has them.
    pub fn and(self, other: Self) -> Self {
        Self {
            tick: self.tick.max(other.tick),
            accepts: self.accepts + other.accepts,
            wakeups: self.wakeups + other.wakeups,
            drops: self.drops + other.drops,
            depth: self.depth.max(other.depth),
            wait: self.wait.max(other.wait),
        }
    }

    /// Whether there was nothing.
    fn is_nothing(&self) -> bool {
        *self == Self { tick: self.tick, ..Self::default() }
    }
}

/// A listener's samples. Intervals in which there was nothing are not kept.
#[derive(Clone, Debug, Default)]
pub struct Samples(VecDeque<Sample>);

impl Samples {
    /// Takes those of an interval, and forgets those that are too old to be shown.
    pub fn take(&mut self, listener: &Listener, tick: u32, seconds: f64) {
        let sample = Sample::of(listener, tick, seconds);
        if !sample.is_nothing() {
            self.0.push_back(sample);
        }
        while self.0.front().is_some_and(|one| one.tick as usize + SAMPLES <= tick as usize) {
            self.0.pop_front();
        }
    }

    /// Those of the last `count` intervals up to `tick`, the oldest first. Before the first interval there was
    /// nothing.
    pub fn last(&self, tick: u32, count: usize) -> Vec<Sample> {
        let count = count.min(SAMPLES);
        let mut last = vec![Sample::default(); count];
        for sample in self.0.iter().filter(|one| one.tick <= tick) {
            let ago = (tick - sample.tick) as usize;
            if let Some(at) = count.checked_sub(1 + ago) {
                last[at] = *sample;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures::{herd, many};

    #[test]
    fn what_is_kept_comes_back_and_has_a_bound() {
        let mut past = Past::default();
        let report = herd(8);
        for tick in 0..1_000 {
            past.keep(tick, &report);
        }
        assert_eq!((past.oldest(), past.report(99)), (Some(100), None));
        assert_eq!(past.report(100).as_ref(), Some(&report));
        assert!(past.bytes() < ROOM);
    }

    #[test]
    fn a_thousand_busy_listeners_are_kept_for_minutes() {
        let mut past = Past::default();
        let mut report = many(1_000);
        for (number, listener) in report.listeners.iter_mut().enumerate() {
            listener.accepted = Some(number as u64 * 7_919 % 1_000);
        }
        past.keep(0, &report);
        assert!(past.bytes() * 300 < ROOM, "{} bytes for one report", past.bytes());
    }

    #[test]
    fn samples_stand_where_they_belong() {
        let mut samples = Samples::default();
        let busy = herd(8).listeners.remove(0);
        let mut idle = busy.clone();
        (idle.accepted, idle.wakeups, idle.accept_queue) = (Some(0), None, Default::default());
        for tick in 0..200 {
            samples.take(if tick % 2 == 0 { &busy } else { &idle }, tick, 2.0);
        }
        let accepts =
            |tick| samples.last(tick, 4).iter().map(|one| one.accepts).collect::<Vec<_>>();
        assert_eq!(accepts(199), [100.0, 0.0, 100.0, 0.0]);
        assert_eq!(accepts(198), [0.0, 100.0, 0.0, 100.0]);
        assert_eq!(samples.last(199, 1_000).len(), SAMPLES);
        assert_eq!(samples.0.len(), SAMPLES / 2);
        assert!((samples.last(198, 1)[0].herd() - 8.0).abs() < 0.01);
    }
}
