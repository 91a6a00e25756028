//! What tasks did with listeners.
//!
//! A task's entry holds what it did with the listener that it dealt with first (`stats_listener`): most tasks
//! deal with one. What it does with others has rows of its own, and so has everything once
//! the task is gone.
//!
//! An entry lies in the slot of its thread id. Where another task has that already, it lies in a hash
//! map.

use core::ptr::null;

use aya_ebpf::{EbpfContext, bindings::BPF_NOEXIST};
use observer_common::{
    config::TASK_SLOT_COUNT,
    counters::{self, ListenerId, TaskSlot, TaskState, WorkerKey, WorkerStats},
    event::EventKind,
    room::Room,
};

use crate::{
    control::window_open,
    cost,
    counter::{SharedWord, add},
    events, ids,
    kernel::{Address, opaque},
    maps::{SLOT_OWNER, TASK_SLOTS, TASKS, WORKERS},
    no_room::{count_no_room, count_without_rows, mark_incomplete, misc},
    room::{freed, make},
    task,
    worker_counters::{Counters, NOTHING, SILENT},
};

/// Number of tasks that have an entry, or more.
#[unsafe(link_section = ".data.known")]
#[unsafe(no_mangle)]
static TASKS_KNOWN: SharedWord = SharedWord::new();

/// Whether any task may have an entry.
#[inline(always)]
pub(crate) fn tasks_known() -> bool {
    TASKS_KNOWN.load() != 0
}

/// The slot of a thread id, whoever has it.
#[inline(always)]
fn slot(tid: u32) -> Option<*mut TaskSlot> {
    TASK_SLOTS.get_ptr_mut(index(tid))
}

#[inline(always)]
fn index(tid: u32) -> u32 {
    tid & (TASK_SLOT_COUNT - 1)
}

/// What a slot says while a task has it.
#[inline(always)]
fn owner(tid: u32) -> u64 {
    u64::from(tid) | counters::SLOT_TAKEN
}

/// The entry of a task that has one. Tasks that no listener has woken yet, and that have not accepted,
/// have none.
#[inline(always)]
pub(crate) fn known_task(tid: u32) -> Option<*mut TaskState> {
    let slot = slot(tid)?;
    // SAFETY: a live map value.
    unsafe {
        if (&raw const (*slot).tid).read_volatile() == owner(tid) {
            Some(&raw mut (*slot).state)
        } else if (&raw const (*slot).elsewhere).read_volatile() != 0 {
            TASKS.get_ptr_mut(tid)
        } else {
            None
        }
    }
}

/// The entry of a task, made where it has none; `None` where there is no room, which is counted.
#[inline(always)]
pub(crate) fn task(key: WorkerKey, who: Address) -> Option<&'static mut TaskState> {
    let WorkerKey { listener, pid, tid } = key;
    let state = known_task(tid).or_else(|| begins(listener, ids::pack(pid, tid), who))?;
    // SAFETY: a live map value. A task is woken while it sleeps, and does everything else itself.
    let state = unsafe { &mut *state };
    if state.pid != pid {
        let _was_another = renews(state, listener, ids::pack(pid, tid), who);
    }
    Some(state)
}

/// The key of a task's row: a listener and the ids that [`ids::pack`] put together.
#[inline(always)]
pub(crate) fn key(listener: ListenerId, ids: u64) -> WorkerKey {
    WorkerKey { listener, pid: (ids >> 32) as u32, tid: ids as u32 }
}

/// Makes the entry of a task. What is rare is a function of its own: the verifier would otherwise follow
/// what comes after for each of the ways through it.
#[inline(never)]
fn begins(listener: ListenerId, ids: u64, who: Address) -> Option<*mut TaskState> {
    let WorkerKey { pid, tid, .. } = key(listener, ids);
    let slot = slot(tid)?;
    // There is room for the owner of every slot. One that is taken is not tried for.
    if SLOT_OWNER.get_ptr(index(tid)).is_none()
        && SLOT_OWNER.insert(index(tid), tid, u64::from(BPF_NOEXIST)).is_ok()
    {
        TASKS_KNOWN.add(1);
        is_new();
        // SAFETY: a live map value, which is this task's from now on, and is told to be when it is
        // filled.
        unsafe {
            fill(&mut (*slot).state, listener, pid, who);
            (&raw mut (*slot).tid).write_volatile(owner(tid));
            return Some(&raw mut (*slot).state);
        }
    }
    // Another CPU is about to fill the slot for this task: a wakeup that was in doubt is counted when
    // its task runs already. An entry elsewhere would be a second one. What is counted meanwhile has a
    // row apart.
    // SAFETY: a copy of an integer in a live map value.
    if SLOT_OWNER.get_ptr(index(tid)).is_some_and(|taken| unsafe { *taken } == tid) {
        return None;
    }
    let mut new = TaskState::NONE;
    fill(&mut new, listener, pid, who);
    // By reference, as below: the stack of a program is 512 bytes in all.
    let entry = &new;
    if make(Room::Tasks, &TASKS, tid, entry) {
        TASKS_KNOWN.add(1);
        is_new();
        // SAFETY: a live map value.
        unsafe { add(&raw mut (*slot).elsewhere, 1) };
    }
    let state = TASKS.get_ptr_mut(tid);
    if state.is_none() {
        // SAFETY: only takes the address of a field of a live map value.
        count_no_room(|full| unsafe { &raw mut (*full).tasks });
        mark_incomplete(listener);
    }
    state
}

/// Makes the entry of another task with the same thread id a new one: the other's end was not seen.
#[inline(never)]
fn renews(state: &mut TaskState, listener: ListenerId, ids: u64, who: Address) -> i32 {
    let WorkerKey { pid, tid, .. } = key(listener, ids);
    let _moved = moves(state, tid);
    fill(state, listener, pid, who);
    have_moved();
    0
}

/// Writes the entry of a task that did nothing yet.
#[inline(always)]
fn fill(state: &mut TaskState, listener: ListenerId, pid: u32, who: Address) {
    state.listener = listener;
    state.stats_listener = listener;
    state.pid = pid;
    state.pending = 0;
    state.wait = 0;
    state.scanning = 0;
    state.counted = 0;
    state.interrupted = 0;
    state.stats = new_row(who);
}

/// A new row of a task, or of the current one where none is given.
#[inline(always)]
fn new_row(who: Address) -> WorkerStats {
    // Zeros that LLVM knows as such are written by a loop over the bytes, which the verifier follows step by
    // step.
    let zero = opaque(0);
    WorkerStats {
        wakeups: zero,
        won: zero,
        lost: zero,
        failed: zero,
        silent: zero,
        accepted: zero,
        eagain: zero,
        comm: task::name(who),
    }
}

/// Adds one to counters of what the task of `key` does with its listener: in the task's entry, where that is
/// about this listener. For [`NOTHING`] it does nothing.
#[inline(always)]
pub(crate) fn count(
    state: Option<&mut TaskState>,
    key: WorkerKey,
    who: Address,
    counters: Counters,
) {
    // A row that is made for nothing would be a worker without a deed.
    if counters.0 == NOTHING.0 {
        return;
    }
    let WorkerKey { listener, pid, tid } = key;
    match state {
        // SAFETY: a live map value.
        Some(state) if state.stats_listener == listener => unsafe {
            counters.increment(&raw mut state.stats);
        },
        _ => {
            let _counted = count_in_own_row(listener, ids::pack(pid, tid), who, counters.0);
        }
    }
}

/// Adds to the worker's own row in WORKERS instead of its task's entry, made where it has none; where there is no
/// room, which is counted, in the listener's own row, so that the listener's sums stay right.
#[inline(never)]
fn count_in_own_row(listener: ListenerId, ids: u64, who: Address, counters: u32) -> i32 {
    let key = key(listener, ids);
    let mut row = WORKERS.get_ptr_mut(key);
    if row.is_none() {
        let new = new_row(who);
        let (at, stats) = (&key, &new);
        if make(Room::Workers, &WORKERS, at, stats) {
            is_new();
        } else if WORKERS.get_ptr(key).is_none() {
            // SAFETY: only takes the address of a field of a live map value.
            count_no_room(|full| unsafe { &raw mut (*full).workers });
        }
        row = WORKERS.get_ptr_mut(key).or_else(|| rest(key));
    }
    match row {
        // SAFETY: `row` is a live map value.
        Some(row) => unsafe { Counters(counters).increment(row) },
        None => {
            count_without_rows(listener);
        }
    }
    0
}

/// The listener's own row.
#[inline(always)]
fn rest(key: WorkerKey) -> Option<*mut WorkerStats> {
    WORKERS.get_ptr_mut(WorkerKey { pid: 0, tid: 0, ..key })
}

#[inline(always)]
fn is_new() {
    // SAFETY: only takes the address of a field of a live map value.
    misc(|misc| unsafe { &raw mut (*misc).workers });
}

/// Moves what a task's entry holds to a row of its own: the entry goes. A function of its own, so
/// that the verifier follows what comes after once.
#[inline(never)]
fn moves(state: &mut TaskState, tid: u32) -> i32 {
    // SAFETY: only takes the address of a field of a live map value.
    misc(|misc| unsafe { &raw mut (*misc).moves_begun });
    let key = WorkerKey { listener: state.stats_listener, pid: state.pid, tid };
    let stats = &state.stats;
    if !make(Room::Workers, &WORKERS, key, stats) {
        let row = WORKERS.get_ptr_mut(key).or_else(|| {
            // SAFETY: only takes the address of a field of a live map value.
            count_no_room(|full| unsafe { &raw mut (*full).workers });
            rest(key)
        });
        match row {
            // SAFETY: `row` is a live map value of eight-byte counters.
            Some(row) => unsafe { add_all(&mut *row, &state.stats) },
            None => {
                count_without_rows(key.listener);
            }
        }
    }
    0
}

#[inline(always)]
fn have_moved() {
    // SAFETY: only takes the address of a field of a live map value.
    misc(|misc| unsafe { &raw mut (*misc).moves_done });
}

/// Adds all counters of one row to another.
///
/// # Safety
///
/// `to` must be a live map value.
#[inline(always)]
unsafe fn add_all(to: &mut WorkerStats, from: &WorkerStats) {
    // SAFETY: the caller's promise.
    unsafe {
        add(&raw mut to.wakeups, from.wakeups);
        add(&raw mut to.won, from.won);
        add(&raw mut to.lost, from.lost);
        add(&raw mut to.failed, from.failed);
        add(&raw mut to.silent, from.silent);
        add(&raw mut to.accepted, from.accepted);
        add(&raw mut to.eagain, from.eagain);
    }
}

/// A task ends: an open wakeup ends without an accept, and the thread id may be given to another.
/// Once the window is closed nothing moves any more, so that the last reading is of one moment.
#[inline(always)]
pub(crate) fn ends<C: EbpfContext>(ctx: &C, tid: u32) {
    let Some(state) = known_task(tid) else { return };
    if !window_open() {
        return;
    }
    // SAFETY: `state` is a live map value, and its task does nothing more.
    let state = unsafe { &mut *state };
    cost::ends(tid, if state.pending == 0 { 0 } else { state.listener });
    if state.pending != 0 {
        let key = WorkerKey { listener: state.listener, pid: state.pid, tid };
        state.pending = 0;
        count(Some(state), key, null(), SILENT);
        if events::asked(EventKind::Silent) {
            let _sent = events::silent(ctx.as_ptr(), key.listener, ids::pack(key.pid, tid), null());
        }
    }
    let _moved = moves(state, tid);
    leaves(tid);
    have_moved();
}

/// Takes a task's entry away.
#[inline(always)]
fn leaves(tid: u32) {
    let Some(slot) = slot(tid) else { return };
    // SAFETY: a live map value; the slot is the task's until it is no longer taken.
    unsafe {
        if (*slot).tid == owner(tid) {
            (&raw mut (*slot).tid).write_volatile(0);
            if SLOT_OWNER.remove(index(tid)).is_ok() {
                TASKS_KNOWN.add(-1);
            }
        } else if TASKS.remove(tid).is_ok() {
            freed(Room::Tasks);
            TASKS_KNOWN.add(-1);
            add(&raw mut (*slot).elsewhere, (-1_i64).cast_unsigned());
        }
    }
}
