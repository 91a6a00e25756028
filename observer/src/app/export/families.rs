//! The table of metrics: one row each. What is served and docs/metrics.md are made of it.

mod family;
mod host;
mod listeners;
mod sample;

pub use self::{
    family::Family,
    sample::{Of, Sample, Value},
};

/// All of them, in the order in which they are served.
#[must_use]
pub fn all() -> Vec<&'static Family> {
    listeners::FAMILIES.iter().chain(host::FAMILIES).collect()
}

#[cfg(test)]
mod tests;
