//! Every map. Sizes marked "set at load" are replaced by userspace before loading.

use core::{arch::asm, cell::UnsafeCell, mem::offset_of};

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, PerfEventArray},
};
use observer_common::{
    config::{Control, SOCK_SLOT_COUNT, TASK_SLOT_COUNT},
    counters::{
        Bracket, ClientKey, ErrorKey, INCOMPLETE_SLOTS, KnownSock, ListenerId, ListenerInfo, Misc,
        NoRoom, QueueStats, RingKey, SockSlot, Stamp, TaskSlot, TaskState, Unrecognised,
        UnrecognisedKey, WaitKey, WorkerKey, WorkerStats, incomplete_slot,
    },
    event::{DropScratch, TaskEvent},
};

use crate::kernel::{Object, PORTS_GIVEN, SOCK_PORT, wants_port};

/// What userspace says while the programs run, in a section of its own, which makes it a map of its own:
/// to read it takes two instructions, where a map of the usual kind takes a dozen.
#[unsafe(link_section = ".data.control")]
#[unsafe(no_mangle)]
static CONTROL: Told = Told(UnsafeCell::new(Control::CLOSED));

struct Told(UnsafeCell<Control>);

// SAFETY: userspace alone writes it, and it is read by volatile loads of aligned words.
unsafe impl Sync for Told {}

/// Whether a listener is or was there that is asked for, where ports were given. In a section of its
/// own, because userspace writes it too.
#[unsafe(link_section = ".data.port_seen")]
#[unsafe(no_mangle)]
static PORT_SEEN: Learnt = Learnt(UnsafeCell::new(0));

/// The notification that each CPU is in.
#[map]
pub(crate) static BRACKETS: PerCpuArray<Bracket> = PerCpuArray::with_max_entries(1, 0);

/// Listeners that something happened on. Set at load.
#[map]
pub(crate) static LISTENERS: HashMap<ListenerId, ListenerInfo> = HashMap::with_max_entries(1024, 0);

/// The socks that were looked up last in the next map, each in the place of its address.
#[map]
pub(crate) static SOCK_CACHE: Array<SockSlot> = Array::with_max_entries(SOCK_SLOT_COUNT, 0);

/// The socks that these are. Set at load. One that finds no room is recognised the slow way.
#[map]
pub(crate) static SOCKS: HashMap<u64, KnownSock> = HashMap::with_max_entries(2048, 0);

/// Their accept queues. Set at load.
#[map]
pub(crate) static QUEUES: PerCpuHashMap<ListenerId, QueueStats> =
    PerCpuHashMap::with_max_entries(1024, 0);

/// When each connection that waits to be accepted entered its queue, by its sock's address; a time of 0
/// where none waits.
#[map]
pub(crate) static ENQUEUED_AT: HashMap<u64, Stamp> = HashMap::with_max_entries(65_536, 0);

/// How long accepted connections had waited: a count for each bucket of each listener.
#[map]
pub(crate) static WAITS: PerCpuHashMap<WaitKey, u64> = PerCpuHashMap::with_max_entries(16_384, 0);

/// Clients that were refused.
#[map]
pub(crate) static CLIENTS: HashMap<ClientKey, u8> = HashMap::with_max_entries(16_384, 0);

/// Where a refusal is put together. Refusals happen with softirqs off, one at a time on each CPU.
#[map]
pub(crate) static DROP_SCRATCH: PerCpuArray<DropScratch> = PerCpuArray::with_max_entries(1, 0);

/// The backlog that a program asked for with `listen()`, by the socket's inode number. The oldest go
/// first: a socket that never listens leaves its own behind.
#[map]
pub(crate) static LISTEN_BACKLOG: LruHashMap<ListenerId, u32> =
    LruHashMap::with_max_entries(4_096, 0);

/// What each task did with each listener. Set at load.
#[map]
pub(crate) static WORKERS: PerCpuHashMap<WorkerKey, WorkerStats> =
    PerCpuHashMap::with_max_entries(1024, 0);

/// Accept errors other than EAGAIN.
#[map]
pub(crate) static ERRORS: PerCpuHashMap<ErrorKey, u64> = PerCpuHashMap::with_max_entries(4096, 0);

/// The latest wakeup of each task, in the place of its thread id: nothing is hashed to find it.
#[map]
pub(crate) static TASK_SLOTS: Array<TaskSlot> = Array::with_max_entries(TASK_SLOT_COUNT, 0);

/// Which task has each place that is taken. Whoever puts a task in here has the place for it.
#[map]
pub(crate) static SLOT_OWNER: HashMap<u32, u32> = HashMap::with_max_entries(TASK_SLOT_COUNT, 0);

/// The same for the tasks whose place is another's, by thread id. Set at load.
#[map]
pub(crate) static TASKS: HashMap<u32, TaskState> = HashMap::with_max_entries(1024, 0);

/// Wakeups within notifications that were not counted, see [`Unrecognised`].
#[map]
pub(crate) static UNRECOGNISED: HashMap<UnrecognisedKey, Unrecognised> =
    HashMap::with_max_entries(8_192, 0);

/// How many notes ENQUEUED_AT holds.
static STAMPS_HELD: Learnt = Learnt(UnsafeCell::new(0));

/// How many tasks have an entry, or more.
#[unsafe(link_section = ".data.known")]
#[unsafe(no_mangle)]
static TASKS_KNOWN: Learnt = Learnt(UnsafeCell::new(0));

/// How deep the SYN queue of listeners was seen to be, see [`SynSeen`].
static SYN_SEEN: SynSeen = SynSeen(UnsafeCell::new([0; SYN_PLACES]));

const SYN_PLACES: usize = 256;

/// For each of some listeners, in the place of its identity, the greatest depth that any CPU counted in an
/// interval, in one word: 20 bits of the identity, 24 of the interval's number, 20 of the depth.
struct SynSeen(UnsafeCell<[u64; SYN_PLACES]>);

// SAFETY: read and written by volatile loads and stores of aligned words.
unsafe impl Sync for SynSeen {}

/// Whether this depth of a listener's SYN queue is not above all that was counted in this interval; it is
/// taken to be counted next.
#[inline(always)]
pub(crate) fn syn_depth_is_known(listener: ListenerId, interval: u32, depth: u32) -> bool {
    if depth >= 1 << 20 {
        return false;
    }
    let place = listener as usize & (SYN_PLACES - 1);
    // The lower bits of the identity are in the place.
    let owner = listener >> 8 << 44 | u64::from(interval) << 40 >> 20;
    // SAFETY: the place is within the static.
    unsafe {
        let word = SYN_SEEN.0.get().cast::<u64>().add(place);
        let seen = word.read_volatile();
        if seen >= owner && seen - owner < 1 << 20 && seen - owner >= u64::from(depth) {
            return true;
        }
        word.write_volatile(owner | u64::from(depth));
    }
    false
}

struct Learnt(UnsafeCell<u64>);

// SAFETY: read by volatile loads of one aligned word, and written by volatile stores or atomic adds.
unsafe impl Sync for Learnt {}

/// Whether nothing is there that anybody asked for: ports were given, and no listener has been seen on
/// one of them. Refusals and cookies are counted all the same, because the kernel's counters are about
/// all listeners.
#[inline(always)]
pub(crate) fn idle() -> bool {
    // SAFETY: the static's own address.
    PORTS_GIVEN.load() != 0 && unsafe { PORT_SEEN.0.get().read_volatile() } == 0
}

/// A listener is there: whether it is asked for is looked at until the first that is.
#[inline(always)]
pub(crate) fn listens(sock: impl Object) {
    if idle()
        // By the tracepoint a port that the kernel chooses is not known yet.
        && sock.get(&SOCK_PORT).is_none_or(|port: u16| port == 0 || wants_port(port))
    {
        // SAFETY: the static's own address; everybody writes the same.
        unsafe { PORT_SEEN.0.get().write_volatile(1) };
    }
}

/// Whether any task may have an entry.
#[inline(always)]
pub(crate) fn tasks_known() -> bool {
    // SAFETY: the static's own address.
    unsafe { TASKS_KNOWN.0.get().read_volatile() != 0 }
}

/// Counts a task that gets an entry, or one whose entry is gone.
#[inline(always)]
pub(crate) fn change_tasks(change: i64) {
    // SAFETY: the static's own address.
    unsafe { add(TASKS_KNOWN.0.get(), change.cast_unsigned()) };
}

/// Whether there ever was an accept request of io_uring for many connections.
#[inline(always)]
pub(crate) fn rings_known() -> bool {
    // SAFETY: the static's own address.
    unsafe { RINGS_KNOWN.0.get().read_volatile() != 0 }
}

/// Notes that there is one.
#[inline(always)]
pub(crate) fn know_ring() {
    // SAFETY: the static's own address; everybody writes the same.
    unsafe { RINGS_KNOWN.0.get().write_volatile(1) };
}

/// How many notes ENQUEUED_AT holds.
#[inline(always)]
pub(crate) fn stamps() -> u64 {
    // SAFETY: the static's own address.
    unsafe { STAMPS_HELD.0.get().read_volatile() }
}

/// Counts notes that were made or taken away.
#[inline(always)]
pub(crate) fn change_stamps(change: i64) {
    // SAFETY: the static's own address.
    unsafe { add(STAMPS_HELD.0.get(), change.cast_unsigned()) };
}

/// This CPU's record of where it is on the receive path. Softirqs do not interrupt each other, and
/// nothing else uses it.
#[inline(always)]
pub(crate) fn this_cpu() -> Option<&'static mut Bracket> {
    // SAFETY: the only entry of this CPU's map value, which lives as long as the program.
    BRACKETS.get_ptr_mut(0).map(|cpu| unsafe { &mut *cpu })
}

/// What could not be counted, or was inferred.
#[map]
pub(crate) static MISC: PerCpuArray<Misc> = PerCpuArray::with_max_entries(1, 0);

/// The processes that `--pid` names and their descendants. Set at load.
#[map]
pub(crate) static PID_TREE: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

/// Tasks that were blocked in accept when the window opened, by thread id, with the listener. An
/// exit program does not run for calls that were under way when it was attached. Set at load.
#[map]
pub(crate) static IN_FLIGHT: HashMap<u32, ListenerId> = HashMap::with_max_entries(1, 0);

/// Tasks with an accept call that a signal ended, by thread id, with the listener, until it is known what
/// their programs got.
#[map]
pub(crate) static INTERRUPTED: HashMap<u32, ListenerId> = HashMap::with_max_entries(4_096, 0);

/// Accept requests of io_uring for many connections, with the listener of each ([`RING_SLOTS`] beside it).
#[map]
pub(crate) static RINGS: LruHashMap<RingKey, ListenerId> = LruHashMap::with_max_entries(4_096, 0);

/// Whether there ever was any.
static RINGS_KNOWN: Learnt = Learnt(UnsafeCell::new(0));

/// When each task was woken last, by thread id, as long as accepts are sent as events. Set at load.
#[map]
pub(crate) static WOKEN_AT: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1, 0);

/// Events that somebody reads one by one.
#[map]
pub(crate) static EVENTS: PerfEventArray<TaskEvent> = PerfEventArray::new(0);

/// Whether anything is to be counted now.
#[inline(always)]
pub(crate) fn window_open() -> bool {
    control().is_some()
}

/// What userspace said, while anything is to be counted.
#[inline(always)]
pub(crate) fn control() -> Option<Open> {
    (said(offset_of!(Control, open)) != 0).then_some(Open(()))
}

/// What userspace said, read one by one: see [`Control`].
pub(crate) struct Open(());

impl Open {
    #[inline(always)]
    pub(crate) fn interval(&self) -> u32 {
        said(offset_of!(Control, interval))
    }

    /// Whether the tracepoints have one of these roles.
    #[inline(always)]
    pub(crate) fn has_role(&self, role: u32) -> bool {
        said(offset_of!(Control, ready)) & role != 0
    }

    #[inline(always)]
    pub(crate) fn in_flight(&self) -> bool {
        said(offset_of!(Control, in_flight)) != 0
    }

    #[inline(always)]
    pub(crate) fn scan_ends(&self) -> bool {
        said(offset_of!(Control, scan_ends)) != 0
    }
}

#[inline(always)]
fn said(offset: usize) -> u32 {
    // SAFETY: the offset is that of a word of the static.
    unsafe { CONTROL.0.get().cast::<u8>().add(offset).cast::<u32>().read_volatile() }
}

/// Adds one to a counter. Per-CPU counters need the atomic form too: a softirq can interrupt a
/// program that runs in process context between its load and its store.
///
/// # Safety
///
/// `counter` must point into a map value that is alive.
#[inline(always)]
pub(crate) unsafe fn increment(counter: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe { add(counter, 1) };
}

/// Adds to a counter, in one instruction that does not fetch: the form that 5.10 knows too.
/// `core::sync::atomic` has no read-modify-write for BPF targets.
///
/// # Safety
///
/// `counter` must point into a map value that is alive, aligned to eight bytes.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {amount}",
            counter = in(reg) counter,
            amount = in(reg) amount,
            options(nostack),
        );
    }
}

/// Adds one to a counter of [`Misc`].
#[inline(always)]
pub(crate) fn misc(counter: impl Fn(*mut Misc) -> *mut u64) {
    if let Some(misc) = MISC.get_ptr_mut(0) {
        // SAFETY: `misc` is this CPU's map value, and `counter` names one of its fields.
        unsafe { increment(counter(misc)) };
    }
}

/// Listeners of which something was not counted, each in the place of its identity. In a section of its
/// own, because userspace reads it.
#[unsafe(link_section = ".data.incomplete")]
#[unsafe(no_mangle)]
static INCOMPLETE: Incomplete = Incomplete(UnsafeCell::new([0; INCOMPLETE_SLOTS]));

struct Incomplete(UnsafeCell<[u8; INCOMPLETE_SLOTS]>);

// SAFETY: bytes, each of which is only ever written as 1.
unsafe impl Sync for Incomplete {}

/// Counts something that found a map full.
#[inline(always)]
pub(crate) fn count_no_room(of: impl Fn(*mut NoRoom) -> *mut u64) {
    // SAFETY: only takes the address of a field of a live map value.
    misc(|misc| of(unsafe { &raw mut (*misc).no_room }));
}

/// Notes that something of a listener was not counted, for want of room in a map.
#[inline(always)]
pub(crate) fn is_incomplete(listener: ListenerId) {
    // SAFETY: the place is within the static.
    unsafe {
        INCOMPLETE.0.get().cast::<u8>().add(incomplete_slot(listener)).write_volatile(1);
    }
}

/// Counts something of a listener that has no rows: it is not counted at all.
#[inline(always)]
pub(crate) fn without_rows(listener: ListenerId) {
    // SAFETY: only takes the address of a field of a live map value.
    count_no_room(|full| unsafe { &raw mut (*full).listeners });
    is_incomplete(listener);
}
