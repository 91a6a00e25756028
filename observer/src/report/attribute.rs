//! Whose drops those of a network namespace were, where no hook sees them: bounds that follow from what each
//! socket and the namespace counted. Pure.
//!
//! A drop raises the socket's own counter (`sk_drops`) by one at least. So do packets that are no
//! connection attempts: the bare ACKs that TCP_DEFER_ACCEPT sets aside, a reset of a request. What the
//! namespace counted is therefore divided among those that can have had it, and where that leaves a choice,
//! the least and the most are told.

use std::ops::{Add, Sub};

use observer_common::drops::{DROP_REASONS, DropReason};

/// Drops by reason, in the order of [`DropReason::ALL`].
pub type Reasons = [u64; DROP_REASONS];

/// What is known of one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// By how much its socket's counter grew (`sk_drops`); `None` where that is not known.
    pub counter: Option<u64>,
    /// Final ACKs that were seen to find the accept queue full; `None` where the kernel does not tell.
    pub acks: Option<u64>,
    /// Whether its accept queue was full at any time, or may have been.
    pub overflowed: bool,
    /// Whether its SYN queue came into the last quarter of `tcp_max_syn_backlog` while cookies were off.
    pub last_quarter: bool,
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
    /// Whether final ACKs may have come with a cookie: one that is refused is in the socket's counter once,
    /// any other one twice.
    pub cookies: bool,
}

/// What was inferred of one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The least that it dropped.
    pub least: u64,
    /// The most that it can have dropped.
    pub most: u64,
    /// The least by reason; `None` where that does not add up to `least`.
    pub reasons: Option<Reasons>,
}

/// Bounds of a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bounds {
    least: u64,
    most: u64,
}

impl Add for Bounds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let most = self.most.saturating_add(other.most);
        Self { least: self.least.saturating_add(other.least), most }
    }
}

impl Sub<u64> for Bounds {
    type Output = u64;

    /// What is left of the most.
    fn sub(self, taken: u64) -> u64 {
        self.most.saturating_sub(taken)
    }
}

/// What is known of a listener whose namespace is gone, and with it what that counted.
#[must_use]
pub fn alone(one: &Traces) -> Share {
    let least = one.acks.unwrap_or(0);
    let most = one.counter.unwrap_or(u64::MAX).max(least);
    let reasons = reasons(*one, 0, 0, 0, 0);
    Share { least, most, reasons: (least == most || least > 0).then_some(reasons) }
}

/// Divides what a namespace counted among its listeners, in their order, where its counters grew while they were
/// read: between `low` and `high`, the sockets' own counters were read. What agrees with those is taken if it is
/// possible.
#[must_use]
pub fn attribute_between(listeners: &[Traces], low: Counters, high: Counters) -> Vec<Share> {
    let each_ack = if high.cookies { 0 } else { 1 };
    let dropped =
        |one: &Traces| Some(one.counter?.saturating_sub(each_ack * one.acks.unwrap_or(0)));
    let all = listeners.iter().try_fold(0_u64, |all, one| Some(all.saturating_add(dropped(one)?)));
    if low == high || all.is_some_and(|all| all <= high.drops) {
        let drops = all.map_or(high.drops, |all| all.clamp(low.drops, high.drops));
        let drops = if low == high { high.drops } else { drops };
        return attribute(listeners, Counters { drops, ..high });
    }
    let (low, high) = (attribute(listeners, low), attribute(listeners, high));
    low.iter()
        .zip(high)
        .map(|(low, high)| Share { most: high.most.max(low.most), ..*low })
        .collect()
}

/// Divides what a namespace counted among its listeners, in their order.
#[must_use]
pub fn attribute(listeners: &[Traces], namespace: Counters) -> Vec<Share> {
    let acks: Vec<u64> = listeners.iter().map(|one| one.acks.unwrap_or(0)).collect();
    let seen = acks.iter().sum();
    let each_ack = if namespace.cookies { 1 } else { 2 };
    // Beside the final ACKs that were seen.
    let drops = namespace.drops.saturating_sub(seen);
    let overflows = namespace.overflows.saturating_sub(seen);
    let full = namespace.syn_queue_full;
    let other = drops.saturating_sub(overflows.saturating_add(full));
    let mut room: Vec<u64> = listeners
        .iter()
        .zip(&acks)
        .map(|(one, acks)| match one.counter {
            Some(counter) => counter.saturating_sub(each_ack * acks),
            None => drops,
        })
        .collect();
    let whole = room.clone();
    let could_overflow = |at: usize, room: u64| if listeners[at].overflowed { room } else { 0 };
    let overflows = divide(overflows, &mut room, could_overflow);
    let full = divide(full, &mut room, |_, room| room);
    let other = divide(other, &mut room, |_, room| room);
    // Nobody dropped more than its counter and the reasons leave it.
    let sums: Vec<Bounds> = (0..listeners.len())
        .map(|at| {
            let sum = overflows[at] + full[at] + other[at];
            Bounds { most: sum.most.min(whole[at]), ..sum }
        })
        .collect();
    let most: u64 = sums.iter().fold(0, |all, one| all.saturating_add(one.most));
    let share = |at: usize| {
        let Bounds { least, most: own } = sums[at];
        let of_others = most.saturating_sub(own);
        let total = least.max(drops.saturating_sub(of_others)).min(own);
        let reasons =
            reasons(listeners[at], total, overflows[at].least, full[at].least, other[at].least);
        let (least, most) = (acks[at] + total, acks[at] + own);
        let adds_up = reasons.iter().sum::<u64>() == least;
        Share { least, most, reasons: adds_up.then_some(reasons) }
    };
    (0..listeners.len()).map(share).collect()
}

/// How much of `count` each can have had, of what it has `room` for and `could` have had. The least of it is
/// taken off the room.
fn divide(count: u64, room: &mut [u64], could: impl Fn(usize, u64) -> u64) -> Vec<Bounds> {
    let could: Vec<u64> = room.iter().enumerate().map(|(at, room)| could(at, *room)).collect();
    let all = could.iter().fold(0_u64, |all, one| all.saturating_add(*one));
    let bounds = could.iter().zip(room).map(|(own, room)| {
        let least = count.saturating_sub(all - own).min(*own);
        *room -= least;
        Bounds { least, most: count.min(*own) }
    });
    bounds.collect()
}

/// The least by reason, `total` being the least of all beside the final ACKs that were seen.
fn reasons(one: Traces, total: u64, overflows: u64, full: u64, other: u64) -> Reasons {
    // Where the kernel does not tell of them, what the socket counted once more.
    let unseen = one.counter.unwrap_or(0).saturating_sub(total).min(overflows);
    let acks = one.acks.map_or((unseen, unseen), |acks| (acks, 0));
    let mut reasons = [0; DROP_REASONS];
    reasons[DropReason::AcceptQueueFullAck as usize] = acks.0;
    reasons[DropReason::AcceptQueueFullSyn as usize] = overflows - acks.1;
    reasons[DropReason::SynQueueFull as usize] = full;
    let unknown =
        if one.last_quarter { DropReason::SynQueueLastQuarter } else { DropReason::Other };
    reasons[unknown as usize] = other;
    reasons
}

#[cfg(test)]
mod tests;
