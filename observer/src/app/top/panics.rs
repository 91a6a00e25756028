//! A panic: it tells on a terminal that can be read, whichever thread it is in, and the program fails.

use std::{
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

/// Status of a program whose main thread panicked, as Rust has it.
pub const STATUS: u8 = 101;

/// Whether there was one.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Has the terminal given back before a panic is told.
pub fn give_back_first(give_back: fn()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICKED.store(true, Ordering::SeqCst);
            give_back();
            before(panic);
        }));
    });
}

/// Whether a thread panicked, which others may have taken for an end.
pub fn any() -> bool {
    PANICKED.load(Ordering::SeqCst)
}

/// Panics where `OBSERVER_TEST_PANIC` names this place: tests see what a panic leaves behind. Builds that are given away
/// have no such thing.
#[cfg(debug_assertions)]
pub fn provoke(place: &str) {
    let wanted = std::env::var("OBSERVER_TEST_PANIC");
    assert!(wanted.as_deref() != Ok(place), "a test wanted a panic in {place}");
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub fn provoke(_place: &str) {}
