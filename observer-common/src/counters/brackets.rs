//! What is under way: notifications, handshakes and accept calls, from their beginning to their end.

use super::ListenerId;
use crate::assert_layout;

/// The notification that a CPU is in: from `sk_data_ready` of a listener to its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bracket {
    /// The listener; 0 when no notification is open.
    pub listener: ListenerId,
    /// Address of the task that was current when it opened. A wakeup under another current task
    /// is not of this notification.
    pub task: u64,
    /// 1 when the end of the notification will be seen.
    pub ends: u64,
    /// The child that `inet_csk_complete_hashdance` is adding to an accept queue; 0 outside.
    pub child: u64,
    /// 1 within `tcp_v6_syn_recv_sock`, which calls the IPv4 function for mapped peers.
    pub in_v6: u64,
    /// The sock, the packet and the unhashed request that the outermost `tcp_v*_syn_recv_sock` was
    /// called with, where a return probe ends it, which has no arguments.
    pub final_ack: Call,
    /// The child that `tcp_create_openreq_child` made within it; [`CHILD_NONE`] when it failed, 0
    /// when it was not called.
    pub made: u64,
    /// 1 when `inet6_csk_route_req` found no route within it.
    pub no_route: u64,
    /// How far `tcp_conn_request` came: the bits of [`crate::drops::stage`].
    pub stage: u64,
    /// What it was called with, where a return probe ends it.
    pub request: Call,
    /// What the kernel had counted on this CPU before it, of the SYN queues of its network namespace that were
    /// full: `TCPReqQFullDoCookies` and `TCPReqQFullDrop`.
    pub full_before: [u64; 2],
    /// How far this CPU's copy of per-CPU memory is from the address that stands for all copies; 0 before it
    /// is known.
    pub copy: u64,
    /// A pointer that is read back as a number.
    pub pointer: u64,
    /// A wakeup of which it is not known yet whether its task slept.
    pub doubt: Doubt,
    /// The connection that entered an accept queue on this CPU last, while the notification that follows from
    /// it is not over; only where wakeups are sent as events.
    pub queued: Connection,
}
assert_layout!(Bracket, 12 * 8 + 2 * 24 + 32 + 16);

/// A connection of an accept queue, by what no other has: its memory may be another's later.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    /// `bpf_ktime_get_ns` when it first entered a queue; 0 where that was not seen.
    pub entered: u64,
    /// Address of its sock.
    pub child: u64,
}
assert_layout!(Connection, 16);

/// A task that was being woken while it still was on the run queue: it may have been on its way to
/// sleep, past the point of return.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Its address; 0 when there is no doubt.
    pub task: u64,
    /// How often it had gone to sleep: `task_struct.nvcsw`.
    pub slept: u64,
    /// The listener.
    pub listener: ListenerId,
    /// Address of the task that wakes it, or was current then.
    pub waker: u64,
}
assert_layout!(Doubt, 32);

/// Arguments of a call, for the return probe that ends it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The listener's sock.
    pub sock: u64,
    /// The packet.
    pub packet: u64,
    /// The request that leaves the SYN queue; 0 for one made from a cookie.
    pub request: u64,
}
assert_layout!(Call, 24);

/// `tcp_create_openreq_child` failed: no address.
pub const CHILD_NONE: u64 = 1;

/// Set in the value of an accept call under way once it has reached `inet_csk_accept`: a failure from
/// there on is about the queue, an earlier one is about descriptors.
pub const REACHED_QUEUE: u64 = 1 << 63;
/// Set in it when the call is not of the accept system calls: io_uring tries first whether there is a
/// connection, and the EAGAIN of that is its own affair.
pub const VIA_RING: u64 = 1 << 62;
/// Set in it when a probe sees the end of the call, which may accept several connections.
pub const UNTIL_EXIT: u64 = 1 << 61;
/// Beside the listener of an accept request of io_uring: its connections go into the ring's own table of
/// files.
pub const RING_SLOTS: u64 = 1 << 63;

/// An accept request of io_uring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingKey {
    /// Address of its ring.
    pub ring: u64,
    /// What its program calls it: `user_data`.
    pub data: u64,
}
assert_layout!(RingKey, 16);

/// All of these: what is left is the listener.
pub const IN_FLIGHT_FLAGS: u64 = REACHED_QUEUE | VIA_RING | UNTIL_EXIT;
