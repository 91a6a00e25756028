//! Listeners that share an address.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Listeners that share connections by SO_REUSEPORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReuseportGroup {
    /// Smallest inode number among the group's listeners, which is the same for all of them.
    pub id: u64,
    /// Number of listeners in the group.
    pub size: usize,
}
