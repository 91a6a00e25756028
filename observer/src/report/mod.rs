//! From what was counted to a report.

pub mod build;
pub mod counts;
pub mod model;
pub mod still;
