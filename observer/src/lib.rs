//! observer: a kernel-side observer of the TCP accept path.
//!
//! An agent begins with [`Observer::open`], which yields [`Update`]s; `examples/herd_ratios.rs` is one.
//!
//! The way of the data: a [`config::Config`] and the facts of this host make a plan, the plan is loaded and
//! attached, kernel maps and what the host tells from outside make a report, and [`findings`] judges it. The
//! faces are in the binary.

pub mod async_fd;
pub mod bpf;
pub mod config;
pub mod error;
pub mod findings;
pub mod host;
pub mod kernel;
pub mod model;
pub mod plan;
pub mod probes;
pub mod recording;
pub mod report;
pub mod schema;
pub mod session;
mod stream;
pub mod units;

pub use self::{
    config::{Config, EventKind, Filters, Provider, Reports},
    stream::{Because, Ended, Observer, Update},
};
