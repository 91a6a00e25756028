//! What observer tells of itself: what it lost, what it is worth, what it takes. Pure, but for what it takes.

use std::collections::BTreeMap;

use observer::model::{NoRoom, Report, Via};

/// What reports told of observer itself, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// Reports so far.
    pub reports: u64,
    /// When the last one ended, seconds since 1970; `None` before the first.
    pub reported_at: Option<f64>,
    /// Length of its window, seconds.
    pub window: f64,
    /// Events that were lost.
    pub events_lost: u64,
    /// Counts that had no room in a kernel map, by what had none.
    pub map_full: BTreeMap<&'static str, u64>,
    /// Runs of programs that the kernel skipped.
    pub missed_runs: u64,
    /// Processes that did not answer, in the last report.
    pub unanswered: u64,
    /// Ages of the oldest looks that the last report is made of, seconds, by what was looked at.
    pub looks: BTreeMap<&'static str, f64>,
    /// Growth of the kernel's counters, as the kernel and as observer counted it, where both did.
    pub audit: BTreeMap<String, (u64, u64)>,
    /// What each signal comes from.
    pub signals: BTreeMap<&'static str, Signal>,
}

/// What a signal comes from, and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Kind of hook.
    pub via: &'static str,
    /// Whether its numbers were exact in the last report.
    pub exact: bool,
    /// Events that were inferred.
    pub inferred: u64,
    /// Events that were seen and not counted.
    pub uncounted: u64,
}

impl Own {
    /// Adds what a report tells, which was made then.
    pub fn add(&mut self, report: &Report, at: f64) {
        let audit = &report.audit;
        self.reports += 1;
        self.reported_at = Some(at);
        self.window = report.window.seconds;
        self.events_lost = self.events_lost.saturating_add(audit.events_lost);
        self.missed_runs = self.missed_runs.saturating_add(audit.missed_runs);
        self.unanswered = audit.unanswered;
        let looks = [("namespace", audit.oldest_look), ("syn_queue", audit.oldest_syn_look)];
        self.looks = looks.into_iter().filter_map(|(of, age)| Some((of, seconds(age?)))).collect();
        for (what, count) in no_room(&audit.no_room) {
            let sum = self.map_full.entry(what).or_default();
            *sum = sum.saturating_add(count);
        }
        for (name, counter) in audit.netns.iter().flat_map(|netns| &netns.counters) {
            if let (Some(kernel), Some(observed)) = (counter.kernel, counter.observed) {
                let sums = self.audit.entry(name.clone()).or_default();
                sums.0 = sums.0.saturating_add(kernel);
                sums.1 = sums.1.saturating_add(observed);
            }
        }
        for (name, provider, _) in report.providers.signals() {
            let signal = self.signals.entry(name).or_insert(Signal {
                via: "",
                exact: false,
                inferred: 0,
                uncounted: 0,
            });
            (signal.via, signal.exact) = (via(provider.via), provider.exact);
            signal.inferred = signal.inferred.saturating_add(provider.inferred.unwrap_or(0));
            signal.uncounted = signal.uncounted.saturating_add(provider.uncounted.unwrap_or(0));
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^52 ns are 52 days, and a microsecond matters to nobody"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn via(via: Via) -> &'static str {
    match via {
        Via::Fentry => "fentry",
        Via::Kprobe => "kprobe",
        Via::Tracepoint => "tracepoint",
        Via::None => "none",
    }
}

fn no_room(counts: &NoRoom) -> [(&'static str, u64); 11] {
    [
        ("listeners", counts.listeners),
        ("tasks", counts.tasks),
        ("workers", counts.workers),
        ("wakeups", counts.wakeups),
        ("errors", counts.errors),
        ("waits", counts.waits),
        ("calls", counts.calls),
        ("backlogs", counts.backlogs),
        ("processes", counts.processes),
        ("closed", counts.closed),
        ("lives", counts.lives),
    ]
}
