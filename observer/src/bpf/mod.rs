//! The kernel programs from userspace: which there are, loading, attaching, and how they fare.

pub mod attach;
pub mod events;
pub mod floor;
pub mod inventory;
pub mod load;
pub mod missed;
pub mod snapshot;
pub mod status;
pub mod table;
pub mod verify;
