//! What the kernel counted on this CPU of SYN queues that were full. `tcp_conn_request` counts there before it
//! goes on (`tcp_syn_flood_action`), with softirqs off: what grew within a call of it is that call's own,
//! whatever other CPUs do to the queues meanwhile.

use core::ptr;

use observer_common::counters::Bracket;

use crate::{
    globals::{
        ARRAY_COPIES, MIB_COUNTERS, MIB_FULL_COOKIES, MIB_FULL_DROPS, NET_COUNTERS, SOCK_NET,
    },
    kernel::{Address, Object, read_at},
    maps::BRACKETS,
};

/// `TCPReqQFullDoCookies` and `TCPReqQFullDrop` of a listener's network namespace, as far as this CPU counted.
#[inline(always)]
pub(crate) fn counted(cpu: &mut Bracket, sock: impl Object) -> Option<[u64; 2]> {
    let all = sock.follow(&SOCK_NET)?.get::<Address>(&NET_COUNTERS)?;
    let own = number(cpu, all).wrapping_add(copy(cpu)?);
    let (cookies, drops) = (MIB_FULL_COOKIES.load(), MIB_FULL_DROPS.load());
    let place = |index: u32| (MIB_COUNTERS.load() + 8 * index) as usize;
    if drops == cookies.wrapping_add(1) {
        // Side by side, as they are in every kernel so far.
        return read_at(own as Address, place(cookies));
    }
    Some([read_at(own as Address, place(cookies))?, read_at(own as Address, place(drops))?])
}

/// How far this CPU's copy of per-CPU memory is from the address that stands for all copies
/// (`this_cpu_ptr`). Of one of observer's own maps both are known.
#[inline(always)]
fn copy(cpu: &mut Bracket) -> Option<u64> {
    if cpu.copy == 0 {
        let map = number(cpu, (&raw const BRACKETS).cast());
        let all: u64 = read_at(map as Address, ARRAY_COPIES.load() as usize)?;
        let own = ptr::from_mut(cpu).cast_const().cast();
        cpu.copy = number(cpu, own).wrapping_sub(all);
    }
    Some(cpu.copy)
}

/// An address as a number: the verifier does not let one be reckoned with before it was in memory.
#[inline(always)]
fn number(cpu: &mut Bracket, address: Address) -> u64 {
    let place = &raw mut cpu.pointer;
    // SAFETY: a field of a live map value, which only this CPU uses.
    unsafe {
        place.write_volatile(address as u64);
        place.read_volatile()
    }
}
