//! What is looked up of the processes that hold listeners: where they run, and how many descriptors they have left.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use observer::{
    host::{identity, identity::Scope, task_state},
    model::Listener,
};

use super::place;

/// How long what was seen of descriptors is good, where the report tells none.
const GOOD_FOR: Duration = Duration::from_secs(15);

/// Most processes of a listener that are looked at.
const MOST: usize = 8;

/// What is looked up.
pub trait Origins {
    /// Where a process runs.
    fn scope(&mut self, pid: u32) -> Scope;

    /// Open descriptors and limit of a listener's holders, as far as they are known.
    fn descriptors(&mut self, listener: &Listener, now: Instant) -> Vec<(u64, Option<u64>)>;

    /// Ends a report: what nobody asked for is forgotten.
    fn end_report(&mut self);
}

/// The processes of this host.
#[derive(Debug, Default)]
pub struct Host {
    descriptors: HashMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    open: Option<(u64, Option<u64>)>,
    is_asked_for: bool,
}

impl Origins for Host {
    fn scope(&mut self, pid: u32) -> Scope {
        identity::scope(pid)
    }

    fn descriptors(&mut self, listener: &Listener, now: Instant) -> Vec<(u64, Option<u64>)> {
        let states = listener.holder_states.as_deref().unwrap_or_default();
        let told: Vec<_> = states
            .iter()
            .filter_map(|state| Some((state.descriptors?, state.descriptor_limit)))
            .collect();
        if !told.is_empty() {
            return told;
        }
        place::pids(listener).into_iter().take(MOST).filter_map(|pid| self.of(pid, now)).collect()
    }

    fn end_report(&mut self) {
        self.descriptors.retain(|_, seen| std::mem::take(&mut seen.is_asked_for));
    }
}

impl Host {
    fn of(&mut self, pid: u32, now: Instant) -> Option<(u64, Option<u64>)> {
        let look = || Seen { at: now, open: task_state::open_files(pid), is_asked_for: true };
        let seen = self.descriptors.entry(pid).or_insert_with(look);
        if now.saturating_duration_since(seen.at) >= GOOD_FOR {
            *seen = look();
        }
        seen.is_asked_for = true;
        seen.open
    }
}
