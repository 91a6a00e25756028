//! From what was counted to a report.

pub mod attribute;
pub mod audit;
pub mod build;
pub mod counts;
pub mod drops;
pub mod exact;
mod fairness;
mod idle;
pub mod input;
mod join;
pub mod place;
pub mod queues;
mod refusals;
pub mod sockets;
pub mod waits;
pub mod workers;

pub use self::idle::LastSeen;
