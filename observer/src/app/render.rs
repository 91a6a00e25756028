//! What people and programs see: a report in, text out.
//!
//! Everything here is pure but for [`terminal::Screen::of_stdout`], which asks what standard output
//! is, and [`json::write`], which writes where it is told.

pub mod cell;
pub mod columns;
mod doubts;
pub mod findings;
pub mod grid;
pub mod json;
pub mod labels;
pub mod line;
pub mod listeners;
pub mod table;
pub mod terminal;
pub mod text;
