//! `observer trace`: what it prints is what happened, and what its report counts.

mod counts;
mod ends;
mod filter;
mod full_pipe;
mod late;
mod story;
mod viewer;
mod window;

use crate::{Outcome, Test};

pub fn tests() -> Vec<Test> {
    [
        counts::tests(),
        story::tests(),
        filter::tests(),
        late::tests(),
        ends::tests(),
        full_pipe::tests(),
        viewer::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A role of these tests.
pub fn play(role: &str) -> Outcome {
    late::play(role)
}
