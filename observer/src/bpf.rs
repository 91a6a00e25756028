//! The kernel programs from userspace: which there are, loading, attaching, and how they fare.

pub mod attach;
mod batch;
mod ended;
pub mod events;
mod evict;
mod gauges;
pub mod inventory;
pub mod load;
pub mod maps;
pub(crate) mod merge;
pub mod missed;
pub mod noop;
mod reader;
mod retired;
pub mod snapshot;
pub mod status;
mod tasks;
pub mod verify;
