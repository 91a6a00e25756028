//! In which order listeners come, and which of them are idle.

use std::cmp::Ordering;

use super::tally::Tally;
use observer::model::Listener;

/// Whether a listener has nothing to show, and nothing is wrong with it.
pub fn idle(listener: &Listener) -> bool {
    listener.findings.is_empty()
        // What is not known may be anything.
        && listener.accepted == Some(0)
        && listener.queued == Some(0)
        && listener.wakeups.is_some_and(|wakeups| wakeups.total == 0)
        && listener.accept_errors.values().all(|count| *count == 0)
        && listener.drops.total.unwrap_or(0) == 0
        && listener.drops.at_most.is_none()
        && listener.accept_queue.max == Some(0)
        && listener.accept_queue.now.unwrap_or(0) == 0
        // A flood may never come further than this.
        && listener.syn_queue.max.max(listener.syn_queue.now).unwrap_or(0) == 0
        && listener.syn_queue.cookies_sent.unwrap_or(0) == 0
}

/// The worst finding first: what loses connections must not be the line that the screen has no room for. Then
/// the herd that wakes most for nothing; then the busiest; then what still listens; then by port. The rest of
/// the comparison only keeps listeners in their places from one frame to the next.
pub fn by_trouble(a: &Listener, b: &Listener) -> Ordering {
    // Below two wakeups for a connection it is no herd, and its rest is not worth a place.
    let wasted = |listener: &Listener| match listener.herd_ratio {
        Some(ratio) if ratio >= 2.0 => Tally::of(listener).map_or(0, |tally| tally.wasted()),
        _ => 0,
    };
    let herd = wasted(b).cmp(&wasted(a));
    let worst = |listener: &Listener| listener.findings.iter().map(|one| one.severity).max();
    worst(b)
        .cmp(&worst(a))
        .then(herd)
        .then(b.accepted.cmp(&a.accepted))
        .then(a.closed.cmp(&b.closed))
        .then(a.port.cmp(&b.port))
        .then_with(|| a.address.cmp(&b.address))
        .then(a.netns.cmp(&b.netns))
        .then(a.inode.cmp(&b.inode))
}
