//! Which listeners events are sent of: as the filters choose, told to the kernel programs.

use std::collections::HashSet;

use super::{Session, sample::Sample};

impl Session {
    /// Mutes the listeners that are not chosen by now, and lets those be heard that are. A listener that begins to
    /// listen is heard until this or the reader of its first event decides.
    pub(super) fn mute_others(&mut self, now: &Sample) {
        let Self { muted: Some(muted), tracker, quiet, .. } = self else { return };
        let sockets = now.namespaces.values().chain(quiet.values()).flat_map(|one| &one.sockets);
        let sockets = sockets.map(|socket| (socket.inode, socket.port));
        let counted = now.counted.listeners.iter().filter(|(_, info)| info.closed == 0);
        // A port of 0 is not known yet.
        let counted = counted.map(|(id, info)| (*id, info.port)).filter(|(_, port)| *port != 0);
        let mut there = HashSet::new();
        for (id, port) in sockets.chain(counted) {
            muted.set(id, !tracker.selection.contains(id, port));
            there.insert(id);
        }
        muted.forget_all_but(&there);
    }
}
