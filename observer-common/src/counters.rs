//! Keys and values of the kernel maps that counts live in.

use crate::{assert_layout, drops::DROP_REASONS, hist::DEPTH_BUCKETS};

/// A listener's identity in the kernel maps: the inode number of its socket.
///
/// All sockets of a host are inodes of one sockfs, so the number is unique among the sockets that
/// live, in whichever network namespace. Unlike a sock's address it is not reused by the slab, and
/// unlike the cookie it is there before anybody asks for it (`sock_alloc` in net/socket.c).
pub type ListenerId = u64;

/// SO_REUSEPORT is set on the listener.
pub const FLAG_REUSEPORT: u32 = 1;
/// The task that called `listen()` was of the processes that `--pid` names or below them.
pub const FLAG_OF_TREE: u32 = 2;

/// What is known of a listener, kept once per listener and not per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Address of the TCP sock when it was last seen. It may have been freed since: whoever follows
    /// it compares the inode number first.
    pub sock: u64,
    /// Socket cookie, 0 when nobody had asked the kernel for one (`skc_cookie`).
    pub cookie: u64,
    /// `bpf_ktime_get_ns` at its birth; 0 when it was older than the window.
    pub born: u64,
    /// `bpf_ktime_get_ns` when it stopped listening; 0 while it listens.
    pub closed: u64,
    /// Inode number of the network namespace (`net->ns.inum`).
    pub netns: u32,
    /// Thread group id of the task that called `listen()`; 0 when that was before the window.
    pub creator: u32,
    /// Limit on the accept queue when it was last seen (`sk_max_ack_backlog`).
    pub limit: u32,
    /// `sk_drops` when it stopped listening.
    pub drops: u32,
    /// Local port, host byte order.
    pub port: u16,
    /// AF_INET or AF_INET6.
    pub family: u16,
    /// [`FLAG_REUSEPORT`] and [`FLAG_OF_TREE`].
    pub flags: u32,
    /// Local address: all 16 bytes for IPv6, the first 4 for IPv4; network byte order.
    pub address: [u8; 16],
    /// Name of the task that called `listen()`.
    pub comm: [u8; 16],
}
assert_layout!(ListenerInfo, 88);

/// A listener's queues, per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Connections that entered the accept queue.
    pub queued: u64,
    /// Wakeups attributed by what waker and woken were doing, not by a bracket: those that one
    /// waiter of a shared epoll instance passes on.
    pub inferred: u64,
    /// Number of the interval that the maxima of one interval belong to.
    pub interval: u64,
    /// Greatest depth of the accept queue at an enqueue, the new connection included.
    pub depth_max: u64,
    /// The same of one interval.
    pub interval_depth_max: u64,
    /// Greatest depth of the SYN queue after a SYN, its request included.
    pub syn_max: u64,
    /// The same of one interval.
    pub interval_syn_max: u64,
    /// SYNs answered with a cookie and without a place in the SYN queue.
    pub cookies_sent: u64,
    /// SYNs for which the kernel decided on a cookie (`tcp_syn_flood_action`), also those that it
    /// refused afterwards.
    pub cookies_wanted: u64,
    /// Connections accepted with a known time of entering the queue.
    pub waits: u64,
    /// Longest accept wait, in nanoseconds.
    pub wait_max: u64,
    /// Number of the interval that `interval_wait_max` belongs to. Not the one above: accept runs in
    /// process context, and a softirq may interrupt it there.
    pub wait_interval: u64,
    /// Longest accept wait of that interval, in nanoseconds.
    pub interval_wait_max: u64,
    /// Distinct clients among the drops, as far as there was room to remember them.
    pub clients: u64,
    /// Drops whose client may be a new one or not: there was no room to remember it.
    pub clients_unknown: u64,
    /// Drops by [`crate::drops::DropReason`].
    pub drops: [u64; DROP_REASONS],
    /// Depth of the accept queue at each enqueue, by the buckets of [`crate::hist`].
    pub depth: [u64; DEPTH_BUCKETS],
}
assert_layout!(QueueStats, 8 * (15 + DROP_REASONS + DEPTH_BUCKETS));

impl QueueStats {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        queued: 0,
        inferred: 0,
        interval: 0,
        depth_max: 0,
        interval_depth_max: 0,
        syn_max: 0,
        interval_syn_max: 0,
        cookies_sent: 0,
        cookies_wanted: 0,
        waits: 0,
        wait_max: 0,
        wait_interval: 0,
        interval_wait_max: 0,
        clients: 0,
        clients_unknown: 0,
        drops: [0; DROP_REASONS],
        depth: [0; DEPTH_BUCKETS],
    };
}

/// One task's dealings with one listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerKey {
    /// The listener.
    pub listener: ListenerId,
    /// Thread group id: what userspace calls the process id. 0 for the row that takes what had no
    /// room of its own.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
}
assert_layout!(WorkerKey, 16);

/// What one task did with one listener, per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerStats {
    /// Wakeups by the listener, whatever became of them.
    pub wakeups: u64,
    /// Wakeups after which it accepted from the listener.
    pub won: u64,
    /// Wakeups after which its accept said EAGAIN.
    pub lost: u64,
    /// Wakeups after which its accept failed otherwise.
    pub failed: u64,
    /// Wakeups after which it waited again without having called accept.
    pub silent: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Accept calls that said EAGAIN.
    pub eagain: u64,
    /// The task's name when the row was made, on the CPU that made it; zeros on the others.
    pub comm: [u8; 16],
}
assert_layout!(WorkerStats, 72);

impl WorkerStats {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        wakeups: 0,
        won: 0,
        lost: 0,
        failed: 0,
        silent: 0,
        accepted: 0,
        eagain: 0,
        comm: [0; 16],
    };
}

/// An errno other than EAGAIN that accept returned to one task on one listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorKey {
    /// The task and the listener.
    pub worker: WorkerKey,
    /// The errno, positive.
    pub errno: u32,
    /// Keeps the key free of implicit padding; always 0.
    pub zero: u32,
}
assert_layout!(ErrorKey, 24);

/// The latest wakeup of one task, and what it did with the listener that it dealt with first.
///
/// Most tasks deal with one listener, so that one look-up finds all that an event of theirs changes.
/// What a task does with other listeners has rows of its own, and so has all that it did once it is
/// gone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// The listener that woke it last.
    pub listener: ListenerId,
    /// Thread group id.
    pub pid: u32,
    /// 1 while the wakeup's outcome is open, 0 once it is settled.
    pub pending: u32,
    /// Address of the epoll instance whose ready list the task is putting in order, where a probe
    /// sees that; 0 otherwise.
    pub scanning: u64,
    /// 1 from the exit of `inet_csk_accept` that counted a connection to the end of its system call.
    pub counted: u32,
    /// 1 after a signal ended an accept call on its home, until the task is seen to go on: if the signal
    /// ends the task, nobody gets the error.
    pub interrupted: u32,
    /// The listener that `stats` are about.
    pub home: ListenerId,
    /// What it did with that one.
    pub stats: WorkerStats,
}
assert_layout!(TaskState, 40 + 72);

impl TaskState {
    /// Of no task.
    pub const NONE: Self = Self {
        listener: 0,
        pid: 0,
        pending: 0,
        scanning: 0,
        counted: 0,
        interrupted: 0,
        home: 0,
        stats: WorkerStats::ZERO,
    };
}

/// Beside the thread id in a place that is taken: the idle tasks have the thread id 0.
pub const TAKEN: u64 = 1 << 32;

/// A place for a task, found by the lower bits of its thread id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskPlace {
    /// Thread id of the task that has it, with [`TAKEN`]; 0 while nobody has.
    pub tid: u64,
    /// Tasks that would have it too, and have an entry elsewhere.
    pub elsewhere: u64,
    /// The task's entry.
    pub state: TaskState,
}
assert_layout!(TaskPlace, 128);

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
    pub handshake: Call,
    /// The child that `tcp_create_openreq_child` made within it; [`CHILD_NONE`] when it failed, 0
    /// when it was not called.
    pub made: u64,
    /// 1 when that child was closed again at once.
    pub unmade: u64,
    /// 1 when `inet6_csk_route_req` found no route within it.
    pub no_route: u64,
    /// How far `tcp_conn_request` came: the bits of [`crate::drops::stage`].
    pub stage: u64,
    /// What it was called with, where a return probe ends it.
    pub request: Call,
    /// A wakeup of which it is not known yet whether its task slept.
    pub doubt: Doubt,
}
assert_layout!(Bracket, 9 * 8 + 2 * 24 + 32);

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
/// All of these: what is left is the listener.
pub const IN_FLIGHT_FLAGS: u64 = REACHED_QUEUE | VIA_RING | UNTIL_EXIT;

/// What could not be counted, and what was counted by inference; per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misc {
    /// Counts that found a map full.
    pub map_full: u64,
    /// Perf events that found their buffer full.
    pub events_lost: u64,
    /// Rows of workers that were made.
    pub workers: u64,
    /// Accepts whose own program was skipped, and which the end of the system call counted.
    pub recovered: u64,
    /// Tasks whose counts began to move from their own entry to rows.
    pub moves_begun: u64,
    /// The same, done. Whoever reads both maps while counts move may see them twice or not at all.
    pub moves_done: u64,
    /// Wakeups that one waiter of a shared epoll instance passed on.
    pub chained: u64,
    /// Rows of listeners that were made.
    pub listeners: u64,
    /// Rows of accept waits that were made.
    pub waits: u64,
}
assert_layout!(Misc, 72);

/// A sock that is a listener, in a place that others may take at any time.
///
/// Several CPUs may write one at once: what is read is of one write when `check` fits the rest.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SockPlace {
    /// Address of the sock.
    pub sock: u64,
    /// Address of its `struct socket`.
    pub socket: u64,
    /// The listener, and whether the sock has the accept queue.
    pub listener: u64,
    /// All of these, by exclusive or.
    pub check: u64,
}
assert_layout!(SockPlace, 32);

/// A sock that is a listener, by its address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSock {
    /// The listener.
    pub listener: ListenerId,
    /// Address of its `struct socket`: another sock in the same memory has another.
    pub socket: u64,
    /// 1 when the sock has the accept queue.
    pub has_queue: u64,
}
assert_layout!(KnownSock, 24);

/// A client that was refused by a listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    /// The listener.
    pub listener: ListenerId,
    /// Its address: all 16 bytes for IPv6, the first 4 for IPv4; network byte order.
    pub address: [u8; 16],
    /// Its port, host byte order.
    pub port: u16,
    /// Keeps the key free of implicit padding; always 0.
    pub zero: [u16; 3],
}
assert_layout!(ClientKey, 32);

/// A connection in an accept queue, by the address of its sock.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `bpf_ktime_get_ns` when it entered the queue.
    pub time: u64,
    /// The listener; 0 where tracepoints do not tell.
    pub listener: ListenerId,
}
assert_layout!(Stamp, 16);

/// A bucket of a listener's accept waits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitKey {
    /// The listener.
    pub listener: ListenerId,
    /// The bucket, by [`crate::waits`].
    pub bucket: u32,
    /// Keeps the key free of implicit padding; always 0.
    pub zero: u32,
}
assert_layout!(WaitKey, 16);
