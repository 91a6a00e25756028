//! Listeners from outside the kernel programs: which there are, who holds them, who waits.

mod answer;
pub mod census;
pub mod descendants;
pub mod descriptors;
pub mod diag;
pub mod holders;

pub mod namespaces;
pub mod options;
pub mod places;
pub mod process;
pub mod requests;
pub mod rest;
pub mod select;
mod user_memory;
pub mod waiters;
pub mod way;
pub mod ways;
