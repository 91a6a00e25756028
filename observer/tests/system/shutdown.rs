//! Observers that have told what they saw and are not waited for: each must still end well.

use std::{
    mem,
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::anyhow;

use crate::Outcome;

/// One of them.
struct Ending {
    /// Of which test it is.
    test: String,
    end: JoinHandle<Outcome>,
}

struct Endings {
    /// The test that runs.
    test: String,
    left: Vec<Ending>,
}

static ENDINGS: Mutex<Endings> = Mutex::new(Endings { test: String::new(), left: Vec::new() });

fn with<T>(change: impl FnOnce(&mut Endings) -> T) -> T {
    change(&mut ENDINGS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A test of this name begins.
pub fn test_begins(name: &str) {
    with(|endings| name.clone_into(&mut endings.test));
}

/// Leaves an observer of the test that runs to `end`, which waits for its end and judges it.
pub fn leave(end: impl FnOnce() -> Outcome + Send + 'static) {
    with(|endings| {
        let test = endings.test.clone();
        endings.left.push(Ending { test, end: thread::spawn(end) });
    });
}

/// Waits for all that were left; what is wrong with any of them.
pub fn failures() -> Vec<String> {
    let judge = |Ending { test, end }: Ending| {
        let end = end.join().unwrap_or_else(|_| Err(anyhow!("waiting for it panicked")));
        end.err().map(|error| format!("{test}: after its total, {error:#}"))
    };
    with(|endings| mem::take(&mut endings.left)).into_iter().filter_map(judge).collect()
}
