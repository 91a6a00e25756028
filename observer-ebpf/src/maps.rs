//! The maps. Sizes that are "set at load" are replaced by userspace before loading. Words that userspace writes or
//! reads are statics in the files of their subjects: `control`, `no_room`.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, PerfEventArray},
};
use observer_common::{
    config::{SOCK_SLOT_COUNT, TASK_SLOT_COUNT},
    counters::{
        Bracket, ClientKey, ErrorKey, KnownSock, ListenerId, ListenerInfo, Misc, QueueStats,
        RingKey, RunSinceWoken, SockSlot, Stamp, TaskSlot, TaskState, Unrecognised,
        UnrecognisedKey, WaitKey, WorkerKey, WorkerStats,
    },
    event::{DropScratch, TaskEvent},
    watch::Walk,
};

/// The notification that each CPU is in.
#[map]
pub(crate) static BRACKETS: PerCpuArray<Bracket> = PerCpuArray::with_max_entries(1, 0);

/// Listeners on which something was counted, and those for which userspace made room. Size set at load.
#[map]
pub(crate) static LISTENERS: HashMap<ListenerId, ListenerInfo> = HashMap::with_max_entries(1024, 0);

/// Listeners that began or ended in the window, and on which nothing was counted: they take no room that a busy one
/// needs. Size set at load.
#[map]
pub(crate) static QUIET: HashMap<ListenerId, ListenerInfo> = HashMap::with_max_entries(1024, 0);

/// A cache of [`SOCKS`]: the sock that was looked up last for each slot, by its address.
#[map]
pub(crate) static SOCK_CACHE: Array<SockSlot> = Array::with_max_entries(SOCK_SLOT_COUNT, 0);

/// Socks that are known to be listeners, by address. Size set at load. A sock that finds no room is recognised
/// anew each time.
#[map]
pub(crate) static SOCKS: HashMap<u64, KnownSock> = HashMap::with_max_entries(2048, 0);

/// Counts of accept queues and SYN queues, by listener. Size set at load.
#[map]
pub(crate) static QUEUES: PerCpuHashMap<ListenerId, QueueStats> =
    PerCpuHashMap::with_max_entries(1024, 0);

/// When each connection that waits to be accepted entered its queue, by the address of its sock; the time is
/// 0 where none waits. Size set at load.
#[map]
pub(crate) static ENQUEUED_AT: HashMap<u64, Stamp> = HashMap::with_max_entries(4_096, 0);

/// Histogram of how long accepted connections had waited: a count for each bucket of each listener, which all CPUs share.
/// Size set at load.
#[map]
pub(crate) static WAITS: HashMap<WaitKey, u64> = HashMap::with_max_entries(8_192, 0);

/// Clients whose connection attempts were dropped. Size set at load.
#[map]
pub(crate) static CLIENTS: HashMap<ClientKey, u8> = HashMap::with_max_entries(4_096, 0);

/// Memory in which a drop's event is put together. Drops happen with softirqs off, one at a time on each CPU.
#[map]
pub(crate) static DROP_SCRATCH: PerCpuArray<DropScratch> = PerCpuArray::with_max_entries(1, 0);

/// The backlog that a program asked for with `listen()`, by the socket's inode number. The oldest go
/// first, and are not known then: a socket that never listens leaves its own behind.
#[map]
pub(crate) static LISTEN_BACKLOG: LruHashMap<ListenerId, u32> =
    LruHashMap::with_max_entries(4_096, 0);

/// What each task did with each listener, one row for all CPUs. Size set at load.
#[map]
pub(crate) static WORKERS: HashMap<WorkerKey, WorkerStats> = HashMap::with_max_entries(1024, 0);

/// Accept errors other than EAGAIN. Size set at load.
#[map]
pub(crate) static ERRORS: HashMap<ErrorKey, u64> = HashMap::with_max_entries(1024, 0);

/// Entries of tasks: the latest wakeup of each and what it did, in the slot of its thread id, which is found
/// without hashing.
#[map]
pub(crate) static TASK_SLOTS: Array<TaskSlot> = Array::with_max_entries(TASK_SLOT_COUNT, 0);

/// Owner of each slot of [`TASK_SLOTS`] that is taken, by thread id. To insert a task here is to take the slot
/// for it.
#[map]
pub(crate) static SLOT_OWNER: HashMap<u32, u32> = HashMap::with_max_entries(TASK_SLOT_COUNT, 0);

/// Entries of the tasks whose slot is another task's, by thread id. Size set at load.
#[map]
pub(crate) static TASKS: HashMap<u32, TaskState> = HashMap::with_max_entries(1024, 0);

/// Wakeups within notifications that were not counted, see [`Unrecognised`]. Size set at load.
#[map]
pub(crate) static UNRECOGNISED: HashMap<UnrecognisedKey, Unrecognised> =
    HashMap::with_max_entries(1024, 0);

/// What could not be counted, or was inferred.
#[map]
pub(crate) static MISC: PerCpuArray<Misc> = PerCpuArray::with_max_entries(1, 0);

/// Processes that `--pid` names and their descendants. Size set at load.
#[map]
pub(crate) static PID_TREE: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

/// Tasks that were blocked in accept when the window opened, by thread id, with the listener. An
/// exit program does not run for calls that were under way when it was attached. Size set at load.
#[map]
pub(crate) static IN_FLIGHT: HashMap<u32, ListenerId> = HashMap::with_max_entries(1, 0);

/// Tasks with an accept call that a signal ended, by thread id, with the listener, until it is known what
/// their programs got. Size set at load.
#[map]
pub(crate) static INTERRUPTED: HashMap<u32, ListenerId> = HashMap::with_max_entries(1024, 0);

/// Accept requests of io_uring for many connections, with the listener of each (and [`observer_common::counters::RING_SLOTS`]).
/// The oldest go first: their accepts are missing, as others by tracepoint that nothing tells.
#[map]
pub(crate) static RINGS: LruHashMap<RingKey, ListenerId> = LruHashMap::with_max_entries(4_096, 0);

/// Listeners whose wait queue was walked, with what walked it. One that finds no room here is walked once more.
#[map]
pub(crate) static WALKED: LruHashMap<ListenerId, Walk> = LruHashMap::with_max_entries(4_096, 0);

/// When each task was woken last, by thread id, where accepts are sent as events. Size set at load.
#[map]
pub(crate) static WOKEN_AT: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1, 0);

/// How long tasks have run since a listener woke them, by thread id, where somebody asks for it. Size set at load.
#[map]
pub(crate) static RUNS: HashMap<u32, RunSinceWoken> = HashMap::with_max_entries(1, 0);

/// CPU time of wakeups in vain by listener, in nanoseconds, where somebody asks for it. Size set at load.
#[map]
pub(crate) static WASTED: HashMap<ListenerId, u64> = HashMap::with_max_entries(1, 0);

/// Listeners that the filters do not choose, as far as is known: no event of them is sent. Userspace keeps it; the
/// programs add those that a process begins which is not below those of `--pid`. Size set at load.
#[map]
pub(crate) static MUTED: HashMap<ListenerId, u8> = HashMap::with_max_entries(1, 0);

/// Events that somebody reads one by one.
#[map]
pub(crate) static EVENTS: PerfEventArray<TaskEvent> = PerfEventArray::new(0);

/// This CPU's record of where it is on the receive path. Softirqs do not interrupt each other, and
/// nothing else uses it.
#[inline(always)]
pub(crate) fn this_cpu() -> Option<&'static mut Bracket> {
    // SAFETY: the only entry of this CPU's map value, which lives as long as the program.
    BRACKETS.get_ptr_mut(0).map(|cpu| unsafe { &mut *cpu })
}
