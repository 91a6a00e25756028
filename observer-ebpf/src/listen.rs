//! The backlog that a program asks for: `listen()` cuts it down to `net.core.somaxconn` without a
//! word.

use aya_ebpf::{
    bindings::BPF_ANY,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{
    control::window_open,
    globals::SOCKET_INODE,
    kernel::{Address, read},
    maps::LISTEN_BACKLOG,
    no_room::count_no_room,
    task,
};

/// `__sys_listen(fd, backlog)`: noted by the socket's inode number, the listener's identity, which
/// the socket has before it listens.
#[inline(always)]
pub(crate) fn backlog_requested(descriptor: u64, backlog: u64) {
    if !window_open() {
        return;
    }
    // The file of another kind of descriptor leads to no socket, and to a number that is nobody's.
    let socket: Option<Address> = task::own_file_private(descriptor);
    if let Some(id) = socket.and_then(|socket| read::<u64>(socket, &SOCKET_INODE))
        && LISTEN_BACKLOG.insert(id, backlog as u32, u64::from(BPF_ANY)).is_err()
    {
        // SAFETY: only takes the address of a field of a live map value.
        count_no_room(|full| unsafe { &raw mut (*full).backlogs });
    }
}

#[fentry(function = "__sys_listen")]
fn listen_enter(ctx: FEntryContext) -> i32 {
    backlog_requested(ctx.arg(0), ctx.arg(1));
    0
}

#[kprobe]
fn k_listen_enter(ctx: ProbeContext) -> i32 {
    if let (Some(descriptor), Some(backlog)) = (ctx.arg(0), ctx.arg(1)) {
        backlog_requested(descriptor, backlog);
    }
    0
}
