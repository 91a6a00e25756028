//! Listeners from outside the kernel programs: which there are, who holds them, who waits.

pub mod descendants;
pub mod diag;
pub mod holders;
pub mod namespaces;
pub mod options;
pub mod requests;
pub mod select;
pub mod waiters;
