//! Refused connection attempts: as the kernel programs counted them, or, with tracepoints only, as
//! the socket's own counter and those of its network namespace let them be inferred. Pure.

use std::sync::{Arc, OnceLock};

use observer_common::{
    counters::QueueStats,
    drops::{DROP_REASONS, DropReason},
};

use crate::report::model::{ByReason, Drops};

/// What is known of one listener where nothing sees refusals themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// By how much the socket's counter grew (`sk_drops`). A SYN that is refused adds one, a final
    /// ACK that is refused two: as a refusal and as a packet.
    pub counter: u64,
    /// Final ACKs that were seen to be refused; `None` where the kernel does not tell.
    pub acks: Option<u64>,
}

/// By how much the counters of a network namespace grew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `ListenDrops`.
    pub drops: u64,
    /// `ListenOverflows`.
    pub overflows: u64,
    /// `TCPReqQFullDrop`.
    pub syn_queue_full: u64,
}

/// Refusals by reason, in the order of [`DropReason::ALL`].
pub type Reasons = [u64; DROP_REASONS];

/// What the kernel programs counted.
#[must_use]
pub fn counted(queue: &QueueStats) -> Drops {
    Drops {
        total: Some(queue.drops.iter().sum()),
        by_reason: Some(named(&queue.drops)),
        clients: Some(queue.clients),
        clients_overflowed: queue.clients_unknown != 0,
    }
}

/// Refusals that were inferred.
#[must_use]
pub fn inferred(reasons: &Reasons) -> Drops {
    Drops {
        total: Some(reasons.iter().sum()),
        by_reason: Some(named(reasons)),
        clients: None,
        clients_overflowed: false,
    }
}

/// Listeners that refused nothing, which most are, share what tells so.
fn named(reasons: &Reasons) -> Arc<ByReason> {
    static NOTHING: OnceLock<Arc<ByReason>> = OnceLock::new();
    if reasons.iter().all(|count| *count == 0) {
        return NOTHING.get_or_init(|| Arc::new(each(reasons))).clone();
    }
    Arc::new(each(reasons))
}

fn each(reasons: &Reasons) -> ByReason {
    let all = DropReason::ALL.into_iter().zip(reasons);
    all.map(|(reason, count)| (reason.name().into(), *count)).collect()
}

/// Divides what a namespace counted among its listeners, by what each one's socket counted.
///
/// With one listener that refused anything the result is right, unless its socket dropped packets that
/// were no connection attempts too, and another reason than those told apart here refused some. With
/// several listeners, each reason is divided in proportion.
#[must_use]
pub fn infer(listeners: &[Traces], namespace: Counters) -> Vec<Reasons> {
    let counter: u64 = listeners.iter().map(|one| one.counter).sum();
    // Each refused ACK is in the sockets' counters twice, and in the namespace's once.
    let acks: Vec<u64> = match listeners.iter().map(|one| one.acks).collect::<Option<Vec<_>>>() {
        Some(seen) => seen,
        None => {
            let acks = counter.saturating_sub(namespace.drops).min(namespace.overflows);
            let room: Vec<u64> = listeners.iter().map(|one| one.counter / 2).collect();
            share(acks, &room)
        }
    };
    let mut syns: Vec<u64> = listeners
        .iter()
        .zip(&acks)
        .map(|(one, acks)| one.counter.saturating_sub(2 * acks))
        .collect();
    let overflows = namespace.overflows.saturating_sub(acks.iter().sum());
    let mut reasons: Vec<Reasons> = vec![[0; DROP_REASONS]; listeners.len()];
    let mut give = |reason: DropReason, counts: &[u64]| {
        for (reasons, count) in reasons.iter_mut().zip(counts) {
            reasons[reason as usize] = *count;
        }
    };
    give(DropReason::AcceptQueueFullAck, &acks);
    for (reason, count) in [
        (DropReason::AcceptQueueFullSyn, overflows),
        (DropReason::SynQueueFull, namespace.syn_queue_full),
    ] {
        let shares = share(count, &syns);
        give(reason, &shares);
        syns.iter_mut().zip(&shares).for_each(|(left, share)| *left -= share);
    }
    // What the namespace did not count was no refusal: a bare ACK that a deferred accept sets aside, a
    // packet that a filter dropped.
    let told = acks.iter().sum::<u64>() + overflows + namespace.syn_queue_full;
    give(DropReason::Other, &share(namespace.drops.saturating_sub(told), &syns));
    reasons
}

/// Divides `count` in proportion to `room`, and gives nobody more than it has room for.
fn share(count: u64, room: &[u64]) -> Vec<u64> {
    let all: u64 = room.iter().sum();
    let count = count.min(all);
    if count == 0 {
        return vec![0; room.len()];
    }
    let part = |room: u64| u128::from(count) * u128::from(room) / u128::from(all);
    let mut shares: Vec<u64> =
        room.iter().map(|room| u64::try_from(part(*room)).unwrap_or(*room)).collect();
    let mut left = count - shares.iter().sum::<u64>();
    for (share, room) in shares.iter_mut().zip(room) {
        let more = left.min(1).min(room - *share);
        *share += more;
        left -= more;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reasons(pairs: &[(DropReason, u64)]) -> Reasons {
        let mut all = [0; DROP_REASONS];
        pairs.iter().for_each(|(reason, count)| all[*reason as usize] = *count);
        all
    }

    #[test]
    fn one_listener_has_all_that_its_namespace_counted() {
        let one = Traces { counter: 3 + 2 * 4, acks: Some(4) };
        let namespace = Counters { drops: 7, overflows: 6, syn_queue_full: 1 };
        let expected = reasons(&[
            (DropReason::AcceptQueueFullSyn, 2),
            (DropReason::AcceptQueueFullAck, 4),
            (DropReason::SynQueueFull, 1),
        ]);
        assert_eq!(infer(&[one], namespace), [expected]);
        // A kernel that does not tell of refused ACKs: the two counters do.
        let older = Traces { acks: None, ..one };
        assert_eq!(infer(&[older], namespace), [expected]);
    }

    #[test]
    fn a_listener_that_refused_nobody_gets_nothing() {
        let quiet = Traces { counter: 0, acks: Some(0) };
        let full = Traces { counter: 5, acks: Some(0) };
        let namespace = Counters { drops: 5, overflows: 5, syn_queue_full: 0 };
        let expected = reasons(&[(DropReason::AcceptQueueFullSyn, 5)]);
        assert_eq!(infer(&[quiet, full], namespace), [[0; DROP_REASONS], expected]);
    }

    #[test]
    fn what_no_counter_explains_is_other() {
        let one = Traces { counter: 3, acks: Some(0) };
        let namespace = Counters { drops: 2, ..Counters::default() };
        assert_eq!(infer(&[one], namespace), [reasons(&[(DropReason::Other, 2)])]);
    }

    #[test]
    fn what_the_namespace_did_not_count_is_no_refusal() {
        let deferred = Traces { counter: 3, acks: None };
        assert_eq!(infer(&[deferred], Counters::default()), [[0; DROP_REASONS]]);
    }

    #[test]
    fn counted_drops_are_named_and_added_up() {
        let queue = QueueStats {
            drops: reasons(&[(DropReason::NoMemory, 2), (DropReason::PolicyOrRoute, 1)]),
            clients: 2,
            clients_unknown: 1,
            ..QueueStats::ZERO
        };
        let drops = counted(&queue);
        assert_eq!(
            (drops.total, drops.clients, drops.clients_overflowed),
            (Some(3), Some(2), true)
        );
        let by_reason = drops.by_reason.expect("reasons");
        assert_eq!((by_reason["no_memory"], by_reason["policy_or_route"]), (2, 1));
        assert_eq!(by_reason.len(), DROP_REASONS);
    }

    proptest! {
        #[test]
        fn nothing_is_made_and_nothing_is_lost(
            rooms in prop::collection::vec(0..1_u64 << 32, 1..20),
            count in 0..1_u64 << 36,
        ) {
            let shares = share(count, &rooms);
            prop_assert_eq!(shares.iter().sum::<u64>(), count.min(rooms.iter().sum()));
            prop_assert!(shares.iter().zip(&rooms).all(|(share, room)| share <= room));
        }

        #[test]
        fn inferred_refusals_are_no_more_than_anybody_counted(
            counters in prop::collection::vec(0..10_000_u64, 1..8),
            drops in 0..20_000_u64,
            overflows in 0..20_000_u64,
        ) {
            let listeners: Vec<_> =
                counters.iter().map(|counter| Traces { counter: *counter, acks: None }).collect();
            let namespace = Counters { drops, overflows, syn_queue_full: 0 };
            let inferred = infer(&listeners, namespace);
            for (one, reasons) in listeners.iter().zip(&inferred) {
                let acks = reasons[DropReason::AcceptQueueFullAck as usize];
                prop_assert!(reasons.iter().sum::<u64>() + acks <= one.counter);
            }
            let all: u64 = inferred.iter().flatten().sum();
            prop_assert!(all <= drops.max(overflows));
        }
    }
}
