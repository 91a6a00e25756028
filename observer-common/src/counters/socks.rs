//! Socks that are known, the connections that wait in their queues, and the clients that were dropped.

use super::ListenerId;
use crate::assert_layout;

/// A sock that is a listener, in a slot that others may take at any time.
///
/// Several CPUs may write one at once: what is read is of one write when `check` fits the rest.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SockSlot {
    /// Address of the sock.
    pub sock: u64,
    /// Address of its `struct socket`.
    pub socket: u64,
    /// The listener, and whether the sock has the accept queue.
    pub listener: u64,
    /// All of these, by exclusive or.
    pub check: u64,
}
assert_layout!(SockSlot, 32);

/// A sock that is a listener, by its address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSock {
    /// The listener.
    pub listener: ListenerId,
    /// Address of its `struct socket`: another sock in the same memory has another.
    pub socket: u64,
    /// 1 when the sock has the accept queue.
    pub has_queue: u64,
}
assert_layout!(KnownSock, 24);

/// A client whose connection attempt a listener dropped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    /// The listener.
    pub listener: ListenerId,
    /// Its address: all 16 bytes for IPv6, the first 4 for IPv4; network byte order.
    pub address: [u8; 16],
    /// Its port, host byte order.
    pub port: u16,
    /// Keeps the key free of implicit padding; always 0.
    pub zero: [u16; 3],
}
assert_layout!(ClientKey, 32);

/// A connection in an accept queue, by the address of its sock.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `bpf_ktime_get_ns` when it entered the queue.
    pub time: u64,
    /// The listener; 0 where tracepoints do not tell.
    pub listener: ListenerId,
}
assert_layout!(Stamp, 16);

/// A bucket of a listener's accept waits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitKey {
    /// The listener.
    pub listener: ListenerId,
    /// The bucket, by [`crate::waits`].
    pub bucket: u32,
    /// Keeps the key free of implicit padding; always 0.
    pub zero: u32,
}
assert_layout!(WaitKey, 16);
