//! Wakeups: which tasks a listener's notification makes runnable, and what became of each.
//!
//! A bracket is open on a CPU from `sk_data_ready` of a listener to the end of that notification.
//! What `sched_waking` names in between was woken by the listener. Where `sock_def_readable` can be
//! hooked, its entry and its exit are the bracket. With tracepoints only, nothing marks the end, so
//! the bracket closes at the next thing that this CPU is seen to do on the receive path:
//! another socket's notification, a change of a connection's state (a FIN or a reset wakes tasks by
//! `sk_state_change`, after the state changed), or the end of the NAPI run.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use aya_log_ebpf::debug;
use observer_common::{
    counters::{Bracket, ListenerId, Unrecognised, UnrecognisedKey},
    event::EventKind,
    room::Room,
};

use crate::{
    control::{idle, window_open},
    counter::increment,
    doubt::{doubt, leave_doubt, settle_doubt},
    epoll_chain, events,
    globals::{PREEMPT_RT, SOCK_STATE, STATE_LISTEN},
    ids,
    kernel::{Address, Object, Typed, field, read},
    listener::Listener,
    maps::{UNRECOGNISED, this_cpu},
    no_room::{count_no_room, mark_incomplete, misc},
    room::make,
    task,
    woken::{count, with_kind},
    worker::tasks_known,
};

/// Opens this CPU's bracket for a listener. `ends` says whether its end will be seen.
#[inline(always)]
pub(crate) fn open_bracket(listener: ListenerId, ends: bool) {
    if let Some(cpu) = this_cpu() {
        cpu.listener = listener;
        cpu.task = task::current() as u64;
        cpu.ends = u64::from(ends);
        leave_doubt(cpu);
    }
}

/// Whether the bracket of this CPU is that of another task, which was preempted within it. Only a real-time
/// kernel does that: elsewhere another task is current only once the bracket is over.
#[inline(always)]
fn is_preempted(cpu: &Bracket) -> bool {
    PREEMPT_RT.load() != u32::MAX && cpu.task != task::current() as u64
}

/// Closes this CPU's bracket, if one is open.
#[inline(always)]
pub(crate) fn close_bracket() {
    // The comparison keeps the cache line clean when nothing is open.
    if let Some(cpu) = this_cpu()
        && cpu.listener != 0
        && !is_preempted(cpu)
    {
        is_over(cpu);
    }
}

#[inline(always)]
fn is_over(cpu: &mut Bracket) {
    cpu.listener = 0;
    if events::asked(EventKind::Woken) {
        cpu.queued.entered = 0;
        cpu.queued.child = 0;
    }
}

/// `sock_def_readable(sk)`: the notification itself, of every socket that becomes readable.
#[fentry(function = "sock_def_readable")]
fn readable_enter(ctx: FEntryContext) -> i32 {
    if idle() {
        return 0;
    }
    let sock: Address = ctx.arg(0);
    // SAFETY: `sock` is the program's argument, and the state is a byte.
    if u32::from(unsafe { field::<u8>(sock, &SOCK_STATE) }) == STATE_LISTEN.load() {
        // SAFETY: the program's argument.
        notifies(&ctx, unsafe { Typed::new(sock) });
    }
    0
}

/// The begin of a notification where only kprobes can be had.
#[kprobe]
fn k_readable_enter(ctx: ProbeContext) -> i32 {
    if !idle()
        && let Some(sock) = ctx.arg::<Address>(0)
        && read::<u8>(sock, &SOCK_STATE).map(u32::from) == Some(STATE_LISTEN.load())
    {
        notifies(&ctx, sock);
    }
    0
}

/// A listener notifies those who wait for it.
#[inline(always)]
fn notifies<C: EbpfContext>(ctx: &C, sock: impl Object) {
    if window_open()
        && let Some(listener) = Listener::observed_listening(sock)
    {
        open_bracket(listener.id, true);
        debug!(ctx, "listener {} became ready", listener.id);
    }
}

/// The end of a notification. The state is not asked for again: the listener may have closed meanwhile.
#[inline(always)]
fn notified<C: EbpfContext>(ctx: &C) {
    if !idle()
        && let Some(cpu) = this_cpu()
        && cpu.listener != 0
        && !is_preempted(cpu)
    {
        settle_doubt(ctx, cpu);
        is_over(cpu);
    }
}

/// The end of `sock_def_readable`.
#[fexit(function = "sock_def_readable")]
fn readable_exit(ctx: FExitContext) -> i32 {
    notified(&ctx);
    0
}

/// The end of a notification where only kprobes can be had.
#[kretprobe]
fn k_readable_exit(ctx: RetProbeContext) -> i32 {
    notified(&ctx);
    0
}

/// `napi_poll(napi, work, budget)`: the end of one NAPI run, and of everything notified in it.
#[btf_tracepoint(function = "napi_poll")]
fn napi_done(_ctx: BtfTracePointContext) -> i32 {
    if !idle() {
        close_bracket();
    }
    0
}

/// `sched_waking(task)`: a sleeping task is about to be made runnable. Every wakeup of the host comes
/// here: most are within no notification, and by a task that observer does not know.
#[btf_tracepoint(function = "sched_waking")]
fn waking(ctx: BtfTracePointContext) -> i32 {
    let listener = match this_cpu() {
        Some(cpu) if cpu.listener != 0 => in_notification(ctx.as_ptr(), cpu),
        _ if tasks_known() && epoll_chain::followed().is_some() => chained(ctx.as_ptr()),
        _ => return 0,
    };
    if listener == 0 {
        return 0;
    }
    let woken: Address = ctx.arg(0);
    // SAFETY: `woken` is the program's argument.
    let (pid, tid) = unsafe { task::ids(woken) };
    count(ctx.as_ptr(), listener, woken, ids::pack(pid, tid))
}

/// The listener that a wakeup belongs to while a notification is open on this CPU, [`with_kind`]; 0 where it
/// is none's, or in doubt. A function of its own, as is the next, so that a wakeup that is none of these saves no
/// registers for it.
#[inline(never)]
fn in_notification(ctx: *mut c_void, cpu: &mut Bracket) -> u64 {
    if cpu.task != task::current() as u64 {
        if !is_preempted(cpu) {
            is_over(cpu);
        }
        return chained(ctx);
    }
    let ctx = BtfTracePointContext::new(ctx);
    settle_doubt(&ctx, cpu);
    let woken: Address = ctx.arg(0);
    // SAFETY: `woken` is the program's argument.
    unsafe {
        let awake = task::is_still_awake(woken);
        let Some(kind) = task::may_wait(woken) else {
            if !awake {
                let _counted = is_unrecognised(cpu.listener, task::ids(woken).0, woken);
            }
            return 0;
        };
        let listener = with_kind(cpu.listener, kind);
        if !awake {
            return listener;
        }
        if cpu.ends != 0 {
            doubt(listener, woken);
        } else {
            // SAFETY: only takes the address of a field of a live map value.
            misc(|misc| &raw mut (*misc).in_doubt);
        }
    }
    0
}

/// Counts a wakeup out of a call that is not known to wait for listeners: it is of an interrupt, or the
/// task waits in a way of its own. A function of its own, because it is rare.
#[inline(never)]
fn is_unrecognised(listener: ListenerId, pid: u32, woken: Address) -> i32 {
    let key = UnrecognisedKey { listener, pid, zero: 0 };
    let found = UNRECOGNISED.get_ptr_mut(key).or_else(|| {
        let new = Unrecognised { wakeups: 0, comm: task::name(woken) };
        let (at, first) = (&key, &new);
        let _made = make(Room::Unrecognised, &UNRECOGNISED, at, first);
        UNRECOGNISED.get_ptr_mut(key)
    });
    match found {
        // SAFETY: a live map value.
        Some(found) => unsafe { increment(&raw mut (*found).wakeups) },
        None => {
            // SAFETY: only takes the address of a field of a live map value.
            count_no_room(|full| unsafe { &raw mut (*full).wakeups });
            mark_incomplete(listener);
        }
    }
    0
}

/// The listener that a wakeup outside every notification belongs to, where a task that is known wakes another.
#[inline(never)]
fn chained(ctx: *mut c_void) -> u64 {
    epoll_chain::wakeup(BtfTracePointContext::new(ctx).arg(0)).unwrap_or(0)
}
