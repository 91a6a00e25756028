//! The faces: what people and scripts call, and what they see.

pub mod args;
pub mod cli;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod listeners;
pub mod logging;
pub mod output;
pub mod render;
pub mod replay;
pub mod run;
pub mod schema;
pub mod watch;
