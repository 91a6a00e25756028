//! The two ends of a connection, from a packet or a sock.

use core::mem::transmute;

use observer_common::event::Endpoint;

use crate::{
    globals::{
        PACKET_HEAD, PACKET_NETWORK, PACKET_TRANSPORT, SOCK_FAMILY, SOCK_PEER_PORT, SOCK_PEER4,
        SOCK_PEER6, has_address6,
    },
    kernel::{Address, opaque, read, read_at},
};

/// An end that is not known.
#[inline(always)]
pub(crate) fn nowhere() -> Endpoint {
    // Zeros that LLVM knows as such are written by a loop over the bytes, which the verifier follows step by
    // step.
    let zero = opaque(0) as u32;
    // SAFETY: as many bytes.
    let address = unsafe { transmute::<[u32; 4], [u8; 16]>([zero; 4]) };
    Endpoint { address, port: zero as u16, version: zero as u16 }
}

/// Both ends of what a TCP packet belongs to, from its headers.
#[inline(always)]
pub(crate) fn of_packet(
    packet: Address,
    client: &mut Endpoint,
    server: &mut Endpoint,
) -> Option<()> {
    let head: Address = read(packet, &PACKET_HEAD)?;
    let at = |offset: u16| head.cast::<u8>().wrapping_add(usize::from(offset)) as Address;
    let network = at(read::<u16>(packet, &PACKET_NETWORK)?);
    let ports: [u8; 4] = read_at(at(read::<u16>(packet, &PACKET_TRANSPORT)?), 0)?;
    let version = read_at::<u8>(network, 0)? >> 4;
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

/// The client of a sock or of a request, which begin alike (`struct sock_common`).
#[inline(always)]
pub(crate) fn of_peer(sock: Address, client: &mut Endpoint) -> Option<()> {
    client.port = u16::from_be(read(sock, &SOCK_PEER_PORT)?);
    if has_address6(read(sock, &SOCK_FAMILY)?) {
        long(client, sock, SOCK_PEER6.load() as usize)?;
        client.version = 6;
    } else {
        short(client, read(sock, &SOCK_PEER4)?);
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
