//! Sum of reports that follow each other. Pure.
//!
//! Counts are added, maxima are the greatest, gauges, limits and holders are those of the last report that has the
//! listener. Percentiles are made of the sum of the histograms. Findings are those of the sum, by the same rules.
//!
//! The sum of all intervals is the total, with two exceptions. What happened after the last interval is in the
//! total only. And a wakeup that was open at the end of an interval may be counted in one more interval or in none,
//! which the sum takes back as far as it can be told: it is off by one for each worker at most.

mod audit;
mod fairness;
mod listener;
mod number;
mod size;
mod workers;

use std::collections::HashMap;

use self::{audit::AuditSum, listener::ListenerSum};
use crate::{
    findings,
    model::{Listener, Provider, Providers, Report, WindowKind},
};

/// Closed listeners that are kept. What is beyond them is counted in `audit.no_room.closed`.
const CLOSED_MAX: usize = 20_000;

/// Reports that are added up, in the memory that one of them takes: what `observer record` writes has each listener
/// until it closes. A file that something else wrote may have any number of them, so that whoever reads one keeps an eye
/// on [`bytes`](Sum::bytes).
#[derive(Default)]
pub struct Sum {
    /// First report, without its listeners.
    first: Option<Report>,
    providers: Option<Providers>,
    seconds: f64,
    reports: u64,
    /// Listeners by network namespace and inode number. Several share a number one after the other.
    listeners: HashMap<(u64, u64), Vec<ListenerSum>>,
    closed: usize,
    /// Memory that the listeners take, about.
    bytes: usize,
    forgotten: u64,
    /// Number of listeners that the last report is about.
    present: u64,
    audit: AuditSum,
}

impl Sum {
    /// Adds a report, which is about the time after the ones before.
    pub fn add(&mut self, report: &Report) {
        self.reports += 1;
        if report.window.seconds.is_finite() {
            self.seconds += report.window.seconds;
        }
        self.providers = Some(match self.providers.take() {
            Some(before) => providers(&before, &report.providers),
            None => report.providers.clone(),
        });
        for listener in &report.listeners {
            self.add_listener(listener);
        }
        let open = report.listeners.iter().filter(|one| !one.closed).count();
        self.present = number::of(open).saturating_add(report.idle_listeners);
        self.audit.add(&report.audit);
        if self.first.is_none() {
            self.first = Some(Report { listeners: Vec::new(), ..report.clone() });
        }
        if self.closed > CLOSED_MAX {
            self.forget();
        }
    }

    fn add_listener(&mut self, listener: &Listener) {
        let all = self.listeners.entry((listener.netns, listener.inode)).or_default();
        let one = match all.last_mut() {
            Some(last) if last.is(listener) => last,
            _ => {
                let one = ListenerSum::new(listener, self.reports);
                self.bytes += one.bytes();
                all.push(one);
                self.closed += usize::from(listener.closed);
                return;
            }
        };
        self.closed += usize::from(listener.closed && !one.is_closed());
        let before = one.bytes();
        one.add(listener, self.reports);
        self.bytes = (self.bytes + one.bytes()).saturating_sub(before);
    }

    /// Forgets closed listeners, those that closed first.
    fn forget(&mut self) {
        let closed = self.listeners.values().flatten().filter(|one| one.is_closed());
        let mut ends: Vec<u64> = closed.map(ListenerSum::last_seen).collect();
        ends.sort_unstable();
        let Some(middle) = ends.get(ends.len() / 2).copied() else { return };
        for all in self.listeners.values_mut() {
            all.retain(|one| !one.is_closed() || one.last_seen() > middle);
        }
        self.listeners.retain(|_, all| !all.is_empty());
        self.bytes = self.listeners.values().flatten().map(ListenerSum::bytes).sum();
        let left = self.listeners.values().flatten().filter(|one| one.is_closed()).count();
        self.forgotten = self.forgotten.saturating_add(number::of(self.closed - left));
        self.closed = left;
    }

    /// Number of reports that were added.
    #[must_use]
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// Memory that the sum takes, in bytes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.saturating_add(self.audit.bytes())
    }

    /// The sum as a report of this kind; `None` where nothing was added.
    #[must_use]
    pub fn report(self, kind: WindowKind) -> Option<Report> {
        let mut report = self.first?;
        report.window.kind = kind;
        report.window.seconds = self.seconds;
        report.providers = self.providers?;
        report.listeners =
            self.listeners.into_values().flatten().map(ListenerSum::listener).collect();
        report.listeners.sort_by(|a, b| {
            let key = |one: &Listener| (one.netns, one.port, one.family);
            let by_address = key(a).cmp(&key(b)).then_with(|| a.address.cmp(&b.address));
            by_address.then(a.inode.cmp(&b.inode))
        });
        let open = report.listeners.iter().filter(|one| !one.closed).count();
        report.idle_listeners = self.present.saturating_sub(number::of(open));
        let incomplete = report.listeners.iter().filter(|one| one.incomplete).count();
        report.audit = self.audit.audit(number::of(incomplete), self.forgotten);
        findings::judge(&mut report);
        Some(report)
    }
}

fn providers(before: &Providers, after: &Providers) -> Providers {
    let both = |of: fn(&Providers) -> &Provider| {
        let (before, after) = (of(before), of(after));
        Provider {
            via: after.via,
            exact: before.exact && after.exact,
            inferred: number::any(before.inferred, after.inferred),
            uncounted: number::any(before.uncounted, after.uncounted),
        }
    };
    Providers {
        wakeups: both(|all| &all.wakeups),
        accepts: both(|all| &all.accepts),
        handshakes: both(|all| &all.handshakes),
        drops: both(|all| &all.drops),
    }
}

#[cfg(test)]
mod tests;
