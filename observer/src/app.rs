//! The faces: what people and scripts call, and what they see.

pub mod args;
pub mod check;
pub mod cli;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod listeners;
pub mod logging;
pub mod opened;
pub mod output;
pub mod record;
pub mod render;
pub mod replay;
pub mod report;
pub mod run;
pub mod same_file;
pub mod schema;
pub mod top;
pub mod trace;
pub mod watch;
