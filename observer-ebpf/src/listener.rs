//! Listeners: recognising one, and its identity. Their rows are in `listener_rows`.

use aya_ebpf::bindings::BPF_ANY;
use observer_common::{
    config::SOCK_SLOT_COUNT,
    counters::{KnownSock, ListenerId, SockSlot},
    room::Room,
};

use crate::{
    globals::{
        AF_INET, AF_INET6, PORTS_GIVEN, SOCK_FAMILY, SOCK_PORT, SOCK_PROTOCOL, SOCK_SOCKET,
        SOCK_SOURCE_PORT, SOCK_STATE, SOCKET_INODE, STATE_LISTEN, wants_port,
    },
    kernel::{Address, Object, lower_half, opaque, read},
    maps::{SOCK_CACHE, SOCKS},
    room::{freed, is_full, is_made},
};

/// IPPROTO_TCP (uapi).
const IPPROTO_TCP: u16 = 6;
/// IPPROTO_MPTCP (uapi).
const IPPROTO_MPTCP: u16 = 262;

/// A sock that is a TCP or MPTCP listener.
#[derive(Clone, Copy)]
pub(crate) struct Listener {
    /// Its identity.
    pub(crate) id: ListenerId,
    /// Its sock: for MPTCP the connection-level one or the subflow's, which share the identity.
    pub(crate) sock: Address,
    /// Whether the sock has the accept queue: TCP, not the connection level of MPTCP.
    pub(crate) has_queue: bool,
}

/// Beside the identity of a listener whose sock has the accept queue.
const HAS_QUEUE: u64 = 1 << 63;

/// The slot of a sock in the cache: by its address, multiplied as Knuth does it (`hash_32` of the kernel).
#[inline(always)]
fn slot(sock: impl Object) -> Option<*mut SockSlot> {
    let spread = lower_half(sock.address()).wrapping_mul(0x61C8_8647);
    SOCK_CACHE.get_ptr_mut((spread >> 16) & (SOCK_SLOT_COUNT - 1))
}

/// The identity of a listener with [`HAS_QUEUE`], where its sock was looked up last in its slot; 0
/// elsewhere.
#[inline(always)]
fn cached(sock: impl Object, socket: Address) -> u64 {
    let Some(slot) = slot(sock) else { return 0 };
    // SAFETY: a live map value; a mixture of two writes does not fit its check.
    unsafe {
        let own = (&raw const (*slot).sock).read_volatile();
        let its = (&raw const (*slot).socket).read_volatile();
        let listener = (&raw const (*slot).listener).read_volatile();
        let check = (&raw const (*slot).check).read_volatile();
        // Reckoned with before LLVM learns what the two are equal to.
        let sum = opaque(own) ^ opaque(its) ^ listener;
        let fits = own == sock.address() as u64 && its == socket as u64 && check == sum;
        if fits { listener } else { 0 }
    }
}

/// Notes in its slot which listener a sock is.
#[inline(always)]
fn cache(sock: impl Object, socket: Address, found: u64) {
    if let Some(slot) = slot(sock) {
        // SAFETY: a live map value of integers.
        unsafe {
            (&raw mut (*slot).sock).write_volatile(sock.address() as u64);
            (&raw mut (*slot).socket).write_volatile(socket as u64);
            (&raw mut (*slot).listener).write_volatile(found);
            // Read back as numbers.
            let own = opaque((&raw const (*slot).sock).read_volatile());
            let its = opaque((&raw const (*slot).socket).read_volatile());
            (&raw mut (*slot).check).write_volatile(own ^ its ^ found);
        }
    }
}

/// The identity of a listener by hashing, and where its sock is not known yet, the long way. A function of its own, because
/// it is rare.
#[inline(never)]
fn look_up(sock: Address, socket: Address) -> u64 {
    if let Some(known) = SOCKS.get_ptr(sock as u64) {
        // SAFETY: a copy of a live map value of integers.
        let known = unsafe { *known };
        // Another sock in the same memory has another socket.
        if known.socket == socket as u64 {
            return if known.has_queue != 0 { known.listener | HAS_QUEUE } else { known.listener };
        }
    }
    first_seen(sock)
}

/// Recognises a listener, makes its rows, and notes its sock: its identity with [`HAS_QUEUE`], or 0 when
/// it is none or there is no room. A function of its own, because it is rare and takes half of the stack
/// that a program has.
#[inline(never)]
fn first_seen(sock: Address) -> u64 {
    let Some((listener, socket)) = Listener::recognise(sock) else { return 0 };
    if !listener.ensure_rows() {
        return 0;
    }
    listener.remember(socket);
    if listener.has_queue { listener.id | HAS_QUEUE } else { listener.id }
}

/// The port that a sock listens on, or did: one that the kernel had chosen is given back before the
/// sock is told that it listens no more (`tcp_set_state`, `__inet_put_port`), and stays as its source.
#[inline(always)]
pub(crate) fn port_of(sock: Address) -> Option<u16> {
    let source = u16::from_be(read(sock, &SOCK_SOURCE_PORT)?);
    let port: u16 = read(sock, &SOCK_PORT)?;
    Some(if port == 0 { source } else { port })
}

impl Listener {
    /// The listener that `sock` is, with rows in the maps; `None` when it is none, or is on a port that
    /// nobody asked for, or there is no room.
    #[inline(always)]
    pub(crate) fn observed(sock: impl Object) -> Option<Self> {
        if u32::from(sock.get::<u8>(&SOCK_STATE)?) != STATE_LISTEN.load() {
            return None;
        }
        Self::observed_listening(sock)
    }

    /// The listener that `sock` is, as [`Self::observed`], where its state is known to be LISTEN, or was just now.
    #[inline(always)]
    pub(crate) fn observed_listening(sock: impl Object) -> Option<Self> {
        if PORTS_GIVEN.load() != 0 && !wants_port(sock.get(&SOCK_PORT)?) {
            return None;
        }
        Self::any_listening(sock)
    }

    /// The listener that `sock` is, on whatever port: what the kernel's counters tell of a network namespace is about all
    /// of its listeners.
    #[inline(always)]
    pub(crate) fn any_listening(sock: impl Object) -> Option<Self> {
        let address = sock.address();
        let socket: Address = sock.get(&SOCK_SOCKET)?;
        let mut found = if sock.is_cheap() { cached(sock, socket) } else { 0 };
        if found == 0 {
            found = look_up(address, socket);
            if sock.is_cheap() && found != 0 {
                cache(sock, socket, found);
            }
        }
        let has_queue = found & HAS_QUEUE != 0;
        (found != 0).then_some(Self { id: found & !HAS_QUEUE, sock: address, has_queue })
    }

    /// The listener that `sock` is; `None` when it is none.
    #[inline(always)]
    pub(crate) fn of_sock(sock: Address) -> Option<Self> {
        if u32::from(read::<u8>(sock, &SOCK_STATE)?) != STATE_LISTEN.load() {
            return None;
        }
        Self::recognise(sock).map(|(listener, _)| listener)
    }

    /// The listener that a sock is whose state is LISTEN, or becomes it, and its socket. Unix, SCTP and
    /// vsock sockets use the same state.
    #[inline(always)]
    pub(crate) fn recognise(sock: Address) -> Option<(Self, Address)> {
        let family: u16 = read(sock, &SOCK_FAMILY)?;
        if family != AF_INET && family != AF_INET6 {
            return None;
        }
        let protocol: u16 = read(sock, &SOCK_PROTOCOL)?;
        if protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP {
            return None;
        }
        let socket: Address = read(sock, &SOCK_SOCKET)?;
        let id: u64 = read(socket, &SOCKET_INODE)?;
        Some((Self { id, sock, has_queue: protocol == IPPROTO_TCP }, socket))
    }

    /// Notes which listener the sock is, over what an earlier user of the same memory left.
    #[inline(always)]
    fn remember(&self, socket: Address) {
        let known = KnownSock {
            listener: self.id,
            socket: socket as u64,
            has_queue: u64::from(self.has_queue),
        };
        // One that finds no room is recognised anew each time.
        if !is_full(Room::Socks) {
            let result = SOCKS.insert(self.sock as u64, known, u64::from(BPF_ANY));
            let _made = is_made(Room::Socks, result);
        }
    }

    /// Forgets it: the sock listens no more.
    #[inline(always)]
    pub(crate) fn forget(&self) {
        if SOCKS.remove(self.sock as u64).is_ok() {
            freed(Room::Socks);
        }
        if let Some(slot) = slot(self.sock) {
            // SAFETY: a live map value. Whoever had the slot looks itself up again.
            unsafe { (&raw mut (*slot).sock).write_volatile(0) };
        }
    }
}
