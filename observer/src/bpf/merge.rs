//! Adding up rows of the same key.

use observer_common::{
    counters::{QueueStats, WorkerStats},
    drops::DROP_REASONS,
    hist::DEPTH_BUCKETS,
};

/// Adds what one CPU, or one life of a socket, has of a listener's queues to what others have.
pub(super) fn merge_queue(mut sum: QueueStats, cpu: &QueueStats) -> QueueStats {
    sum.queued += cpu.queued;
    sum.inferred += cpu.inferred;
    sum.cookies_sent += cpu.cookies_sent;
    sum.cookies_wanted += cpu.cookies_wanted;
    sum.waits += cpu.waits;
    sum.clients += cpu.clients;
    sum.clients_unknown += cpu.clients_unknown;
    sum.depth_max = sum.depth_max.max(cpu.depth_max);
    sum.syn_max = sum.syn_max.max(cpu.syn_max);
    sum.wait_max = sum.wait_max.max(cpu.wait_max);
    // The latest interval wins: a CPU that saw nothing since keeps an older one's maxima.
    let latest = sum.interval.max(cpu.interval);
    let of_latest = |one: &QueueStats, max: u64| if one.interval == latest { max } else { 0 };
    sum.interval_depth_max =
        of_latest(&sum, sum.interval_depth_max).max(of_latest(cpu, cpu.interval_depth_max));
    sum.interval_syn_max =
        of_latest(&sum, sum.interval_syn_max).max(of_latest(cpu, cpu.interval_syn_max));
    sum.interval = latest;
    let latest = sum.wait_interval.max(cpu.wait_interval);
    let of_latest = |one: &QueueStats| match one.wait_interval == latest {
        true => one.interval_wait_max,
        false => 0,
    };
    sum.interval_wait_max = of_latest(&sum).max(of_latest(cpu));
    sum.wait_interval = latest;
    for reason in 0..DROP_REASONS {
        sum.drops[reason] += cpu.drops[reason];
    }
    for bucket in 0..DEPTH_BUCKETS {
        sum.depth[bucket] += cpu.depth[bucket];
    }
    sum
}

/// The same of what a task did. The first name stays.
pub(super) fn merge_worker(mut sum: WorkerStats, cpu: &WorkerStats) -> WorkerStats {
    sum.wakeups += cpu.wakeups;
    sum.won += cpu.won;
    sum.lost += cpu.lost;
    sum.failed += cpu.failed;
    sum.silent += cpu.silent;
    sum.accepted += cpu.accepted;
    sum.eagain += cpu.eagain;
    if sum.comm[0] == 0 {
        sum.comm = cpu.comm;
    }
    sum
}
