//! Descriptors in the event loop.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Has the current runtime watch a descriptor for being readable.
///
/// # Errors
///
/// When the kernel's epoll refuses it.
pub fn readable<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    watched(inner, Interest::READABLE)
}

/// Has the current runtime watch a terminal for its end, which is told whatever is waited for: reading it is left to
/// somebody else.
///
/// # Errors
///
/// When the kernel's epoll refuses it.
pub fn hung_up<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    watched(inner, Interest::PRIORITY)
}

fn watched<T: AsFd + AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the types that this program hands in own their descriptor, keep it open until they
    // are dropped, and give the same one each time.
    unsafe { AsyncFd::register_with_interest(inner, interest) }
        .map_err(|error| error.into_parts().1)
}
