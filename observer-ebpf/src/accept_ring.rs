//! Accepts by io_uring: those that fail. Those that succeed end in `inet_csk_accept` like all others.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use observer_common::counters::WorkerKey;

use crate::{
    accept::failed,
    accept_errors::EAGAIN,
    control::{idle, window_open},
    globals::{ARGS_IO_ACCEPT, FILE_PRIVATE, RING_FILE, RING_RESULT, SOCKET_SOCK},
    kernel::{Address, read, returned},
    listener::Listener,
    task,
};

/// ECANCELED (uapi): `IOU_STOP_MULTISHOT`, the request is over and has a result.
const ECANCELED: i32 = 125;
/// Return values from here on are words of the kernel among itself, such as EIOCBQUEUED.
const NO_ERRNO: i32 = 512;

/// The listener of a request.
#[inline(always)]
pub(crate) fn listener_of_request(request: Address) -> Option<Listener> {
    let socket: Address = read(read(request, &RING_FILE)?, &FILE_PRIVATE)?;
    Listener::observed(read::<Address>(socket, &SOCKET_SOCK)?)
}

/// `io_accept(req, issue_flags)`: EAGAIN means that it goes on by a poll of its own, another errno is
/// the result, and 0 or ECANCELED that the result is in the request.
#[fexit(function = "io_accept")]
fn ring_exit(ctx: FExitContext) -> i32 {
    if idle() {
        return 0;
    }
    let Some(result) = returned(&ctx, &ARGS_IO_ACCEPT) else { return 0 };
    let request: Address = ctx.arg(0);
    // An int: the upper half of the slot is not part of it.
    let result = match result as i32 {
        code if code == 0 || code == -ECANCELED => read(request, &RING_RESULT).unwrap_or(0),
        code if code == -EAGAIN.cast_signed() => 0,
        code => code,
    };
    if result < 0
        && result > -NO_ERRNO
        && window_open()
        && let Some(listener) = listener_of_request(request)
    {
        let (pid, tid) = task::current_ids();
        failed(&ctx, WorkerKey { listener: listener.id, pid, tid }, result.unsigned_abs());
    }
    0
}
