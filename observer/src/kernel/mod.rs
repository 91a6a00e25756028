//! The running kernel: what it has, and where its fields lie.

pub mod btf;
pub mod facts;
mod types;
