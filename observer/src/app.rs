//! The faces: what people and scripts call, and what they see.

pub mod cli;
pub mod demo;
pub mod doctor;
pub mod listeners;
pub mod logging;
pub mod output;
pub mod render;
pub mod schema;
pub mod watch;
