//! The past, as lines of a recording, each compressed: the oldest go where there are too many bytes, or when they are too
//! old.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use observer::model::{Listener, Report};

/// Level of compression: the fastest.
const LEVEL: i32 = 1;

/// Longest line that is held, in bytes.
pub const LONGEST: usize = 64 << 20;

/// A line, compressed.
pub type Line = Arc<[u8]>;

/// The past.
pub struct Held {
    lines: VecDeque<(Instant, Line)>,
    bytes: usize,
    most: usize,
    keep: Duration,
}

impl Held {
    /// Of so many bytes and so long at most.
    pub fn new(most: usize, keep: Duration) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, most, keep }
    }

    /// Adds a report, without the listeners on which nothing happened and which have no finding. Its line is returned, or
    /// an empty one where it cannot be held.
    pub fn add(&mut self, report: &Report, now: Instant) -> Line {
        let line: Line = compressed(&without_idle(report)).unwrap_or_default().into();
        self.push(line.clone(), now);
        line
    }

    fn push(&mut self, line: Line, now: Instant) {
        self.bytes += line.len();
        self.lines.push_back((now, line));
        let keep = self.keep;
        while let Some((at, oldest)) = self.lines.front()
            && (self.bytes > self.most || now.saturating_duration_since(*at) > keep)
        {
            self.bytes -= oldest.len();
            self.lines.pop_front();
        }
    }

    /// All lines, the oldest first.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// Bytes of all lines.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn compressed(report: &Report) -> Option<Vec<u8>> {
    let line = serde_json::to_vec(report).ok()?;
    zstd::bulk::compress(&line, LEVEL).ok()
}

/// The report as an interval has it that leaves out idle listeners.
fn without_idle(report: &Report) -> Report {
    let (shown, idle): (Vec<&Listener>, Vec<&Listener>) =
        report.listeners.iter().partition(|listener| !is_idle(listener));
    let idle = u64::try_from(idle.len()).unwrap_or(u64::MAX);
    Report {
        listeners: shown.into_iter().cloned().collect(),
        idle_listeners: report.idle_listeners.saturating_add(idle),
        tool: report.tool.clone(),
        host: report.host.clone(),
        window: report.window.clone(),
        providers: report.providers.clone(),
        audit: report.audit.clone(),
        ..*report
    }
}

fn is_idle(listener: &Listener) -> bool {
    let none = |count: Option<u64>| count == Some(0);
    listener.findings.is_empty()
        && !listener.closed
        && !listener.incomplete
        && none(listener.queued)
        && none(listener.accepted)
        && none(listener.accept_queue.now)
        && listener.syn_queue.now.is_none_or(|now| now == 0)
        && none(listener.drops.total)
        && listener.drops.at_most.is_none_or(|most| most == 0)
        && listener.wakeups.is_some_and(|wakeups| wakeups.total == 0)
        && listener.accept_errors.is_empty()
}

#[cfg(test)]
mod tests;
