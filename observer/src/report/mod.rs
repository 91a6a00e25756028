//! From what was counted to a report.

pub mod audit;
pub mod build;
pub mod counts;
pub mod drops;
pub mod model;
mod place;
pub mod queues;
pub mod still;
pub mod waits;
