//! Tasks whose thread ids share a place in the kernel programs' table: one of them has its entry
//! elsewhere, and is counted as exactly.

use std::fs;

use anyhow::{Context, bail, ensure};
use observer_common::config::TASK_SLOT_COUNT;

use crate::{
    Need, Outcome, Test,
    compare::{compare, compare_spaced},
    observer::Observer,
    workload::{Tally, Workload},
};

/// Where the kernel keeps the last process id that it gave: the next one follows it.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// Tries to be given the ids that are wanted: other processes of the host start meanwhile.
const TRIES: u32 = 8;

pub fn tests() -> Vec<Test> {
    let need = || {
        (!fs::exists(LAST_PID).unwrap_or(false))
            .then(|| format!("this kernel has no {LAST_PID} (CONFIG_CHECKPOINT_RESTORE)"))
    };
    vec![Test::new("task_slots::two_workers_of_one_slot", Need::Also(need), share_a_slot)]
}

fn share_a_slot() -> Outcome {
    let mut first = Workload::start(&["--netns", "--strategy", "epoll", "--workers", "1"])?;
    for turn in 1..=TRIES {
        let mut second = beside(&first, turn)?;
        let observer = Observer::json(&["--port", &port(&first)?, "--port", &port(&second)?])?;
        // Whose wakeup comes first has the place.
        first.go()?;
        second.go()?;
        let tallies = [first.tally()?, second.tally()?];
        let report = observer.total()?;
        for (workload, tally) in [&first, &second].into_iter().zip(&tallies) {
            compare(&report, workload, tally)?;
            compare_spaced(&report, workload, tally)?;
        }
        let [taken, others] = tallies.map(|tally| places(&tally));
        first.quit()?;
        second.quit()?;
        if others.iter().any(|place| taken.contains(place)) {
            return Ok(());
        }
        first = Workload::start(&["--netns", "--strategy", "epoll", "--workers", "1"])?;
    }
    bail!("no two workers came to share a place in {TRIES} tries")
}

/// A workload that should have a worker whose thread id is a multiple of the places away from one of
/// `first`.
fn beside(first: &Workload, turn: u32) -> anyhow::Result<Workload> {
    let pid = first.ready.pid;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let worker: u32 = children.split_whitespace().next().context("a worker")?.parse()?;
    let greatest: u32 = fs::read_to_string("/proc/sys/kernel/pid_max")?.trim().parse()?;
    let next = match worker + turn * TASK_SLOT_COUNT {
        next if next + TASK_SLOT_COUNT < greatest => next,
        _ => worker % TASK_SLOT_COUNT + TASK_SLOT_COUNT,
    };
    // The coordinator comes first, and its workers follow.
    fs::write(LAST_PID, (next - 4).to_string())?;
    Workload::start(&["--netns", "--strategy", "epoll", "--workers", "6"])
}

/// The places of a workload's workers.
fn places(tally: &Tally) -> Vec<u32> {
    tally.workers.iter().map(|worker| worker.tid % TASK_SLOT_COUNT).collect()
}

fn port(workload: &Workload) -> anyhow::Result<String> {
    let listener = workload.ready.listeners.first().context("a listener")?;
    ensure!(listener.port != 0, "a port");
    Ok(listener.port.to_string())
}
