//! Adding up rows of the same key.

use observer_common::{
    counters::{Misc, NoRoom, QueueStats, WorkerStats},
    drops::DROP_REASONS,
    hist::DEPTH_BUCKETS,
};

/// Adds these fields of one row to those of another.
macro_rules! add {
    ($to:ident, $from:ident: $($field:ident),+ $(,)?) => { $($to.$field += $from.$field;)+ };
}

/// Takes them off, down to 0.
macro_rules! take_off {
    ($of:ident, $from:ident: $($field:ident),+ $(,)?) => {
        $($of.$field = $of.$field.saturating_sub($from.$field);)+
    };
}

pub(crate) use take_off;

/// Adds what one CPU, or one life of a socket, has of a listener's queues to what others have.
pub(super) fn merge_queue(mut sum: QueueStats, cpu: &QueueStats) -> QueueStats {
    add!(
        sum, cpu: queued, discarded, inferred, cookies_sent, cookies_wanted, waits, clients,
        clients_unknown
    );
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

/// Adds what one CPU has of a task's dealings to what others have. The first name stays.
pub(super) fn merge_worker(mut sum: WorkerStats, cpu: &WorkerStats) -> WorkerStats {
    add!(sum, cpu: wakeups, won, lost, failed, silent, accepted, eagain);
    if sum.comm[0] == 0 {
        sum.comm = cpu.comm;
    }
    sum
}

/// Adds what one CPU could not count to what others could not.
pub(super) fn merge_misc(mut sum: Misc, cpu: &Misc) -> Misc {
    add!(sum, cpu: events_lost, workers, recovered, chained, listeners, waits, errors, quiet, in_doubt);
    add!(sum, cpu: moves_begun, moves_done);
    let (full, of_cpu) = (&mut sum.no_room, &cpu.no_room);
    add!(full, of_cpu: listeners, tasks, workers, wakeups, errors, waits, calls, backlogs);
    add!(full, of_cpu: processes, lives);
    sum
}

/// What found no room since an earlier reading.
pub(crate) fn no_room_since(mut full: NoRoom, before: &NoRoom) -> NoRoom {
    take_off!(full, before: listeners, tasks, workers, wakeups, errors, waits, calls, backlogs);
    take_off!(full, before: processes, lives);
    full
}
