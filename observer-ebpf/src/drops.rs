//! Refused connection attempts: each counted once, by listener and reason, and told to whoever reads
//! them one by one.

use aya_ebpf::{EbpfContext, bindings::BPF_NOEXIST, helpers::bpf_ktime_get_ns};
use observer_common::{
    counters::ClientKey,
    drops::{DROP_REASONS, DropReason},
    event::{DropEvent, Endpoint, EventKind, Refusal},
};

use crate::{
    events::emit,
    kernel::{
        Address, PACKET_HEAD, PACKET_NETWORK, PACKET_TRANSPORT, SOCK_FAMILY, SOCK_PEER_PORT,
        SOCK_PEER4, SOCK_PEER6, has_address6, read, read_at,
    },
    listener::Listener,
    maps::{CLIENTS, REFUSALS, control, increment},
    queue_stats,
};

/// What a refusal is known by.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// The packet that was refused.
    Packet(Address),
    /// A request that no packet of its own is there for.
    Request(Address),
}

/// Counts one refusal by the listener `sock`.
#[inline(always)]
pub(crate) fn count<C: EbpfContext>(ctx: &C, sock: Address, source: Source, reason: DropReason) {
    let Some(control) = control() else { return };
    // Its state is not asked for: the kernel counts a refusal by a listener that closes meanwhile.
    let Some(listener) = Listener::any_listening(sock) else { return };
    let Some(queue) = queue_stats::row(listener.id) else { return };
    let index = reason as usize;
    if index < DROP_REASONS {
        // SAFETY: `queue` is this CPU's map value.
        unsafe { increment(&raw mut queue.drops[index]) };
    }
    let Some(refusal) = REFUSALS.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's map value, and one refusal at a time.
    let Refusal { key, event } = unsafe { &mut *refusal };
    let known = match source {
        Source::Packet(packet) => of_packet(packet, event),
        Source::Request(request) => of_request(request, event),
    };
    if known.is_none() {
        return;
    }
    key.listener = listener.id;
    key.address = event.client.address;
    key.port = event.client.port;
    let key: &ClientKey = key;
    if CLIENTS.get_ptr(key).is_none() {
        let counter = if CLIENTS.insert(key, 1, u64::from(BPF_NOEXIST)).is_ok() {
            &raw mut queue.clients
        } else {
            &raw mut queue.clients_unknown
        };
        // SAFETY: as above.
        unsafe { increment(counter) };
    }
    if control.tells_drops() {
        event.kind = EventKind::Drop as u32;
        event.reason = reason as u32;
        // SAFETY: the helper takes nothing and always succeeds.
        event.time = unsafe { bpf_ktime_get_ns() };
        event.listener = listener.id;
        emit(ctx, event);
    }
}

/// Both ends of what a TCP packet belongs to, from its headers.
#[inline(always)]
fn of_packet(packet: Address, event: &mut DropEvent) -> Option<()> {
    let head: Address = read(packet, &PACKET_HEAD)?;
    let at = |offset: u16| head.cast::<u8>().wrapping_add(usize::from(offset)) as Address;
    let network = at(read::<u16>(packet, &PACKET_NETWORK)?);
    let ports: [u8; 4] = read_at(at(read::<u16>(packet, &PACKET_TRANSPORT)?), 0)?;
    let version = read_at::<u8>(network, 0)? >> 4;
    let DropEvent { client, server, .. } = event;
    match version {
        4 => {
            short(client, read_at(network, 12)?);
            short(server, read_at(network, 16)?);
        }
        6 => {
            long(client, network, 8)?;
            long(server, network, 24)?;
        }
        _ => return None,
    }
    client.version = u16::from(version);
    server.version = u16::from(version);
    client.port = u16::from_be_bytes([ports[0], ports[1]]);
    server.port = u16::from_be_bytes([ports[2], ports[3]]);
    Some(())
}

/// The client of a request.
#[inline(always)]
fn of_request(request: Address, event: &mut DropEvent) -> Option<()> {
    let DropEvent { client, server, .. } = event;
    client.port = u16::from_be(read(request, &SOCK_PEER_PORT)?);
    server.version = 0;
    if has_address6(read(request, &SOCK_FAMILY)?) {
        long(client, request, SOCK_PEER6.load() as usize)?;
        client.version = 6;
    } else {
        short(client, read(request, &SOCK_PEER4)?);
        client.version = 4;
    }
    Some(())
}

#[inline(always)]
fn short(end: &mut Endpoint, address: u32) {
    words(end, [address, 0, 0, 0]);
}

#[inline(always)]
fn long(end: &mut Endpoint, base: Address, offset: usize) -> Option<()> {
    let word = |index: usize| read_at::<u32>(base, offset + 4 * index);
    words(end, [word(0)?, word(1)?, word(2)?, word(3)?]);
    Some(())
}

/// Stores an address word by word: LLVM would make a call of anything larger.
#[inline(always)]
fn words(end: &mut Endpoint, words: [u32; 4]) {
    let address = (&raw mut end.address).cast::<u32>();
    // SAFETY: the address is 16 bytes and lies at a multiple of four.
    unsafe {
        address.write_volatile(words[0]);
        address.add(1).write_volatile(words[1]);
        address.add(2).write_volatile(words[2]);
        address.add(3).write_volatile(words[3]);
    }
}
