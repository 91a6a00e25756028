//! Refused connection attempts: as the kernel programs counted them, or, with tracepoints only, as
//! the socket's own counter and those of its network namespace let them be inferred. Pure.

use std::sync::{Arc, OnceLock};

use observer_common::{counters::QueueStats, drops::DropReason};

use crate::{
    model::{ByReason, Drops},
    report::attribute::{Reasons, Share},
};

/// What the kernel programs counted.
#[must_use]
pub fn counted(queue: &QueueStats) -> Drops {
    Drops {
        total: Some(queue.drops.iter().sum()),
        at_most: None,
        by_reason: Some(named(&queue.drops)),
        clients: Some(queue.clients),
        clients_overflowed: queue.clients_unknown != 0,
    }
}

/// What was inferred: a number where it is known, or the least where that is more than nothing.
#[must_use]
pub fn inferred(share: &Share) -> Drops {
    let known = share.least == share.most;
    let told = known || share.least > 0;
    Drops {
        total: told.then_some(share.least),
        at_most: (!known && share.most != u64::MAX).then_some(share.most),
        by_reason: share.reasons.filter(|_| told).map(|reasons| named(&reasons)),
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

#[cfg(test)]
mod tests {
    use observer_common::drops::DROP_REASONS;

    use super::*;

    #[test]
    fn what_was_inferred_is_told_as_far_as_it_is_known() {
        let mut reasons = [0; DROP_REASONS];
        reasons[DropReason::SynQueueFull as usize] = 4;
        let share = |least, most| inferred(&Share { least, most, reasons: Some(reasons) });
        let known = share(4, 4);
        assert_eq!((known.total, known.at_most), (Some(4), None));
        assert_eq!(known.by_reason.expect("reasons")["syn_queue_full"], 4);
        let least = share(4, 9);
        assert_eq!((least.total, least.at_most), (Some(4), Some(9)));
        assert!(least.by_reason.is_some());
        let nothing = inferred(&Share { least: 0, most: 9, reasons: Some([0; DROP_REASONS]) });
        assert_eq!((nothing.total, nothing.at_most, nothing.by_reason), (None, Some(9), None));
    }

    #[test]
    fn counted_drops_are_named_and_added_up() {
        let queue = QueueStats {
            drops: std::array::from_fn(|index| match DropReason::ALL[index] {
                DropReason::NoMemory => 2,
                DropReason::PolicyOrRoute => 1,
                _ => 0,
            }),
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
}
