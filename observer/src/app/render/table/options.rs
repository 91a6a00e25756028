//! How to show a table.

use nix::unistd::geteuid;

use crate::app::render::terminal::Screen;

/// How many idle listeners are shown before the rest is only counted.
const IDLE_LISTENERS: usize = 10;

/// How to show a table.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Columns of the screen: no line is wider.
    pub width: usize,
    /// Whether to colour.
    pub colour: bool,
    /// Whether the table is redrawn in its place, so that a total is the one so far.
    pub live: bool,
    /// The most lines of workers, or of holders, beneath a listener; one more line stands for the others.
    pub workers: usize,
    /// Whether to say beneath each listener what came of its queues, waits and drops.
    pub numbers: bool,
    /// The most cures of what is wrong that are told; of what is wrong beyond them, one line is.
    pub fixes: usize,
    /// The most lines of idle listeners; the others are counted in one line.
    pub idle: usize,
    /// What to say where there is no listener at all.
    pub empty: String,
    /// Whether root looks, who has no more to gain by being it.
    pub as_root: bool,
}

impl TableOptions {
    /// The usual options for a screen.
    pub fn new(screen: &Screen, workers: usize, empty: String) -> Self {
        Self {
            width: screen.columns(),
            colour: screen.colour,
            live: false,
            workers,
            numbers: true,
            fixes: usize::MAX,
            idle: IDLE_LISTENERS,
            empty,
            as_root: geteuid().is_root(),
        }
    }
}
