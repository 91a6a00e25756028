//! Dropped connection attempts: each counted once, by listener and reason, and sent as an event where that is
//! asked for.

use aya_ebpf::EbpfContext;
use observer_common::{
    counters::{ClientKey, QueueStats},
    drops::{DROP_REASONS, DropReason},
    event::DropScratch,
    room::Room,
};

use crate::{
    control::window_open,
    counter::increment,
    endpoint::{of_packet, of_peer},
    events,
    kernel::Address,
    listener::Listener,
    maps::{CLIENTS, DROP_SCRATCH},
    queue_stats,
    room::make,
};

/// What identifies the client of a drop.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// The packet that was dropped.
    Packet(Address),
    /// The request, where no packet of the client is at hand.
    Request(Address),
}

/// Counts a connection attempt that the listener `sock` drops.
#[inline(always)]
pub(crate) fn count<C: EbpfContext>(ctx: &C, sock: Address, source: Source, reason: DropReason) {
    if !window_open() {
        return;
    }
    // Its state is not asked for: the kernel counts a drop by a listener that closes meanwhile.
    let Some(listener) = Listener::any_listening(sock) else { return };
    let Some(queue) = queue_stats::row(listener.id) else { return };
    let index = reason as usize;
    if index < DROP_REASONS {
        // SAFETY: `queue` is this CPU's map value.
        unsafe { increment(&raw mut queue.drops[index]) };
    }
    let Some(scratch) = DROP_SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's map value, and one drop at a time.
    let DropScratch { key, event } = unsafe { &mut *scratch };
    let known = match source {
        Source::Packet(packet) => of_packet(packet, &mut event.client, &mut event.server),
        Source::Request(request) => {
            event.server.version = 0;
            of_peer(request, &mut event.client)
        }
    };
    if known.is_some() {
        key.listener = listener.id;
        key.address = event.client.address;
        key.port = event.client.port;
        count_client(key, queue);
    } else {
        event.client.version = 0;
        event.server.version = 0;
    }
    if events::reads_drops(listener.sock, listener.id) {
        events::dropped(ctx.as_ptr(), listener.id, reason as u32, event);
    }
}

/// Counts a client that was not dropped before. Once there is no room for more, none is tried.
#[inline(always)]
fn count_client(key: &ClientKey, queue: &mut QueueStats) {
    if CLIENTS.get_ptr(key).is_some() {
        return;
    }
    let counter = if make(Room::Clients, &CLIENTS, key, 1) {
        &raw mut queue.clients
    } else {
        &raw mut queue.clients_unknown
    };
    // SAFETY: `queue` is this CPU's map value.
    unsafe { increment(counter) };
}
