//! Listeners that nobody asked for: the kernel programs send no event of them.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
};
use observer_common::counters::ListenerId;

/// The set of listeners of which no event is sent. What finds no room in it is sent, and left out by whoever reads it.
pub struct Muted {
    map: BpfHashMap<MapData, ListenerId, u8>,
    ids: HashSet<ListenerId>,
    /// Whether the programs mute some by themselves, of which `ids` does not know.
    by_programs: bool,
}

impl Muted {
    /// Takes the map out of an object.
    ///
    /// # Errors
    ///
    /// When the object lacks it: a defect of the build.
    pub fn take(ebpf: &mut Ebpf, by_programs: bool) -> Result<Self> {
        let map = ebpf.take_map("MUTED").context("the object has no map MUTED")?;
        Ok(Self { map: map.try_into()?, ids: HashSet::new(), by_programs })
    }

    /// Whether a listener is muted from here.
    #[must_use]
    pub fn contains(&self, id: ListenerId) -> bool {
        self.ids.contains(&id)
    }

    /// Says whether events of a listener are sent from now on.
    pub fn set(&mut self, id: ListenerId, muted: bool) {
        if muted {
            if !self.ids.contains(&id) && self.map.insert(id, 1, 0).is_ok() {
                self.ids.insert(id);
            }
        } else {
            // A system call for each chosen listener of each report would be felt where kprobes count.
            if self.ids.remove(&id) || self.by_programs {
                let _was_there = self.map.remove(&id);
            }
        }
    }

    /// Forgets the listeners that are not there any more: their numbers are used again.
    pub fn forget_all_but(&mut self, there: &HashSet<ListenerId>) {
        let Self { map, ids, .. } = self;
        ids.retain(|id| {
            let is_there = there.contains(id);
            if !is_there {
                let _was_there = map.remove(id);
            }
            is_there
        });
    }
}
