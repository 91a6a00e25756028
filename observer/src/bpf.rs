//! The kernel programs from userspace: which there are, loading, attaching, and how they fare.

mod archive;
mod at_start;
pub mod attach;
mod batch;
pub mod cost;
pub mod debug_lines;
pub mod events;
mod evict;
mod gauges;
pub mod inventory;
pub mod load;
pub mod maps;
pub(crate) mod merge;
pub mod missed;
pub mod muted;
pub mod noop;
mod program;
mod reader;
pub mod room;
pub mod snapshot;
pub mod status;
mod tasks;
pub mod verify;
pub mod watches;
