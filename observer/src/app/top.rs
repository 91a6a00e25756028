//! `observer top`: the whole screen. Updates and keys go into a state, and a state is drawn; all but
//! [`drive`], [`terminal`], [`input`], [`source`] and what [`fix`] is handed to is pure.

mod args;
mod columns;
mod drive;
mod farewell;
mod fix;
mod history;
mod input;
mod keys;
mod known;
mod moment;
mod panics;
mod replay;
mod row;
mod sixteen;
mod source;
mod state;
mod terminal;
mod total;
mod view;

pub use self::{args::TopArgs, drive::run};
