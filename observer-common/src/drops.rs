//! Why the kernel dropped a connection attempt.

/// The reasons, in the order of [`crate::counters::QueueStats::drops`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The accept queue was full when the SYN came.
    AcceptQueueFullSyn = 0,
    /// The accept queue was full when the final ACK came: the client believes it is connected.
    AcceptQueueFullAck = 1,
    /// The SYN queue was full, and cookies are off.
    SynQueueFull = 2,
    /// The last quarter of `tcp_max_syn_backlog` is kept for clients known to be real, and cookies
    /// are off.
    SynQueueLastQuarter = 3,
    /// No memory for the request or for the connection.
    NoMemory = 4,
    /// No route back, or a security module or another policy said no.
    PolicyOrRoute = 5,
    /// Anything else that the kernel counts as a drop of a listener.
    Other = 6,
}

/// How many reasons there are.
pub const DROP_REASONS: usize = 7;

impl DropReason {
    /// All of them, in their order.
    pub const ALL: [Self; DROP_REASONS] = [
        Self::AcceptQueueFullSyn,
        Self::AcceptQueueFullAck,
        Self::SynQueueFull,
        Self::SynQueueLastQuarter,
        Self::NoMemory,
        Self::PolicyOrRoute,
        Self::Other,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptQueueFullSyn => "accept_queue_full_syn",
            Self::AcceptQueueFullAck => "accept_queue_full_ack",
            Self::SynQueueFull => "syn_queue_full",
            Self::SynQueueLastQuarter => "syn_queue_last_quarter",
            Self::NoMemory => "no_memory",
            Self::PolicyOrRoute => "policy_or_route",
            Self::Other => "other",
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u32 == number)
    }
}

/// How far `tcp_conn_request` came with a SYN, as bits.
pub mod stage {
    /// It began.
    pub const ENTERED: u64 = 1;
    /// `inet_reqsk_alloc` gave a request.
    pub const ALLOCATED: u64 = 2;
    /// `inet_reqsk_alloc` gave none.
    pub const NO_MEMORY: u64 = 4;
    /// `tcp_openreq_init_rwin` was called: nothing drops the SYN any more.
    pub const HANDLED: u64 = 8;
    /// The request has no listener, because a cookie stands for it.
    pub const COOKIE: u64 = 16;
    /// `tcp_peer_is_proven` did not know the client. It is asked in the last quarter of
    /// `tcp_max_syn_backlog` only, while cookies are off.
    pub const UNPROVEN: u64 = 32;
}

/// Why `tcp_conn_request` dropped a SYN with which it came as far as `stage`: `queue_full` where it counted
/// the SYN queue as full without cookies (`TCPReqQFullDrop`). What it called and counted cannot change
/// under another CPU's hands, as the queues do.
#[must_use]
#[inline(always)]
pub fn dropped_syn(stage: u64, queue_full: bool) -> DropReason {
    if stage & stage::UNPROVEN != 0 {
        DropReason::SynQueueLastQuarter
    } else if stage & stage::ALLOCATED != 0 {
        DropReason::PolicyOrRoute
    } else if stage & stage::NO_MEMORY != 0 {
        DropReason::NoMemory
    } else if queue_full {
        DropReason::SynQueueFull
    } else {
        DropReason::AcceptQueueFullSyn
    }
}

#[cfg(test)]
mod tests {
    use super::{
        DROP_REASONS, DropReason, dropped_syn,
        stage::{ALLOCATED, COOKIE, ENTERED, NO_MEMORY, UNPROVEN},
    };

    #[test]
    fn a_dropped_syn_came_no_further_than_what_dropped_it() {
        for (stage, queue_full, reason) in [
            (ENTERED, true, DropReason::SynQueueFull),
            (ENTERED, false, DropReason::AcceptQueueFullSyn),
            (ENTERED | NO_MEMORY, false, DropReason::NoMemory),
            (ENTERED | ALLOCATED, false, DropReason::PolicyOrRoute),
            (ENTERED | ALLOCATED | COOKIE, false, DropReason::PolicyOrRoute),
            (ENTERED | ALLOCATED | UNPROVEN, false, DropReason::SynQueueLastQuarter),
        ] {
            assert_eq!(dropped_syn(stage, queue_full), reason, "{stage}");
        }
    }

    #[test]
    fn reasons_are_numbered_as_they_are_listed() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert_eq!(DropReason::of(reason as u32), Some(reason));
        }
        assert_eq!(u32::try_from(DROP_REASONS).ok().and_then(DropReason::of), None);
    }
}
