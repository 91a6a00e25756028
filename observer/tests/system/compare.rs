//! What must be equal: a report and a workload's own tally, worker by worker.

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    Outcome,
    observer::number,
    workload::{Tally, WorkerTally, Workload},
};

/// The listeners of a workload in a report; their number is checked.
pub fn listeners<'a>(report: &'a Value, workload: &Workload) -> anyhow::Result<Vec<&'a Value>> {
    let found: Vec<_> = report["listeners"]
        .as_array()
        .context("listeners")?
        .iter()
        .filter(|one| one["netns"] == workload.ready.netns)
        .collect();
    let mut inodes: Vec<_> = found.iter().filter_map(|one| one["inode"].as_u64()).collect();
    let mut expected: Vec<_> = workload.ready.listeners.iter().map(|at| at.inode).collect();
    inodes.sort_unstable();
    expected.sort_unstable();
    ensure!(inodes == expected, "listeners {inodes:?} instead of {expected:?}");
    Ok(found)
}

/// One worker's row, summed over the listeners of its workload.
fn worker(listeners: &[&Value], tid: u32) -> anyhow::Result<(WorkerTally, [u64; 4])> {
    let mut sum = WorkerTally { tid, ..WorkerTally::default() };
    let mut outcomes = [0; 4];
    let rows = listeners.iter().flat_map(|one| one["workers"].as_array().into_iter().flatten());
    for row in rows.filter(|row| row["tid"] == tid) {
        sum.accepted += number(&row["accepted"])?;
        sum.eagain += row["accept_errors"].get("EAGAIN").map_or(Ok(0), number)?;
        sum.voluntary_switches += number(&row["wakeups"]["total"])?;
        for (sum, name) in outcomes.iter_mut().zip(["won", "lost", "failed", "silent"]) {
            *sum += number(&row["wakeups"][name])?;
        }
    }
    Ok((sum, outcomes))
}

/// What holds whatever the pace: accepted and EAGAIN of each worker, and nobody else's.
///
/// A run of a program that the kernel skipped is at most one count that is missing, and the report
/// says how many there were and that it is not exact.
pub fn compare(report: &Value, workload: &Workload, tally: &Tally) -> Outcome {
    let listeners = listeners(report, workload)?;
    let skipped = number(&report["audit"]["missed_runs"])?;
    if skipped != 0 {
        for signal in ["accepts", "handshakes"] {
            ensure!(report["providers"][signal]["exact"] == false, "{skipped} skipped runs");
        }
    }
    let agree = |seen: u64, counted: u64| seen <= counted && counted - seen <= skipped;
    for own in &tally.workers {
        let (seen, _) = worker(&listeners, own.tid)?;
        ensure!(
            agree(seen.accepted, own.accepted) && agree(seen.eagain, own.eagain),
            "worker {}: saw {} accepted and {} EAGAIN, it counted {} and {}",
            own.tid,
            seen.accepted,
            seen.eagain,
            own.accepted,
            own.eagain
        );
    }
    // Nobody else: an interrupt within a notification may wake strangers, this program among them.
    let rows = listeners.iter().flat_map(|one| one["workers"].as_array().into_iter().flatten());
    for row in rows {
        ensure!(tally.workers.iter().any(|own| row["tid"] == own.tid), "a stranger: {row}");
    }
    let sum =
        |name: &str| listeners.iter().map(|one| number(&one[name])).sum::<anyhow::Result<u64>>();
    let (accepted, queued) = (sum("accepted")?, sum("queued")?);
    let made = tally.connections;
    ensure!(agree(accepted, made), "{accepted} accepted, and the client made {made}");
    ensure!(agree(queued, made), "{queued} queued, and the client made {made}");
    let opens = passive_opens(workload.ready.pid)?;
    ensure!(opens == 0 || agree(queued, opens), "{queued} queued, PassiveOpens are {opens}");
    Ok(())
}

/// What holds when each connection meets workers that all sleep: wakeups and their outcomes too.
///
/// A wakeup that nothing told to be one is at most one that is missing, and the report says how many such
/// there were and that it is not exact.
pub fn compare_spaced(report: &Value, workload: &Workload, tally: &Tally) -> Outcome {
    let listeners = listeners(report, workload)?;
    let from = &report["providers"]["wakeups"];
    let missing = from["uncounted"].as_u64().unwrap_or(0);
    ensure!(missing == 0 || from["exact"] == false, "{from}");
    let agree = |seen: u64, counted: u64| seen <= counted && counted - seen <= missing;
    let (mut sums, mut seen_in_all) = ([0; 2], 0);
    for own in &tally.workers {
        let (seen, [won, lost, failed, silent]) = worker(&listeners, own.tid)?;
        let wakeups = seen.voluntary_switches;
        ensure!(
            agree(wakeups, own.wakeups()),
            "worker {}: saw {wakeups} wakeups, the kernel counted {} sleeps ({own:?}), {missing} missing",
            own.tid,
            own.wakeups()
        );
        ensure!(
            agree(won, own.accepted),
            "worker {}: won {won}, accepted {}",
            own.tid,
            own.accepted
        );
        ensure!(agree(lost, own.eagain), "worker {}: lost {lost}, EAGAIN {}", own.tid, own.eagain);
        ensure!(failed == 0, "worker {}: {failed} failed", own.tid);
        ensure!(
            silent == wakeups - won - lost,
            "worker {}: {silent} silent of {wakeups}, {won} won and {lost} lost",
            own.tid
        );
        // What came back from the wait call was won or lost; the rest never left the kernel.
        ensure!(
            agree(won + lost, own.wait_returns),
            "worker {}: {} returns of its wait call, {won} won and {lost} lost",
            own.tid,
            own.wait_returns
        );
        sums = [sums[0] + wakeups, sums[1] + own.accepted];
        seen_in_all += own.wakeups();
    }
    ensure!(agree(sums[0], seen_in_all), "{} wakeups of {seen_in_all}, {missing} missing", sums[0]);
    for listener in &listeners {
        let pending = &listener["wakeups"]["pending"];
        ensure!(*pending == 0, "{pending} pending although every worker waits again");
        ensure!(listener["accept_queue"]["now"] == 0, "connections are left in the queue");
    }
    if let [listener] = listeners[..] {
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let ratio = sums[0] as f64 / sums[1] as f64;
        ensure!(
            listener["herd_ratio"].as_f64().is_some_and(|seen| (seen - ratio).abs() < 1e-9),
            "herd ratio {} instead of {ratio}",
            listener["herd_ratio"]
        );
    }
    Ok(())
}

/// `PassiveOpens` of a workload's own namespace: children made by its listeners, as the kernel
/// counts them.
fn passive_opens(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/snmp"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = lines.next().zip(lines.next()).context("no Tcp lines")?;
    let (_, value) = names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find(|(name, _)| *name == "PassiveOpens")
        .context("no PassiveOpens")?;
    Ok(value.parse()?)
}
