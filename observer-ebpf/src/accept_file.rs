//! What the descriptors and files of accept calls are.

use observer_common::counters::ListenerId;

use crate::{
    globals::{FILE_PRIVATE, SOCK_PORT, SOCK_SOCKET, SOCK_STATE, SOCKET_SOCK, STATE_LISTEN},
    kernel::{Address, read},
    listener::Listener,
    maps::LISTENERS,
    task, worker,
};

/// The listener that the current task called accept on; 0 where that is none of ours. A function of its
/// own, so that the verifier follows what comes after once and not for each of the ways through it.
#[inline(never)]
fn look_for(descriptor: u64, tid: u32) -> ListenerId {
    if let Some(socket) = task::own_file_private(descriptor) {
        // What the descriptor is decides: a Unix or vsock listener is none of ours, also when one
        // of ours woke the task.
        let sock: Option<Address> = read(socket, &SOCKET_SOCK);
        return sock.and_then(Listener::observed).map_or(0, |listener| listener.id);
    }
    // The descriptor was closed while the call blocked, which does not end the call.
    // Whoever woke the task is the listener that it waited for.
    let Some(state) = worker::known_task(tid) else { return 0 };
    // SAFETY: copies of integers in a live map value.
    unsafe { if (*state).pending != 0 { (*state).listener } else { 0 } }
}

/// The listener that the current task called accept on.
#[inline(always)]
pub(crate) fn listener_of(descriptor: u64, tid: u32) -> Option<ListenerId> {
    match look_for(descriptor, tid) {
        0 => None,
        listener => Some(listener),
    }
}

/// The sock of a file that is a connection on a listener's port. The task may install other files,
/// when its call had ended before the window opened.
#[inline(always)]
pub(crate) fn child_of(file: Address, listener: u64) -> Option<u64> {
    child_of_socket(read(file, &FILE_PRIVATE)?, listener)
}

/// The sock of what a file leads to, if that is a socket and a connection on a listener's port.
#[inline(always)]
pub(crate) fn child_of_socket(socket: Address, listener: u64) -> Option<u64> {
    let sock: Address = read(socket, &SOCKET_SOCK)?;
    let port: u16 = read(sock, &SOCK_PORT)?;
    let of_listener = read::<Address>(sock, &SOCK_SOCKET)? == socket
        && read::<u8>(sock, &SOCK_STATE).map(u32::from) != Some(STATE_LISTEN.load())
        && LISTENERS.get_ptr(listener).is_some_and(|info| {
            // SAFETY: a copy of an integer in a live map value.
            unsafe { (*info).port == port }
        });
    of_listener.then_some(sock as u64)
}
