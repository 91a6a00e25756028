//! The program that `cargo xtask` starts: it sets up, builds and runs observer itself, and compiles and starts `xtask`
//! for all other commands.
//!
//! A newcomer waits for it without a word, because Cargo is told to be quiet: it has next to no dependencies.

#![cfg_attr(
    target_os = "linux",
    expect(dead_code, reason = "xtask uses what is left of the modules that both share")
)]
#![expect(clippy::print_stdout, reason = "what these commands print is their result")]

#[cfg(target_os = "linux")]
mod arch;
#[cfg(target_os = "linux")]
mod archive;
#[cfg(target_os = "linux")]
mod directory;
#[cfg(target_os = "linux")]
mod hand_on;
#[cfg(target_os = "linux")]
mod ownership;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod setup;
#[cfg(target_os = "linux")]
mod start;
#[cfg(target_os = "linux")]
mod unfetched;
#[cfg(target_os = "linux")]
mod workspace;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use std::env;

    let words: Vec<_> = env::args_os().skip(1).collect();
    let done = workspace::Workspace::find().and_then(|workspace| {
        let done = match start::Start::read(&words) {
            Some(start) => start.perform(&workspace),
            None => hand_on::hand_on(&workspace, &words),
        };
        ownership::give_back(&workspace);
        done
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Without set-up: what it would make could not be run here.
#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!(
        "error: observer is built and runs on Linux only, because it loads programs into Linux's kernel: \
         use a Linux machine, virtual machine or privileged container, such as one with Debian 12 or 13"
    );
    ExitCode::FAILURE
}
