//! Idle listeners: those that an interval report only counts.
//!
//! A listener is idle when nothing was counted on it, no connection waits in its queues, and its limits,
//! holders and waiting tasks are those of the report before. One that had a finding then is judged again, and is
//! shown while it has one; one without can have got none since.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use observer_common::counters::QueueStats;

use crate::{
    host::task_state::FirstCounts,
    model::Report,
    report::{
        input::Input,
        join::{Joined, Key},
        place::Groups,
        refusals::Refusals,
        waits::Histogram,
        workers::{errors, rows},
    },
};

/// What is known of the last report's listeners.
#[derive(Debug, Default)]
pub struct LastSeen {
    /// Limits, holders and waiting tasks, as hashes.
    states: HashMap<Key, u64>,
    /// Those with findings, by inode numbers of the network namespace and of the socket.
    with_findings: HashSet<(u64, u64)>,
    /// Descriptors that holders had open when the window began, or when they were first looked at.
    pub descriptors: FirstCounts,
}

impl LastSeen {
    /// Decides of each listener whether it is idle, and notes it for the next report. Listeners that are not
    /// among these are forgotten.
    pub(super) fn idle(
        &mut self,
        input: &Input<'_>,
        listeners: &[Joined<'_>],
        refusals: &Refusals,
        groups: &Groups,
    ) -> Vec<bool> {
        let before = std::mem::take(&mut self.states);
        let mut decide = |one: &Joined<'_>| {
            let state = state(input, one, groups);
            self.states.insert(one.key(), state);
            is_quiet(input, one, refusals) && before.get(&one.key()) == Some(&state)
        };
        listeners.iter().map(&mut decide).collect()
    }

    /// Whether a listener had a finding in the last report.
    pub(super) fn had_finding(&self, one: &Joined<'_>) -> bool {
        self.with_findings.contains(&(one.netns.inode, one.id))
    }

    /// Notes which listeners have findings, for the next report.
    pub(super) fn note_findings(&mut self, report: &Report) {
        let found = report.listeners.iter().filter(|one| !one.findings.is_empty());
        self.with_findings = found.map(|one| (one.netns, one.inode)).collect();
    }
}

/// Whether nothing was counted on a listener and no connection waits in its queues.
fn is_quiet(input: &Input<'_>, one: &Joined<'_>, refusals: &Refusals) -> bool {
    let counted = input.counted;
    let empty = one.socket.is_none_or(|socket| socket.queue == 0)
        && input.requests.at(one.netns.inode, one.id).unwrap_or(0) == 0;
    empty
        // Nothing may have been counted for want of room.
        && !counted.incomplete.contains(one.id)
        && refusals.inferred(one.id).is_none_or(|share| share.most == 0)
        && counted.queues.get(&one.id).is_none_or(nothing_counted)
        && rows(input, one.id).next().is_none()
        && errors(input, one.id).next().is_none()
        && Histogram::of(&counted.waits, one.id).is_empty()
}

/// A hash of what is shown of a listener besides counts.
fn state(input: &Input<'_>, one: &Joined<'_>, groups: &Groups) -> u64 {
    let mut hasher = DefaultHasher::new();
    let id = one.id;
    one.socket.map(|socket| (socket.limit, socket.cookie, socket.address)).hash(&mut hasher);
    one.info.map(|info| (info.limit, info.cookie, info.flags, info.closed)).hash(&mut hasher);
    one.socket.and_then(|socket| groups.at(one.netns, socket)).hash(&mut hasher);
    input.counted.asked.get(&id).hash(&mut hasher);
    input.counted.incomplete.contains(id).hash(&mut hasher);
    input.namespace(one.netns).map(|now| now.limits()).hash(&mut hasher);
    input.holders(id).hash(&mut hasher);
    input.waiters.get(&id).hash(&mut hasher);
    hasher.finish()
}

/// Whether a listener's row has no counts. The maxima of an interval that is over, and its number, are none.
fn nothing_counted(queue: &QueueStats) -> bool {
    let counted = QueueStats {
        interval: 0,
        interval_depth_max: 0,
        interval_syn_max: 0,
        wait_interval: 0,
        interval_wait_max: 0,
        ..*queue
    };
    counted == QueueStats::ZERO
}

#[cfg(test)]
mod tests;
