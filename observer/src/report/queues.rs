//! A listener's queues and their limits.

use observer_common::{counters::QueueStats, hist::depth_bound};

use crate::{
    host::{inet_diag::Socket, netns::Namespace},
    model::{AcceptQueue, Backlog, Bucket, SynQueue},
};

/// The accept queue of a listener with its row, where it is known.
pub(super) fn accept_queue(
    queue: Option<&QueueStats>,
    socket: Option<&Socket>,
    limit: Option<u64>,
) -> AcceptQueue {
    let now = socket.map(|socket| u64::from(socket.queue));
    // What was there before the window, and still is, was seen in it too.
    let max = queue.map(|queue| queue.depth_max.max(now.unwrap_or(0)));
    let used_percent = max.and_then(|max| used(max, limit));
    let histogram = queue.map(histogram).unwrap_or_default();
    AcceptQueue { now, max, limit, used_percent, histogram }
}

pub(super) fn syn_queue(
    queue: &QueueStats,
    now: Option<u64>,
    limit: Option<u64>,
    sees_syns: bool,
) -> SynQueue {
    // Where no hook sees SYNs, the queue's length is seen when an answer is sent again, and when the report is
    // made.
    let seen = (queue.syn_max != 0).then_some(queue.syn_max);
    let max = if sees_syns { Some(queue.syn_max.max(now.unwrap_or(0))) } else { seen.max(now) };
    SynQueue {
        now,
        max,
        sampled: max.is_some() && !sees_syns,
        used_percent: max.and_then(|most| used(most, limit)),
        cookies_sent: sees_syns.then_some(queue.cookies_sent),
    }
}

/// Use of a queue in percent of its limit: above 100 where it holds the one more that
/// `sk_acceptq_is_full` lets it have. A limit of 0 has no percentage.
pub(super) fn used(max: u64, limit: Option<u64>) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "queues hold less than 2^52 connections")]
    limit
        .filter(|limit| *limit != 0)
        .map(|limit| (max as f64 * 1000.0 / limit as f64).round() / 10.0)
}

fn histogram(queue: &QueueStats) -> Vec<Bucket> {
    let Some(last) = queue.depth.iter().rposition(|count| *count != 0) else { return Vec::new() };
    queue.depth[..=last]
        .iter()
        .enumerate()
        .filter_map(|(bucket, count)| Some(Bucket { le: depth_bound(bucket)?, count: *count }))
        .collect()
}

/// `net.core.somaxconn` as kernels set it by default (`SOMAXCONN`): up to Linux 5.3, and since.
const SOMAXCONN_DEFAULTS: [u64; 2] = [128, 4096];

/// Limits on a listener's queues: what is in force, what `listen()` was `requested` to set where that
/// was seen, and what the namespace allows `now` and allowed `before`, when the window began.
#[must_use]
pub fn backlog(
    limit: Option<u64>,
    requested: Option<u64>,
    now: Option<&Namespace>,
    before: Option<&Namespace>,
) -> Backlog {
    let somaxconn = now.and_then(|namespace| namespace.somaxconn);
    let earlier = before.and_then(|namespace| namespace.somaxconn);
    // A backlog is an int, and a negative one asks for as much as there is.
    let clamped = limit.zip(requested).map(|(limit, requested)| requested > limit);
    let bounds = limit.zip(somaxconn);
    let at_somaxconn = bounds.map(|(limit, somaxconn)| limit >= somaxconn);
    Backlog {
        limit,
        somaxconn,
        tcp_max_syn_backlog: now.and_then(|namespace| namespace.tcp_max_syn_backlog),
        syncookies: now.and_then(|namespace| namespace.syncookies),
        abort_on_overflow: now.and_then(|namespace| namespace.abort_on_overflow),
        requested,
        clamped,
        stale: at_somaxconn.and_then(|at| if at { Some(false) } else { clamped }),
        at_somaxconn,
        maybe_clamped: clamped.is_none()
            && bounds.is_some_and(|(limit, somaxconn)| {
                limit < somaxconn && (earlier == Some(limit) || SOMAXCONN_DEFAULTS.contains(&limit))
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(somaxconn: u64) -> Namespace {
        Namespace { somaxconn: Some(somaxconn), ..Namespace::default() }
    }

    /// `clamped`, `stale` and `maybe_clamped`.
    fn state(
        limit: u64,
        requested: Option<u64>,
        before: u64,
        now: u64,
    ) -> (Option<bool>, Option<bool>, bool) {
        let (now, before) = (namespace(now), namespace(before));
        let backlog = backlog(Some(limit), requested, Some(&now), Some(&before));
        (backlog.clamped, backlog.stale, backlog.maybe_clamped)
    }

    #[test]
    fn a_backlog_is_clamped_when_more_was_requested() {
        let (no, yes) = (Some(false), Some(true));
        assert_eq!(state(511, Some(511), 4096, 4096), (no, no, false));
        assert_eq!(state(4096, Some(65_535), 4096, 4096), (yes, no, false));
        assert_eq!(state(4096, Some(4096), 4096, 4096), (no, no, false));
        assert_eq!(state(4096, Some(u64::from(u32::MAX)), 4096, 4096), (yes, no, false));
    }

    #[test]
    fn a_limit_alone_does_not_tell_whether_it_was_clamped() {
        // listen(1024) under somaxconn 16, which was raised before anybody looked.
        assert_eq!(state(16, None, 4096, 4096), (None, None, false));
        assert_eq!(state(511, None, 4096, 4096), (None, None, false));
        // At somaxconn, another listen() gets no more, whatever was requested.
        assert_eq!(state(4096, None, 4096, 4096), (None, Some(false), false));
        // And above it, where somaxconn was lowered since.
        assert_eq!(state(4096, None, 4096, 128), (None, Some(false), false));
        let unknown = backlog(Some(511), None, None, None);
        assert_eq!((unknown.clamped, unknown.stale, unknown.at_somaxconn), (None, None, None));
    }

    #[test]
    fn a_limit_that_equals_another_somaxconn_is_doubtful() {
        assert_eq!(state(128, None, 4096, 4096), (None, None, true));
        assert_eq!(state(4096, None, 65_535, 65_535), (None, None, true));
        assert_eq!(state(16, None, 16, 4096), (None, None, true));
        assert_eq!(state(128, None, 128, 128), (None, Some(false), false));
        assert_eq!(state(128, Some(128), 128, 4096), (Some(false), Some(false), false));
        assert!(!backlog(Some(128), None, None, None).maybe_clamped);
    }

    #[test]
    fn somaxconn_raised_since_takes_another_listen() {
        assert_eq!(state(128, Some(511), 4096, 4096), (Some(true), Some(true), false));
        assert_eq!(state(128, Some(511), 128, 128), (Some(true), Some(false), false));
        assert_eq!(state(128, Some(128), 128, 4096), (Some(false), Some(false), false));
    }

    #[test]
    fn a_full_queue_is_used_beyond_its_limit() {
        let queue = QueueStats { depth_max: 3, syn_max: 1, ..QueueStats::ZERO };
        let used = |queue: AcceptQueue| queue.used_percent;
        assert_eq!(used(accept_queue(Some(&queue), None, Some(2))), Some(150.0));
        assert_eq!(used(accept_queue(Some(&queue), None, Some(3))), Some(100.0));
        assert_eq!(used(accept_queue(Some(&queue), None, Some(511))), Some(0.6));
        assert_eq!(used(accept_queue(Some(&queue), None, Some(0))), None);
        assert_eq!(used(accept_queue(Some(&queue), None, None)), None);
        assert_eq!(syn_queue(&queue, None, Some(3), true).used_percent, Some(33.3));
        assert_eq!(syn_queue(&queue, Some(3), Some(5), true).max, Some(3));
        // Where no hook sees SYNs, the most is one of samples.
        let nothing = syn_queue(&QueueStats::ZERO, None, Some(2), false);
        assert_eq!(nothing, SynQueue::default());
        let now = syn_queue(&queue, Some(3), Some(5), false);
        assert_eq!((now.now, now.max, now.used_percent), (Some(3), Some(3), Some(60.0)));
        assert!(now.sampled && now.cookies_sent.is_none());
        assert_eq!(syn_queue(&queue, Some(0), Some(5), false).max, Some(1));
        assert_eq!(syn_queue(&queue, None, Some(5), false).max, Some(1));
        assert_eq!(syn_queue(&QueueStats::ZERO, Some(0), Some(5), false).max, Some(0));
        assert!(!syn_queue(&queue, Some(3), Some(5), true).sampled);
    }
}
