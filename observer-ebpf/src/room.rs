//! Room in the hash maps: what was found full is left alone until something of it was freed.
//!
//! An insert into a full map looks for a free entry on the list of each possible CPU, and on Linux 5.x takes the lock of
//! each (`pcpu_freelist_pop`): a flood that tries it for every packet holds up all others.

use core::borrow::Borrow;

use aya_ebpf::{bindings::BPF_NOEXIST, maps::HashMap};
use observer_common::room::{ROOMS, Room};

use crate::counter::SharedWord;

/// Which maps were found full, by [`Room`]. In a section of its own, because userspace frees entries too, and clears it.
#[unsafe(link_section = ".data.full")]
#[unsafe(no_mangle)]
static FULL: [SharedWord; ROOMS] = [const { SharedWord::new() }; ROOMS];

/// What an insert says that finds no free entry: E2BIG (`alloc_htab_elem`).
const NO_ENTRY: i32 = -7;

/// Whether a map was found full, and nothing of it was freed since.
#[inline(always)]
pub(crate) fn is_full(room: Room) -> bool {
    FULL[room as usize].load() != 0
}

/// Something of a map was freed.
#[inline(always)]
pub(crate) fn freed(room: Room) {
    if is_full(room) {
        FULL[room as usize].clear();
    }
}

/// Whether an insert made an entry; notes where it found the map full.
#[inline(always)]
pub(crate) fn is_made(room: Room, result: Result<(), i32>) -> bool {
    if result == Err(NO_ENTRY) {
        FULL[room as usize].set();
    }
    result.is_ok()
}

/// Makes an entry; `false` where there is one already, or no room.
#[inline(always)]
pub(crate) fn make<K, V>(
    room: Room,
    map: &HashMap<K, V>,
    key: impl Borrow<K>,
    value: impl Borrow<V>,
) -> bool {
    !is_full(room) && is_made(room, map.insert(key, value, u64::from(BPF_NOEXIST)))
}

/// Accept calls under way.
pub(crate) mod calls {
    use observer_common::room::Room;

    use crate::maps::IN_FLIGHT;

    /// Forgets the one of a task, if there is one.
    #[inline(always)]
    pub(crate) fn forget(tid: u32) {
        if IN_FLIGHT.remove(tid).is_ok() {
            super::freed(Room::InFlight);
        }
    }
}
