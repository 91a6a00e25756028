//! Births and deaths of listeners, and the ends of connections that were not accepted.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use observer_common::{
    config::{READY_QUEUES, READY_WAKES, STATE_LIFE},
    event::EventKind,
};

use crate::{
    accept_wait,
    control::{control, idle, notice_port, window_open},
    events,
    globals::{
        ARGS_LISTEN_START, PORTS_GIVEN, SOCK_BACKLOG, SOCK_BACKLOG_LIMIT, SOCK_DROPS, SOCK_PORT,
        SOCK_SHUTDOWN, STATE_CLOSE, STATE_ESTABLISHED, STATE_LISTEN, STATE_SYN_RECV, wants_port,
    },
    kernel::{Address, Object, Typed, read, returned},
    listener::{Listener, port_of},
    listener_rows::{has_died, is_born},
    maps::LISTENERS,
    queue, wakeup,
};

/// `inet_sock_set_state(sk, oldstate, newstate)`. Every child of a listener passes from LISTEN to
/// SYN_RECV too, so that a death is LISTEN to CLOSE and nothing else.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<i32>(2).cast_unsigned() == STATE_LISTEN.load() {
        // SAFETY: the program's argument.
        notice_port(unsafe { Typed::new(ctx.arg(0)) });
    }
    let Some(control) = control() else { return 0 };
    if control.has_role(READY_WAKES) {
        // A connection's state changes before it wakes anybody: no notification of a listener reaches
        // beyond this point.
        wakeup::close_bracket();
    }
    let old = ctx.arg::<i32>(1).cast_unsigned();
    let new = ctx.arg::<i32>(2).cast_unsigned();
    let tells_life = control.has_role(STATE_LIFE);
    if new == STATE_CLOSE.load() {
        if tells_life && old == STATE_LISTEN.load() {
            return state_died(ctx.as_ptr());
        } else if tells_life {
            // SAFETY: the program's argument.
            closes(unsafe { Typed::new(ctx.arg(0)) });
        }
    } else if new == STATE_LISTEN.load() {
        if tells_life && old != new {
            return state_born(ctx.as_ptr());
        }
    } else if control.has_role(READY_QUEUES)
        && old == STATE_SYN_RECV.load()
        && new == STATE_ESTABLISHED.load()
    {
        accept_wait::established(ctx.arg(0));
    }
    0
}

/// What is rare is a function of its own, so that the other changes of state save no registers for it.
#[inline(never)]
fn state_born(ctx: *mut c_void) -> i32 {
    let ctx = BtfTracePointContext::new(ctx);
    born(&ctx, ctx.arg(0));
    0
}

#[inline(never)]
fn state_died(ctx: *mut c_void) -> i32 {
    let ctx = BtfTracePointContext::new(ctx);
    died(&ctx, ctx.arg(0));
    0
}

/// `RCV_SHUTDOWN | SEND_SHUTDOWN` (include/net/sock.h, `SHUTDOWN_MASK`).
const SHUT: u8 = 3;

/// `inet_csk_listen_start(sk, …)`: its end, when it listens.
#[fexit(function = "inet_csk_listen_start")]
fn listen_start(ctx: FExitContext) -> i32 {
    // SAFETY: the program's argument.
    notice_port(unsafe { Typed::new(ctx.arg(0)) });
    // An int: the upper half of the slot is not part of it.
    if window_open() && returned(&ctx, &ARGS_LISTEN_START).is_some_and(|result| result as i32 == 0)
    {
        born(&ctx, ctx.arg(0));
    }
    0
}

/// `inet_csk_listen_stop(sk)`: its state is not LISTEN any more, and its socket still there.
#[fentry(function = "inet_csk_listen_stop")]
fn listen_stop(ctx: FEntryContext) -> i32 {
    if window_open() {
        died(&ctx, ctx.arg(0));
    }
    0
}

/// `inet_child_forget(sk, req, child)`: a child that is not accepted any more, because its listener closes
/// (`inet_csk_listen_stop`) or has just done so (`inet_csk_reqsk_queue_add`). Whatever else ends a
/// connection leaves it in the queue.
#[fentry(function = "inet_child_forget")]
fn child_forgotten(ctx: FEntryContext) -> i32 {
    if !idle() {
        accept_wait::forget(ctx.arg(2));
    }
    0
}

/// `inet_csk_destroy_sock(sk)`, where the kernel's compiler has left nothing of the above: the end of a sock
/// that nobody holds, of one that was closed too.
#[fentry(function = "inet_csk_destroy_sock")]
fn sock_destroyed(ctx: FEntryContext) -> i32 {
    // SAFETY: the program's argument.
    closes(unsafe { Typed::new(ctx.arg(0)) });
    0
}

/// A sock closes: it waits in no accept queue any more, and its memory may soon be another's.
#[inline(always)]
fn closes(sock: Typed) {
    if idle() {
        return;
    }
    // Its program closed it (`__tcp_close`), so it was accepted, or is a client's.
    if sock.get::<u8>(&SOCK_SHUTDOWN) != Some(SHUT) {
        accept_wait::forget(sock.address() as u64);
    }
}

/// A socket begins to listen.
#[inline(always)]
fn born<C: EbpfContext>(ctx: &C, sock: Address) {
    // The tracepoint comes before the state is stored (`inet_sk_state_store`), so it is not asked for.
    let Some((listener, _)) = Listener::recognise(sock) else { return };
    // An earlier user of the same memory may have left its own, whatever this one is.
    listener.forget();
    // By the tracepoint a port that the kernel chooses is not known yet.
    let port: u16 = read(sock, &SOCK_PORT).unwrap_or(0);
    if PORTS_GIVEN.load() != 0 && port != 0 && !wants_port(port) {
        return;
    }
    if !listener.has_queue {
        return;
    }
    events::mute_stranger(listener.id);
    if is_born(sock) != 0 {
        tell_life(ctx, EventKind::Listening, &listener);
    }
}

/// A listener stopped listening. What is in its accept queue is still there: `tcp_set_state` comes before
/// `inet_csk_listen_stop`, which empties the queue, and the sock is locked, so that nobody accepts.
#[inline(always)]
fn died<C: EbpfContext>(ctx: &C, sock: Address) {
    let Some((listener, _)) = Listener::recognise(sock) else { return };
    listener.forget();
    note_end(ctx, sock, &listener);
    // After its last event.
    events::forget_muted(listener.id);
}

#[inline(always)]
fn note_end<C: EbpfContext>(ctx: &C, sock: Address, listener: &Listener) {
    // One that nobody asked for has no rows, unless it dropped somebody.
    let is_counted = LISTENERS.get_ptr(listener.id).is_some();
    let is_wanted = || port_of(sock).is_some_and(wants_port);
    if !listener.has_queue || PORTS_GIVEN.load() != 0 && !is_counted && !is_wanted() {
        return;
    }
    let waiting = read(listener.sock, &SOCK_BACKLOG).unwrap_or(0);
    let is_noted = if is_counted || waiting != 0 { ends(listener, waiting) } else { false };
    if is_noted || has_died(sock) != 0 {
        tell_life(ctx, EventKind::Closed, listener);
    }
}

/// Notes the end of a listener that has rows, or needs them for the connections that wait in its queue; `false` where it
/// has none.
#[inline(always)]
fn ends(listener: &Listener, waiting: u32) -> bool {
    if !listener.ensure_rows() {
        return false;
    }
    let Some(info) = LISTENERS.get_ptr_mut(listener.id) else { return false };
    // SAFETY: `info` is a live map value; a socket is closed once at a time.
    unsafe {
        (*info).closed = bpf_ktime_get_ns();
        (*info).drops = read(listener.sock, &SOCK_DROPS).unwrap_or(0);
        if (*info).port == 0 {
            (*info).port = port_of(listener.sock).unwrap_or(0);
        }
    }
    queue::discarded(listener.id, waiting);
    true
}

#[inline(always)]
fn tell_life<C: EbpfContext>(ctx: &C, kind: EventKind, listener: &Listener) {
    if events::asked(kind) {
        let limit = read(listener.sock, &SOCK_BACKLOG_LIMIT).unwrap_or(0);
        let _sent = events::life(ctx.as_ptr(), kind as u32, listener.id, limit);
    }
}
