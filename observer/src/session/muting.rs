//! Which listeners events are sent of: as the filters choose, told to the kernel programs.

use std::collections::HashSet;

use super::{Session, sample::Sample};
use crate::{
    bpf::muted::Muted,
    host::{filter::Selection, netns::Namespaces},
};

/// Mutes the listeners that are not chosen among those whose holders were looked at.
pub(super) fn mute_others(muted: &mut Muted, selection: &Selection, looked_at: &Namespaces) {
    for socket in looked_at.values().flat_map(|one| &one.sockets) {
        if !selection.contains(socket.inode, socket.port) {
            muted.set(socket.inode, true);
        }
    }
}

impl Session {
    /// Mutes the listeners that are not chosen by now, and lets those be heard that are. A listener of which no program
    /// has told yet may have begun while the namespaces were looked at, and is heard: the reader of its first event
    /// decides.
    pub(super) fn mute_others(&mut self, now: &Sample) {
        let Self { muted: Some(muted), tracker, quiet, .. } = self else { return };
        let sockets = now.namespaces.values().chain(quiet.values()).flat_map(|one| &one.sockets);
        let sockets = sockets.map(|socket| (socket.inode, socket.port));
        let counted = now.counted.listeners.iter().filter(|(_, info)| info.closed == 0);
        // A port of 0 is not known yet.
        let counted = counted.map(|(id, info)| (*id, info.port)).filter(|(_, port)| *port != 0);
        let mut there = HashSet::new();
        for (id, port) in sockets.chain(counted) {
            there.insert(id);
            let is_chosen = tracker.selection.contains(id, port);
            if is_chosen || now.counted.listeners.contains_key(&id) {
                muted.set(id, !is_chosen);
            }
        }
        muted.forget_all_but(&there);
    }
}
