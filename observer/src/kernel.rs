//! The running kernel: what it has, and where its fields lie.

pub mod btf;
pub mod calls;
pub mod facts;
pub mod pid_namespace;
