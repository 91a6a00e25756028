//! Chain wakes: one waiter of a shared epoll instance wakes the next.
//!
//! A level-triggered item that is still ready is put back into the instance's ready list, and
//! `ep_done_scan` (`ep_scan_ready_list` before 5.12) then wakes another waiter, from the context of
//! the first and outside every notification. The wakeup belongs to the listener that is in the ready
//! list.
//!
//! Every epoll_wait that returns something scans the list, shared or not. So where the kernel tells
//! what the woken task waits on, nothing is attached there, and the waker is known by the mutex of the
//! instance, which it holds. The end of the scan is followed only once a wakeup has been passed on: it
//! settles those in doubt.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use observer_common::{
    calls::kind,
    config::READY_WAKES,
    counters::{ListenerId, TaskState},
};

use crate::{
    control::control,
    counter::increment,
    doubt,
    globals::{
        EPOLL_OVERFLOW, EPOLL_OWNER, EPOLL_READY, EPOLL_WAITERS, FILE_PRIVATE, ITEM_FILE,
        ITEM_READY, LIST_NEXT, SOCK_BACKLOG, SOCK_SOCKET, SOCKET_INODE, SOCKET_SOCK, WAITER_LINK,
        WAITER_TASK,
    },
    kernel::{Address, Typed, read},
    listener::Listener,
    maps::{LISTENERS, QUEUES, this_cpu},
    no_room::misc,
    task, woken, worker,
};

/// Items of a list that are looked at: a ready listener is put back to the list's end or its
/// beginning, and few others are ready at the same moment; who is woken is among the first that wait.
const ITEMS: usize = 8;

/// `MUTEX_FLAGS` (kernel/locking/mutex.h).
const OWNER_FLAGS: u64 = 7;
/// `EP_UNACTIVE_PTR` (fs/eventpoll.c).
const NOT_ASIDE: u64 = u64::MAX;

/// What the current task did with listeners, if it is known.
#[inline(always)]
pub(crate) fn followed() -> Option<*mut TaskState> {
    worker::known_task(task::current_ids().1)
}

/// The current task puts the ready list of `epoll` in order.
#[inline(always)]
fn scan_begins(epoll: u64) {
    if let Some(state) = followed() {
        // SAFETY: `state` is a live map value, and its task is running here.
        unsafe { (*state).scanning = epoll };
    }
}

/// The current task has put the ready list in order.
#[inline(always)]
fn scan_ends<C: EbpfContext>(ctx: &C) {
    if let Some(state) = followed() {
        // SAFETY: as above.
        unsafe { (*state).scanning = 0 };
        if let Some(cpu) = this_cpu()
            && cpu.listener == 0
        {
            doubt::settle_doubt(ctx, cpu);
        }
    }
}

/// `ep_done_scan(ep, …)`, or what was there before it.
#[fentry(function = "ep_done_scan")]
fn scan_enter(ctx: FEntryContext) -> i32 {
    scan_begins(ctx.arg(0));
    0
}

/// The end of the scan.
#[fexit(function = "ep_done_scan")]
fn scan_exit(ctx: FExitContext) -> i32 {
    scan_ends(&ctx);
    0
}

/// The begin of a scan where only kprobes can be had.
#[kprobe]
fn k_scan_enter(ctx: ProbeContext) -> i32 {
    scan_begins(ctx.arg(0).unwrap_or(0));
    0
}

/// The end of a scan where only kprobes can be had.
#[kretprobe]
fn k_scan_exit(ctx: RetProbeContext) -> i32 {
    scan_ends(&ctx);
    0
}

/// The listener that a wakeup outside every bracket belongs to, if it is one that a waiter passes on and
/// not in doubt, with the kind of the wait ([`woken::with_kind`]). `woken` must come unchanged from the program's context.
#[inline(always)]
pub(crate) fn wakeup(woken: Address) -> Option<ListenerId> {
    let state = followed()?;
    let control = control()?;
    // SAFETY: copies of integers in a live map value.
    let (scanning, pending, last) =
        unsafe { ((*state).scanning, (*state).pending, (*state).listener) };
    let epoll = if scanning != 0 {
        // Before 5.12 the scan is all of the list's delivery, and interrupts have time to wake
        // others.
        let epoll = scanning as Address;
        if waits_on(epoll, woken) == 0 {
            return None;
        }
        epoll
    } else {
        scanned(woken)?
    };
    // What became ready during the scan is not in the list yet. The listener that woke the waker
    // is the one then, or the one that it knows, if a connection is in its queue.
    let listener = match ready_listener(epoll) {
        0 if pending != 0 || has_connections(last) => last,
        0 => return None,
        listener => listener,
    };
    // SAFETY: only takes the address of a field of a live map value.
    misc(|misc| unsafe { &raw mut (*misc).chained });
    let tracepoints_only = control.has_role(READY_WAKES);
    // SAFETY: `woken` is the program's argument.
    let awake = unsafe { task::is_still_awake(woken) };
    if awake && control.scan_ends() {
        doubt::doubt(woken::with_kind(listener, kind::EPOLL), woken);
        return None;
    }
    if awake && tracepoints_only {
        // SAFETY: as above.
        misc(|misc| unsafe { &raw mut (*misc).in_doubt });
        return None;
    }
    // With tracepoints only, nothing tells what else goes on; and without the end of the scan, nothing
    // tells whether a task that was on its way to sleep had got there.
    if (awake || tracepoints_only)
        && let Some(queue) = QUEUES.get_ptr_mut(listener)
    {
        // SAFETY: `queue` is this CPU's map value.
        unsafe { increment(&raw mut (*queue).inferred) };
    }
    Some(woken::with_kind(listener, kind::EPOLL))
}

/// The epoll instance that `woken` waits on, if the current task puts its ready list in order: it holds
/// the instance's mutex, and what becomes ready is no longer put aside (`ep_start_scan`,
/// `ep_done_scan`).
#[inline(always)]
fn scanned(woken: Address) -> Option<Address> {
    if EPOLL_OWNER.load() == u32::MAX || EPOLL_OVERFLOW.load() == u32::MAX {
        return None;
    }
    // SAFETY: `woken` is the program's argument.
    let (waits, task) = unsafe { (task::waits(woken), Typed::new(woken)) };
    if waits.kind != kind::EPOLL {
        return None;
    }
    let epoll = task::file_private(task, waits.argument)?;
    // The lowest bits of a mutex's owner are flags (kernel/locking/mutex.c).
    let owner = read::<u64>(epoll, &EPOLL_OWNER)? & !OWNER_FLAGS;
    (owner == task::current() as u64 && read::<u64>(epoll, &EPOLL_OVERFLOW)? == NOT_ASIDE)
        .then_some(epoll)
}

/// 1 when a task that is being woken is in the wait queue of an epoll instance. `__wake_up_common`
/// takes the first that can be woken, and its entry leaves the queue only after that. A function of its
/// own, as is the next, so that the verifier follows what comes after once and not for each turn.
#[inline(never)]
fn waits_on(epoll: Address, woken: Address) -> u64 {
    let head = epoll.cast::<u8>().wrapping_add(EPOLL_WAITERS.load() as usize) as Address;
    let Some(mut link) = read::<Address>(head, &LIST_NEXT) else { return 0 };
    for _ in 0..ITEMS {
        if link == head {
            return 0;
        }
        let entry = link.cast::<u8>().wrapping_sub(WAITER_LINK.load() as usize) as Address;
        if read::<Address>(entry, &WAITER_TASK) == Some(woken) {
            return 1;
        }
        match read(link, &LIST_NEXT) {
            Some(next) => link = next,
            None => return 0,
        }
    }
    0
}

/// A listener in the ready list of an epoll instance; 0 when there is none.
#[inline(never)]
fn ready_listener(epoll: Address) -> ListenerId {
    let head = epoll.cast::<u8>().wrapping_add(EPOLL_READY.load() as usize) as Address;
    let Some(mut link) = read::<Address>(head, &LIST_NEXT) else { return 0 };
    for _ in 0..ITEMS {
        if link == head {
            return 0;
        }
        let item = link.cast::<u8>().wrapping_sub(ITEM_READY.load() as usize) as Address;
        if let Some(listener) = read(item, &ITEM_FILE).and_then(listener_of_file) {
            return listener;
        }
        match read(link, &LIST_NEXT) {
            Some(next) => link = next,
            None => return 0,
        }
    }
    0
}

/// The known listener that a file is. Files of other kinds keep something else where a socket's
/// `socket` is: it leads to a socket that points back to it, or it is none.
#[inline(always)]
fn listener_of_file(file: Address) -> Option<ListenerId> {
    let socket: Address = read(file, &FILE_PRIVATE)?;
    let listener = Listener::of_sock(read(socket, &SOCKET_SOCK)?)?;
    (read::<Address>(listener.sock, &SOCK_SOCKET)? == socket
        && LISTENERS.get_ptr(listener.id).is_some())
    .then_some(listener.id)
}

/// Whether there are connections in a listener's accept queue now.
#[inline(always)]
fn has_connections(listener: ListenerId) -> bool {
    let Some(info) = LISTENERS.get_ptr(listener) else { return false };
    // SAFETY: a copy of an integer in a live map value.
    let sock = unsafe { (*info).sock } as Address;
    // The sock may have been freed and used again since: its socket's inode number tells.
    let socket: Option<Address> = read(sock, &SOCK_SOCKET);
    socket.and_then(|socket| read::<u64>(socket, &SOCKET_INODE)) == Some(listener)
        && read::<u32>(sock, &SOCK_BACKLOG).is_some_and(|depth| depth != 0)
}
