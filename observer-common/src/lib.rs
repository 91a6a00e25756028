//! What observer's kernel programs and userspace share: the wire records, the counters, the bucket
//! maths, the table of kernel fields and the names of the knobs.
//!
//! Every type here is `no_std`, holds integers only, has no implicit padding, and has its size
//! asserted at compile time, because one side writes it and the other side reads it.
#![no_std]

pub mod calls;
pub mod config;
pub mod counters;
pub mod drops;
pub mod event;
pub mod fields;
pub mod hist;
mod layout;
pub mod room;
pub mod signals;
pub mod waits;
pub mod watch;

/// Marks shared types as plain data for aya's maps.
#[cfg(feature = "user")]
mod user {
    use crate::{calls, config, counters, watch};

    macro_rules! plain_data {
        ($($type:ty),* $(,)?) => {
            $(
                // SAFETY: the type is `repr(C)`, holds integers only, and `assert_layout!` pins
                // its size.
                unsafe impl aya::Pod for $type {}
            )*
        };
    }

    plain_data!(
        config::Control,
        config::PortSet,
        calls::WaitCalls,
        counters::Bracket,
        counters::Call,
        counters::ClientKey,
        counters::ErrorKey,
        counters::ListenerInfo,
        counters::Misc,
        counters::QueueStats,
        counters::RunSinceWoken,
        counters::Unrecognised,
        counters::UnrecognisedKey,
        counters::Stamp,
        counters::TaskSlot,
        counters::TaskState,
        counters::WaitKey,
        counters::WorkerKey,
        counters::WorkerStats,
        watch::Walk,
        watch::WatchRecord,
    );
}
