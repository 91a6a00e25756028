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
    bindings::BPF_NOEXIST,
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use aya_log_ebpf::debug;
use observer_common::counters::{
    Bracket, Doubt, ListenerId, Unrecognised, UnrecognisedKey, WorkerKey,
};

use crate::{
    chain,
    kernel::{
        Address, Object, PREEMPT_RT, SOCK_STATE, STATE_LISTEN, TASK_ON_QUEUE, TASK_SLEPT, Typed,
        field, read,
    },
    listener::Listener,
    maps::{
        UNRECOGNISED, count_no_room, idle, increment, is_incomplete, misc, tasks_known, this_cpu,
        window_open,
    },
    task, worker, worker_counters,
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

/// Gives a wakeup in doubt up that nobody settled, if there is one: a scan has gone on elsewhere since, or
/// was interrupted.
#[inline(always)]
fn leave_doubt(cpu: &mut Bracket) {
    if cpu.doubt.task != 0 {
        cpu.doubt.task = 0;
        // SAFETY: only takes the address of a field of a live map value.
        misc(|misc| unsafe { &raw mut (*misc).in_doubt });
    }
}

/// Where the kind of a wait lies beside a listener, whose inode number is no more than 32 bits wide
/// (`get_next_ino`): functions of their own return one word.
const KIND: u32 = 56;

/// A listener with how somebody waits for it, by [`observer_common::calls::kind`].
#[inline(always)]
pub(crate) fn with_kind(listener: ListenerId, kind: u8) -> u64 {
    listener | u64::from(kind) << KIND
}

/// Notes that a wakeup found its task on the run queue, and how often it had slept until then. `listener`
/// is [`with_kind`].
///
/// A task goes to sleep with its run queue locked, and counts the sleep before it unlocks it
/// (`__schedule`). `try_to_wake_up` takes the same lock after `sched_waking`, so whether the task had
/// passed the point of return is known as soon as the wakeup is done, and not before.
#[inline(always)]
pub(crate) fn doubt(listener: u64, woken: Address) {
    if let Some(cpu) = this_cpu() {
        // SAFETY: `woken` is the program's argument.
        let slept = unsafe { field::<u64>(woken, &TASK_SLEPT) };
        let waker = task::current() as u64;
        leave_doubt(cpu);
        cpu.doubt = Doubt { task: woken as u64, slept, listener, waker };
    }
}

/// Counts the wakeup in doubt, if there is one and its task did go to sleep.
#[inline(always)]
pub(crate) fn settle_doubt<C: EbpfContext>(ctx: &C, cpu: &Bracket) {
    if cpu.doubt.task != 0 {
        settle(ctx.as_ptr());
    }
}

/// A function of its own, as is [`count`]: the verifier would otherwise follow what comes after for
/// each of the ways through it.
#[inline(never)]
fn settle(ctx: *mut c_void) -> i32 {
    let Some(cpu) = this_cpu() else { return 0 };
    let Doubt { task, slept, listener, waker } = cpu.doubt;
    // A scan may have gone on elsewhere, and left its doubt here.
    if waker != task::current() as u64 {
        leave_doubt(cpu);
        return 0;
    }
    cpu.doubt.task = 0;
    let woken = task as Address;
    if has_slept(woken, slept)
        && let Some((pid, tid)) = task::ids_by_address(woken)
    {
        return count(ctx, listener, woken, worker::both(pid, tid));
    }
    0
}

/// Whether a task that was on the run queue when a wakeup began, and had slept so often, went to sleep before
/// the wakeup took hold.
///
/// Off the queue it sleeps, though it may not have counted that yet: a waker that finds it off leaves it to
/// the task's own CPU, which is still in `__schedule`, without that lock (`ttwu_queue_wakelist`). So the
/// queue is asked first: by the time that CPU puts the task back, it has counted.
#[inline(always)]
fn has_slept(woken: Address, slept: u64) -> bool {
    read::<u8>(woken, &TASK_ON_QUEUE) == Some(0)
        || read::<u64>(woken, &TASK_SLEPT).is_some_and(|now| now != slept)
}

/// Closes this CPU's bracket, if one is open.
#[inline(always)]
pub(crate) fn close_bracket() {
    // The comparison keeps the cache line clean when nothing is open.
    if let Some(cpu) = this_cpu()
        && cpu.listener != 0
        && !is_preempted(cpu)
    {
        cpu.listener = 0;
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

/// The same where only kprobes can be had.
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

/// Its end. Not asked for the state again: the listener may have closed meanwhile.
#[inline(always)]
fn notified<C: EbpfContext>(ctx: &C) {
    if !idle()
        && let Some(cpu) = this_cpu()
        && cpu.listener != 0
        && !is_preempted(cpu)
    {
        settle_doubt(ctx, cpu);
        cpu.listener = 0;
    }
}

/// The end of `sock_def_readable`.
#[fexit(function = "sock_def_readable")]
fn readable_exit(ctx: FExitContext) -> i32 {
    notified(&ctx);
    0
}

/// The same where only kprobes can be had.
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
        _ if tasks_known() && chain::followed().is_some() => chained(ctx.as_ptr()),
        _ => return 0,
    };
    if listener == 0 {
        return 0;
    }
    let woken: Address = ctx.arg(0);
    // SAFETY: `woken` is the program's argument.
    let (pid, tid) = unsafe { task::ids(woken) };
    count(ctx.as_ptr(), listener, woken, worker::both(pid, tid))
}

/// The listener that a wakeup belongs to while a notification is open on this CPU, [`with_kind`]; 0 where it
/// is none's, or in doubt. A function of its own, as is the next, so that a wakeup that is none of these saves no
/// registers for it.
#[inline(never)]
fn in_notification(ctx: *mut c_void, cpu: &mut Bracket) -> u64 {
    if cpu.task != task::current() as u64 {
        if !is_preempted(cpu) {
            cpu.listener = 0;
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
        let _exists = UNRECOGNISED.insert(at, first, u64::from(BPF_NOEXIST));
        UNRECOGNISED.get_ptr_mut(key)
    });
    match found {
        // SAFETY: a live map value.
        Some(found) => unsafe { increment(&raw mut (*found).wakeups) },
        None => {
            // SAFETY: only takes the address of a field of a live map value.
            count_no_room(|full| unsafe { &raw mut (*full).wakeups });
            is_incomplete(listener);
        }
    }
    0
}

/// The same outside every notification, where a task that is known wakes another.
#[inline(never)]
fn chained(ctx: *mut c_void) -> u64 {
    chain::wakeup(BtfTracePointContext::new(ctx).arg(0)).unwrap_or(0)
}

/// Counts a task as woken by `listener`, which is [`with_kind`].
#[inline(never)]
fn count(ctx: *mut c_void, listener: u64, woken: Address, ids: u64) -> i32 {
    let (listener, kind) = (listener & !(u64::MAX << KIND), listener >> KIND);
    let key = worker::key(listener, ids);
    let WorkerKey { pid, tid, .. } = key;
    let mut state = worker::task(key, woken);
    if let Some(state) = &mut state {
        // Nobody else changes these now: `try_to_wake_up` holds the task's `pi_lock` here, and the
        // task itself sleeps, or has hardly begun to run where its wakeup was in doubt.
        let last = (state.pending != 0).then_some(state.listener);
        state.listener = listener;
        state.pending = 1;
        state.wait = kind as u16;
        if let Some(last) = last {
            let key = WorkerKey { listener: last, pid, tid };
            worker::count(Some(state), key, woken, worker_counters::SILENT);
        }
    }
    worker::count(state, key, woken, worker_counters::WAKEUPS);
    debug!(&BtfTracePointContext::new(ctx), "listener {} woke task {}", listener, tid);
    0
}
