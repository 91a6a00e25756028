//! From what was counted to a report.

pub mod attribute;
pub mod audit;
pub mod build;
pub mod counts;
pub mod drops;
pub mod exact;
mod fairness;
mod memo;
pub mod model;
mod one;
mod place;
pub mod queues;
mod refusals;
pub mod still;
pub mod told;
pub mod waits;
pub mod workers;

pub use memo::Memo;
