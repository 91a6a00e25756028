//! A listener's queues and their limits.

use observer_common::{counters::QueueStats, hist::depth_bound};

use crate::{
    listener::{diag::Socket, namespaces::Namespace},
    report::model::{AcceptQueue, Backlog, Bucket, SynQueue},
};

pub(super) fn accept_queue(
    queue: &QueueStats,
    socket: Option<&Socket>,
    limit: Option<u64>,
) -> AcceptQueue {
    let now = socket.map(|socket| u64::from(socket.queue));
    // What was there before the window, and still is, was seen in it too.
    let max = queue.depth_max.max(now.unwrap_or(0));
    AcceptQueue { now, max, limit, used_percent: used(max, limit), histogram: histogram(queue) }
}

pub(super) fn syn_queue(
    queue: &QueueStats,
    now: Option<u64>,
    limit: Option<u64>,
    sees_syns: bool,
) -> SynQueue {
    let max = sees_syns.then(|| queue.syn_max.max(now.unwrap_or(0)));
    SynQueue {
        now,
        max,
        used_percent: max.or(now).and_then(|most| used(most, limit)),
        cookies_sent: sees_syns.then_some(queue.cookies_sent),
    }
}

/// How much of a queue was used, in percent: it is full with one more than its limit.
fn used(max: u64, limit: Option<u64>) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "queues hold less than 2^52 connections")]
    limit.map(|limit| (max as f64 * 1000.0 / (limit + 1) as f64).round() / 10.0)
}

fn histogram(queue: &QueueStats) -> Vec<Bucket> {
    let Some(last) = queue.depth.iter().rposition(|count| *count != 0) else { return Vec::new() };
    queue.depth[..=last]
        .iter()
        .enumerate()
        .filter_map(|(bucket, count)| Some(Bucket { le: depth_bound(bucket)?, count: *count }))
        .collect()
}

/// The limits, by what the program asked for and what its namespace allows now and allowed when the
/// window began.
#[must_use]
pub fn backlog(
    limit: Option<u64>,
    asked: Option<u64>,
    now: Option<&Namespace>,
    before: Option<&Namespace>,
) -> Backlog {
    let somaxconn = now.and_then(|namespace| namespace.somaxconn);
    let earlier = before.and_then(|namespace| namespace.somaxconn).or(somaxconn);
    let was_clamped = |limit: u64| match asked {
        // A backlog is an int, and a negative one asks for as much as there is.
        Some(asked) => Some(asked > limit),
        None => Some(limit >= earlier?.min(somaxconn?)),
    };
    let clamped = limit.and_then(was_clamped);
    Backlog {
        limit,
        somaxconn,
        tcp_max_syn_backlog: now.and_then(|namespace| namespace.tcp_max_syn_backlog),
        syncookies: now.and_then(|namespace| namespace.syncookies),
        abort_on_overflow: now.and_then(|namespace| namespace.abort_on_overflow),
        asked,
        clamped,
        at_somaxconn: limit.zip(somaxconn).map(|(limit, somaxconn)| limit >= somaxconn),
        outdated: clamped
            .zip(limit.zip(somaxconn))
            .map(|(clamped, (limit, somaxconn))| clamped && somaxconn > limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(somaxconn: u64) -> Namespace {
        Namespace { somaxconn: Some(somaxconn), ..Namespace::default() }
    }

    fn state(
        limit: u64,
        asked: Option<u64>,
        before: u64,
        now: u64,
    ) -> (Option<bool>, Option<bool>) {
        let backlog = backlog(Some(limit), asked, Some(&namespace(now)), Some(&namespace(before)));
        (backlog.clamped, backlog.outdated)
    }

    #[test]
    fn a_backlog_is_clamped_when_more_was_asked_for() {
        assert_eq!(state(511, Some(511), 4096, 4096), (Some(false), Some(false)));
        assert_eq!(state(4096, Some(65_535), 4096, 4096), (Some(true), Some(false)));
        assert_eq!(state(4096, Some(4096), 4096, 4096), (Some(false), Some(false)));
        assert_eq!(state(4096, Some(u64::from(u32::MAX)), 4096, 4096), (Some(true), Some(false)));
    }

    #[test]
    fn without_knowing_what_was_asked_for_the_limit_tells() {
        assert_eq!(state(511, None, 4096, 4096), (Some(false), Some(false)));
        assert_eq!(state(4096, None, 4096, 4096), (Some(true), Some(false)));
    }

    #[test]
    fn somaxconn_raised_since_takes_another_listen() {
        assert_eq!(state(128, None, 128, 4096), (Some(true), Some(true)));
        assert_eq!(state(128, Some(511), 4096, 4096), (Some(true), Some(true)));
        assert_eq!(state(128, Some(128), 128, 4096), (Some(false), Some(false)));
    }

    #[test]
    fn a_queue_is_used_up_with_one_more_than_its_limit() {
        let queue = QueueStats { depth_max: 3, syn_max: 1, ..QueueStats::ZERO };
        let used = |queue: AcceptQueue| queue.used_percent;
        assert_eq!(used(accept_queue(&queue, None, Some(2))), Some(100.0));
        assert_eq!(used(accept_queue(&queue, None, Some(5))), Some(50.0));
        assert_eq!(used(accept_queue(&queue, None, None)), None);
        assert_eq!(syn_queue(&queue, None, Some(2), true).used_percent, Some(33.3));
        assert_eq!(syn_queue(&queue, None, Some(2), false), SynQueue::default());
        // What waits now is the most that is known of where no hook sees SYNs.
        let now = syn_queue(&queue, Some(3), Some(5), false);
        assert_eq!((now.now, now.max, now.used_percent), (Some(3), None, Some(50.0)));
        assert_eq!(syn_queue(&queue, Some(3), Some(5), true).max, Some(3));
    }
}
