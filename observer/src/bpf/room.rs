//! Room in the kernel maps: rows that are made before anything happens, and what is noted at the start.

use anyhow::{Context as _, Result};
use aya::maps::PerCpuValues;
use observer_common::{
    counters::{ListenerId, ListenerInfo, QueueStats, WorkerKey, WorkerStats},
    room::{ROOMS, Room},
};

use super::maps::{Maps, NO_EXIST};

/// Maximum number of listeners whose rows are made beforehand: each is read for every report, busy or not.
pub const MADE_BEFOREHAND: usize = 2_048;

impl Maps {
    /// Makes the rows of a listener on which nothing has happened yet, so that it has room when it is needed, whoever
    /// else takes what is left; `false` where there is none left. Until something happens on it, the kernel programs
    /// tell nothing of it (`ListenerInfo::sock` is 0).
    ///
    /// # Errors
    ///
    /// When the number of possible CPUs cannot be read.
    pub fn make_rows(&mut self, id: ListenerId, info: ListenerInfo) -> Result<bool> {
        if self.listeners.get(&id, 0).is_ok() {
            return Ok(true);
        }
        let zeros = PerCpuValues::try_from(vec![QueueStats::ZERO; self.cpus])
            .context("the number of possible CPUs is not known")?;
        if self.queues.insert(id, zeros, NO_EXIST).is_err() && self.queues.get(&id, 0).is_err() {
            return Ok(false);
        }
        let rest = WorkerKey { listener: id, pid: 0, tid: 0 };
        // Where it cannot be made, the first event tries again.
        let _later = self.workers.insert(rest, WorkerStats::ZERO, NO_EXIST);
        // The listener's comes last, because whoever finds it counts on the others.
        let row = ListenerInfo { sock: 0, ..info };
        let is_made = self.listeners.insert(id, row, NO_EXIST).is_ok();
        self.gauges.listeners.has_one_more();
        Ok(is_made)
    }

    /// Adds a process to those that `--pid` names; where there is no room, that is counted.
    pub fn add_to_tree(&mut self, pid: u32) {
        if self.pid_tree.insert(pid, 1, 0).is_err() {
            self.at_start.no_room.processes += 1;
        }
    }

    /// Notes that a task is in an accept call that began before the window, unless a kprobe has noted it. Where there is no
    /// room, that is counted, and `listener` is one of which something is missing; `flags` are the note's.
    pub fn add_in_flight(&mut self, tid: u32, listener: ListenerId, flags: u64) {
        if self.in_flight.insert(tid, listener | flags, NO_EXIST).is_err()
            && self.in_flight.get(&tid, 0).is_err()
        {
            self.at_start.no_room.calls += 1;
            if self.at_start.incomplete.last() != Some(&listener) {
                self.at_start.incomplete.push(listener);
            }
        }
    }

    /// Tells the kernel programs that rows were freed. Clients are never forgotten, so that none is counted twice.
    pub(super) fn tell_of_room(&mut self) {
        let mut full = [0; ROOMS];
        let clients = Room::Clients as usize;
        if let Ok(now) = self.full.get(&0, 0) {
            full[clients] = now[clients];
        }
        // What cannot be written now is with the next rows that are freed.
        let _later = self.full.set(0, full, 0);
    }
}
