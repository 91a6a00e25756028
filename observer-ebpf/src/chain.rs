//! Chain wakes: one waiter of a shared epoll instance wakes the next.
//!
//! A level-triggered item that is still ready is put back into the instance's ready list, and
//! `ep_done_scan` (`ep_scan_ready_list` before 5.12) then wakes another waiter, from the context of
//! the first and outside every notification. The wakeup belongs to the listener that is in the ready
//! list.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use observer_common::counters::{ListenerId, TaskState};

use crate::{
    kernel::{
        Address, EPOLL_READY, EPOLL_SYSCALLS, EPOLL_WAITERS, FILE_PRIVATE, HAS_TASK_REGISTERS,
        ITEM_FILE, ITEM_READY, LIST_NEXT, SOCK_BACKLOG, SOCK_SOCKET, SOCKET_INODE, SOCKET_SOCK,
        WAITER_LINK, WAITER_TASK, read,
    },
    listener::Listener,
    maps::{LISTENERS, QUEUES, TASKS, increment, may_be_known, this_cpu, window_open},
    task, wakeup,
};

/// Items of a list that are looked at: a ready listener is put back to the list's end or its
/// beginning, and few others are ready at the same moment; who is woken is among the first that wait.
const ITEMS: usize = 8;

/// What the current task did with listeners. Tasks that no listener has woken yet, and that have not
/// accepted, are not followed.
#[inline(always)]
fn followed() -> Option<*mut TaskState> {
    let (_, tid) = task::current_ids();
    if may_be_known(tid) { TASKS.get_ptr_mut(tid) } else { None }
}

/// The current task puts the ready list of `epoll` in order.
#[inline(always)]
fn scan_begins(epoll: u64) {
    if let Some(state) = followed() {
        // SAFETY: `state` is a live map value, and its task is running here.
        unsafe { (*state).scanning = epoll };
    }
}

/// It is done.
#[inline(always)]
fn scan_ends<C: EbpfContext>(ctx: &C) {
    if let Some(state) = followed() {
        // SAFETY: as above.
        unsafe { (*state).scanning = 0 };
        if let Some(cpu) = this_cpu()
            && cpu.listener == 0
        {
            wakeup::settle_doubt(ctx, cpu);
        }
    }
}

/// `ep_done_scan(ep, …)`, or what was there before it.
#[fentry(function = "ep_done_scan")]
fn scan_enter(ctx: FEntryContext) -> i32 {
    scan_begins(ctx.arg(0));
    0
}

/// Its end.
#[fexit(function = "ep_done_scan")]
fn scan_exit(ctx: FExitContext) -> i32 {
    scan_ends(&ctx);
    0
}

/// The same where only kprobes can be had.
#[kprobe]
fn k_scan_enter(ctx: ProbeContext) -> i32 {
    scan_begins(ctx.arg(0).unwrap_or(0));
    0
}

/// The same where only kprobes can be had.
#[kretprobe]
fn k_scan_exit(ctx: RetProbeContext) -> i32 {
    scan_ends(&ctx);
    0
}

/// A wakeup outside every bracket.
///
/// Where the scan is seen, everything that its task wakes then waits on the same instance. With
/// tracepoints only, the same is inferred: waker and woken are both in a call that waits on one and
/// the same instance.
#[inline(always)]
pub(crate) fn wakeup(ctx: &BtfTracePointContext, woken: Address) {
    let (_, tid) = task::current_ids();
    if !may_be_known(tid) || !window_open() {
        return;
    }
    let Some(state) = TASKS.get_ptr(tid) else { return };
    // SAFETY: a copy of a live map value of integers.
    let state = unsafe { *state };
    let seen = state.scanning != 0;
    let epoll = if seen {
        // Before 5.12 the scan is all of the list's delivery, and interrupts have time to wake
        // others.
        let epoll = state.scanning as Address;
        if !waits_on(epoll, woken) {
            return;
        }
        epoll
    } else {
        match shared_instance(woken) {
            Some(epoll) => epoll,
            None => return,
        }
    };
    // What became ready during the scan is not in the list yet. The listener that woke the waker
    // is the one then, or the one that it knows, if a connection is in its queue.
    let listener = match ready_listener(epoll) {
        Some(listener) => listener,
        None if state.pending != 0 || has_connections(state.listener) => state.listener,
        None => return,
    };
    // SAFETY: `woken` is the program's argument.
    if unsafe { task::is_still_awake(woken) } {
        if seen {
            wakeup::doubt(listener, woken);
        }
        return;
    }
    if !seen && let Some(queue) = QUEUES.get_ptr_mut(listener) {
        // SAFETY: `queue` is this CPU's map value.
        unsafe { increment(&raw mut (*queue).inferred) };
    }
    // SAFETY: as above.
    let (pid, tid) = unsafe { task::ids(woken) };
    wakeup::count_wakeup(ctx, listener, woken, pid, tid);
}

/// The epoll instance that the current task and `woken` both wait on, by their system calls.
#[inline(always)]
fn shared_instance(woken: Address) -> Option<Address> {
    if HAS_TASK_REGISTERS.load() == 0 {
        // Nor is the helper that gives the current task with its type, on the oldest of these.
        return None;
    }
    let waker = task::current_typed();
    // SAFETY: `waker` is the current task, `woken` the program's argument.
    let (ours, theirs) = unsafe {
        let ours = task::in_syscall(waker, &EPOLL_SYSCALLS)?;
        (ours, task::in_syscall(woken, &EPOLL_SYSCALLS)?)
    };
    let epoll = task::file_private(waker, ours)?;
    (task::file_private(woken, theirs)? == epoll).then_some(epoll)
}

/// Whether a task that is being woken is in the wait queue of an epoll instance. `__wake_up_common`
/// takes the first that can be woken, and its entry leaves the queue only after that.
#[inline(always)]
fn waits_on(epoll: Address, woken: Address) -> bool {
    let head = epoll.cast::<u8>().wrapping_add(EPOLL_WAITERS.load() as usize) as Address;
    let Some(mut link) = read::<Address>(head, &LIST_NEXT) else { return false };
    for _ in 0..ITEMS {
        if link == head {
            return false;
        }
        let entry = link.cast::<u8>().wrapping_sub(WAITER_LINK.load() as usize) as Address;
        if read::<Address>(entry, &WAITER_TASK) == Some(woken) {
            return true;
        }
        match read(link, &LIST_NEXT) {
            Some(next) => link = next,
            None => return false,
        }
    }
    false
}

/// A listener in the ready list of an epoll instance.
#[inline(always)]
fn ready_listener(epoll: Address) -> Option<ListenerId> {
    let head = epoll.cast::<u8>().wrapping_add(EPOLL_READY.load() as usize) as Address;
    let mut link: Address = read(head, &LIST_NEXT)?;
    for _ in 0..ITEMS {
        if link == head {
            return None;
        }
        let item = link.cast::<u8>().wrapping_sub(ITEM_READY.load() as usize) as Address;
        if let Some(listener) = listener_of_file(read(item, &ITEM_FILE)?) {
            return Some(listener);
        }
        link = read(link, &LIST_NEXT)?;
    }
    None
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
