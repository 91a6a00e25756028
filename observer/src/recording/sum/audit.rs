//! Audits of several reports.

use std::collections::BTreeMap;

use super::{number, size};
use crate::model::{Audit, AuditCounter, NetnsAudit, NoRoom};

#[derive(Default)]
pub(super) struct AuditSum {
    sum: Audit,
    /// Counters of each namespace.
    netns: BTreeMap<u64, NetnsAudit>,
    /// Memory that they take, about.
    bytes: usize,
}

impl AuditSum {
    pub(super) fn add(&mut self, audit: &Audit) {
        let sum = &mut self.sum;
        sum.events_lost = sum.events_lost.saturating_add(audit.events_lost);
        sum.map_full = sum.map_full.saturating_add(audit.map_full);
        sum.no_room = no_room(&sum.no_room, &audit.no_room);
        sum.unsettled = sum.unsettled.saturating_add(audit.unsettled);
        sum.unanswered = sum.unanswered.max(audit.unanswered);
        sum.oldest_look = sum.oldest_look.max(audit.oldest_look);
        sum.oldest_syn_look = sum.oldest_syn_look.max(audit.oldest_syn_look);
        sum.missed_runs = sum.missed_runs.saturating_add(audit.missed_runs);
        let mut is_new = false;
        for one in &audit.netns {
            match self.netns.get_mut(&one.netns) {
                None => {
                    is_new = true;
                    drop(self.netns.insert(one.netns, one.clone()));
                }
                Some(sum) => is_new |= add(sum, one),
            }
        }
        if is_new {
            self.bytes = self.bytes.saturating_add(size::of_audit(audit));
        }
    }

    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The whole, with so many incomplete listeners, and so many that closed and were forgotten.
    pub(super) fn audit(self, incomplete: u64, forgotten: u64) -> Audit {
        let Self { mut sum, netns, .. } = self;
        sum.incomplete = incomplete;
        sum.map_full = sum.map_full.saturating_add(forgotten);
        sum.no_room.closed = sum.no_room.closed.saturating_add(forgotten);
        sum.netns = netns.into_values().collect();
        let both = |one: &AuditCounter| one.kernel.zip(one.observed);
        let mut compared =
            sum.netns.iter().flat_map(|one| one.counters.values()).filter_map(both).peekable();
        sum.closes = compared
            .peek()
            .is_some()
            .then(|| compared.all(|(kernel, observed)| kernel == observed) && incomplete == 0);
        sum
    }
}

/// Adds what a namespace counted. Whether a counter is new is returned.
fn add(sum: &mut NetnsAudit, next: &NetnsAudit) -> bool {
    let before = sum.counters.len();
    for (name, counter) in &next.counters {
        match sum.counters.get_mut(name) {
            None => drop(sum.counters.insert(name.clone(), *counter)),
            Some(before) => {
                before.kernel = number::both(before.kernel, counter.kernel);
                before.observed = number::both(before.observed, counter.observed);
            }
        }
    }
    sum.unattributed = number::any(sum.unattributed, next.unattributed);
    sum.counters.len() > before
}

fn no_room(before: &NoRoom, next: &NoRoom) -> NoRoom {
    let NoRoom {
        listeners,
        tasks,
        workers,
        wakeups,
        errors,
        waits,
        calls,
        backlogs,
        processes,
        closed,
        lives,
    } = *next;
    NoRoom {
        listeners: before.listeners.saturating_add(listeners),
        tasks: before.tasks.saturating_add(tasks),
        workers: before.workers.saturating_add(workers),
        wakeups: before.wakeups.saturating_add(wakeups),
        errors: before.errors.saturating_add(errors),
        waits: before.waits.saturating_add(waits),
        calls: before.calls.saturating_add(calls),
        backlogs: before.backlogs.saturating_add(backlogs),
        processes: before.processes.saturating_add(processes),
        closed: before.closed.saturating_add(closed),
        lives: before.lives.saturating_add(lives),
    }
}
