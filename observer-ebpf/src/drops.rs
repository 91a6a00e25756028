//! Refused connection attempts: each counted once, by listener and reason, and told to whoever reads
//! them one by one.

use aya_ebpf::{EbpfContext, bindings::BPF_NOEXIST};
use observer_common::{
    counters::ClientKey,
    drops::{DROP_REASONS, DropReason},
    event::{DropScratch, EventKind},
};

use crate::{
    endpoint::{of_packet, of_peer},
    events,
    kernel::Address,
    listener::Listener,
    maps::{CLIENTS, DROP_SCRATCH, increment, window_open},
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
    if !window_open() {
        return;
    }
    // Its state is not asked for: the kernel counts a refusal by a listener that closes meanwhile.
    let Some(listener) = Listener::any_listening(sock) else { return };
    let Some(queue) = queue_stats::row(listener.id) else { return };
    let index = reason as usize;
    if index < DROP_REASONS {
        // SAFETY: `queue` is this CPU's map value.
        unsafe { increment(&raw mut queue.drops[index]) };
    }
    let Some(refusal) = DROP_SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's map value, and one refusal at a time.
    let DropScratch { key, event } = unsafe { &mut *refusal };
    let known = match source {
        Source::Packet(packet) => of_packet(packet, &mut event.client, &mut event.server),
        Source::Request(request) => {
            event.server.version = 0;
            of_peer(request, &mut event.client)
        }
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
    if events::asked(EventKind::Dropped) {
        events::dropped(ctx.as_ptr(), listener.id, reason as u32, event);
    }
}
