//! Listeners of every kind: each is one listener, with the counts that its own server has.

mod address;
mod crowd;
mod errors;
mod fast_open;
mod fd_passing;
mod file_table;
mod i386;
mod in_kernel;
mod late;
mod mptcp;
mod refused;
mod ring;
mod server;
mod signals;
mod under_way;
mod waiting;

use anyhow::bail;

pub use fast_open::loopback_up;
pub use in_kernel::tests as last_tests;
pub use server::{inode, listen};

use crate::{Outcome, Test};

pub fn tests() -> Vec<Test> {
    [
        address::tests(),
        crowd::tests(),
        errors::tests(),
        fast_open::tests(),
        file_table::tests(),
        fd_passing::tests(),
        late::tests(),
        mptcp::tests(),
        refused::tests(),
        ring::tests(),
        signals::tests(),
        under_way::tests(),
        waiting::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "kinds-reopen" => crowd::reopen(),
        "kinds-epoll-emfile" => errors::epoll(),
        "kinds-ring-emfile" => errors::ring(),
        "kinds-unknown-flags" => errors::without_known_flags(),
        #[cfg(target_arch = "x86_64")]
        "kinds-32-bit-numbers" => errors::by_other_numbers(),
        "kinds-enfile" => file_table::serve(),
        "kinds-fast-open" => fast_open::serve_and_connect(),
        "kinds-exec" => fd_passing::before_exec(),
        "kinds-inherited" => fd_passing::inherited(),
        "kinds-signals" => signals::serve(),
        "kinds-refused" => refused::serve(),
        "kinds-restarts" => signals::serve_restarts(),
        "kinds-receive" => fd_passing::receive(),
        other => match other.strip_prefix("kinds-wait-") {
            Some(way) => waiting::serve(way),
            None => bail!("no role {other}"),
        },
    }
}
