//! Accepts by io_uring where only tracepoints can be had: by the completions of requests.
//!
//! A request that accepts one connection is there when it completes. One that accepts many (multishot)
//! completes for each connection without being named (`io_req_post_cqe`): it is known by its ring and by
//! what its program called it, which is noted when it is submitted, and when it is woken.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::{
    EbpfContext, bindings::BPF_ANY, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use observer_common::counters::{ListenerId, RING_SLOTS, RingKey, WorkerKey};

use crate::{
    accept::{failed, succeeds},
    accept_file::child_of_socket,
    accept_ring::listener_of_request,
    control::{idle, window_open},
    counter::SharedWord,
    globals::{
        ARGS_RING_COMPLETE, CQE_DATA, CQE_RESULT, RING_ACCEPT, RING_DATA, RING_DESCRIPTOR,
        RING_FILE, RING_FLAGS, RING_MULTISHOT_BIT, RING_OPCODE, RING_OWNER, RING_RESULT, RING_SLOT,
        SOCKET_SOCK,
    },
    ids,
    kernel::{Address, Object, Typed, read, read_at},
    listener::Listener,
    maps::RINGS,
    task,
};

/// 1 once there was an accept request for many connections.
static RINGS_KNOWN: SharedWord = SharedWord::new();

/// ECANCELED (uapi): the program took its request back, and accept was not called.
const ECANCELED: i32 = 125;
/// IOSQE_FIXED_FILE (uapi): the request's file is in the ring's own table.
const FIXED_FILE: u32 = 1;

/// `io_uring_submit_req(req)`, `io_uring_submit_sqe(req, …)` before: a request is about to be made; its file is looked up next.
#[btf_tracepoint(function = "io_uring_submit_req")]
fn ring_submitted(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the program's argument.
    if is_accept(unsafe { Typed::new(ctx.arg(0)) }) { submits(ctx.arg(0)) } else { 0 }
}

/// `io_uring_task_add(req, mask)`: what a request waited for is there.
#[btf_tracepoint(function = "io_uring_task_add")]
fn ring_woken(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the program's argument.
    if is_accept(unsafe { Typed::new(ctx.arg(0)) }) { wakes(ctx.arg(0)) } else { 0 }
}

#[inline(always)]
fn is_accept(request: impl Object) -> bool {
    request.get::<u8>(&RING_OPCODE).map(u32::from) == Some(RING_ACCEPT.load()) && !idle()
}

#[inline(never)]
fn submits(request: Address) -> i32 {
    if is_multishot(request)
        && read::<u32>(request, &RING_FLAGS).is_some_and(|flags| flags & FIXED_FILE == 0)
        && let Some(descriptor) = read::<u32>(request, &RING_DESCRIPTOR)
        && let Some(socket) = task::own_file_private(u64::from(descriptor))
        && let Some(sock) = read::<Address>(socket, &SOCKET_SOCK)
        && let Some(listener) = Listener::observed(sock)
    {
        note(request, listener.id);
    }
    0
}

#[inline(never)]
fn wakes(request: Address) -> i32 {
    if is_multishot(request)
        && let Some(listener) = listener_of_request(request)
    {
        note(request, listener.id);
    }
    0
}

/// Whether a request is one for many connections.
#[inline(always)]
fn is_multishot(request: Address) -> bool {
    // The bit is one of the lower 32 in all kernels that have it.
    let flags: u32 = read(request, &RING_FLAGS).unwrap_or(0);
    let bit = RING_MULTISHOT_BIT.load();
    bit < u32::BITS && flags >> bit & 1 == 1
}

/// Whether a request puts its connections into the ring's own table of files, and not among the
/// descriptors: what it says of itself lies where its file does (`io_kiocb_to_cmd`).
#[inline(always)]
fn has_slots(request: Address) -> bool {
    let offset = RING_FILE.load().wrapping_add(RING_SLOT.load());
    read_at::<u32>(request, offset as usize).is_some_and(|slot| slot != 0)
}

#[inline(always)]
fn key_of(request: Address) -> Option<RingKey> {
    Some(RingKey { ring: read(request, &RING_OWNER)?, data: read(request, &RING_DATA)? })
}

/// Notes whose connections a request accepts.
#[inline(always)]
fn note(request: Address, listener: ListenerId) {
    let Some(key) = key_of(request) else { return };
    let value = if has_slots(request) { listener | RING_SLOTS } else { listener };
    // SAFETY: a copy of an integer in a live map value.
    if RINGS.get_ptr(key).is_some_and(|noted| unsafe { *noted } == value) {
        return;
    }
    RINGS_KNOWN.set();
    // The map lets go of what was not used for long.
    let _no_memory = RINGS.insert(key, value, u64::from(BPF_ANY));
}

/// `io_uring_complete(ctx, req, …)`: a result is put into a ring; of many, without the request.
#[btf_tracepoint(function = "io_uring_complete")]
fn ring_completed(ctx: BtfTracePointContext) -> i32 {
    if idle() {
        return 0;
    }
    let request: Address = ctx.arg(1);
    if request.is_null() {
        return if RINGS_KNOWN.load() != 0 { one_of_many(ctx.as_ptr()) } else { 0 };
    }
    if read::<u8>(request, &RING_OPCODE).map(u32::from) != Some(RING_ACCEPT.load()) {
        return 0;
    }
    completes(ctx.as_ptr())
}

/// A request has its result, or its last.
#[inline(never)]
fn completes(ctx: *mut c_void) -> i32 {
    let request: Address = BtfTracePointContext::new(ctx).arg(1);
    if is_multishot(request)
        && let Some(key) = key_of(request)
    {
        let _was_not = RINGS.remove(key);
    }
    if window_open()
        && let Some(listener) = listener_of_request(request)
        && let Some(result) = read::<i32>(request, &RING_RESULT)
    {
        if result >= 0 {
            let file = if has_slots(request) {
                None
            } else {
                task::own_file_private(u64::from(result.cast_unsigned()))
            };
            let child = file.and_then(|socket| child_of_socket(socket, listener.id));
            return counts(ctx, listener.id, child.unwrap_or(0));
        }
        if result != -ECANCELED {
            let (pid, tid) = task::current_ids();
            let key = WorkerKey { listener: listener.id, pid, tid };
            failed(&BtfTracePointContext::new(ctx), key, result.unsigned_abs());
        }
    }
    0
}

/// A request for many has one of its results: a connection, since an error is its last.
#[inline(never)]
fn one_of_many(ctx: *mut c_void) -> i32 {
    let context = BtfTracePointContext::new(ctx);
    let Some((data, result)) = unnamed(&context) else { return 0 };
    let key = RingKey { ring: context.arg(0), data };
    let Some(noted) = RINGS.get_ptr(key) else { return 0 };
    // SAFETY: a copy of an integer in a live map value.
    let noted = unsafe { *noted };
    let listener = noted & !RING_SLOTS;
    if !window_open() || result < 0 {
        return 0;
    }
    if noted & RING_SLOTS != 0 {
        return counts(ctx, listener, 0);
    }
    // A program may call several of its requests by one name.
    let socket = task::own_file_private(u64::from(result.unsigned_abs()));
    match socket.and_then(|socket| child_of_socket(socket, listener)) {
        Some(child) => counts(ctx, listener, child),
        None => 0,
    }
}

#[inline(always)]
fn counts(ctx: *mut c_void, listener: ListenerId, child: u64) -> i32 {
    let (pid, tid) = task::current_ids();
    succeeds(ctx, listener, ids::pack(pid, tid), child)
}

/// What a program called the request of a completion, and its result: in the completion itself where that
/// is the third argument, else the third and the fourth.
#[inline(always)]
fn unnamed(ctx: &BtfTracePointContext) -> Option<(u64, i32)> {
    if ARGS_RING_COMPLETE.load() == 3 {
        let completion: Address = ctx.arg(2);
        return Some((read(completion, &CQE_DATA)?, read(completion, &CQE_RESULT)?));
    }
    let result: u64;
    // SAFETY: reads the context, within its bounds where there are more than three arguments. Assembly,
    // because LLVM may otherwise make the load before the comparison.
    unsafe {
        asm!(
            "{result} = *(u64 *)({context} + 24)",
            result = out(reg) result,
            context = in(reg) ctx.as_ptr(),
            options(nostack, readonly),
        );
    }
    Some((ctx.arg(2), result as i32))
}
