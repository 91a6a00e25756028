//! What found no room before the window opened.

use observer_common::counters::{ListenerId, NoRoom};

/// What was counted of it.
#[derive(Debug, Default)]
pub(super) struct AtStart {
    pub(super) no_room: NoRoom,
    /// Listeners of which something was not noted.
    pub(super) incomplete: Vec<ListenerId>,
}
