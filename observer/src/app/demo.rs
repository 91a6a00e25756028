//! `observer demo`: a real server for each way of waiting, observed by this very program.

pub mod args;
mod asleep;
mod blocked;
mod child;
mod client;
mod interrupt;
mod listeners;
mod lock;
mod netns;
mod outcome;
mod progress;
mod protocol;
mod round;
mod server;
mod shared;
pub mod strategy;
mod table;
mod worker;
pub mod workload;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use self::{
    args::DemoArgs,
    child::{Stop, Waiting},
    interrupt::Interrupts,
    progress::Progress,
    strategy::Strategy,
};
use crate::app::{args::Format, output, render::terminal::Screen};

/// Runs the demo. The caller must have no other thread.
///
/// # Errors
///
/// When a child cannot be started or does not do what it should. A child that fails with words
/// of its own has them passed on, and its exit code returned.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let interrupts = Interrupts::hold()?;
    let mut progress = Progress::new();
    let mut outcomes = Vec::new();
    let strategies = chosen(&args);
    let mut stop = None;
    for (index, &strategy) in strategies.iter().enumerate() {
        progress.say(format!("{}/{} {}", index + 1, strategies.len(), strategy.name()));
        let mut waiting = Waiting { interrupts: &interrupts, progress: &mut progress };
        match round::run(strategy, &args, &mut waiting) {
            Ok(outcome) => {
                progress.wipe();
                if args.format == Format::Json {
                    output::line(&outcome)?;
                }
                outcomes.push(outcome);
            }
            Err(reason) => {
                stop = Some(reason);
                break;
            }
        }
    }
    drop(progress);
    // What was measured before something went wrong is still worth showing.
    if args.format == Format::Table && !outcomes.is_empty() {
        output::write(table::table(&outcomes, Screen::of_stdout().columns()).as_bytes())?;
    }
    match stop {
        None => Ok(ExitCode::SUCCESS),
        // As shells report a program that a signal ended.
        Some(Stop::Signal(number)) => Ok(ExitCode::from(128 + number)),
        Some(Stop::Child { said, code }) => {
            // Nothing better can be done about a standard error that cannot be written to.
            let _ = writeln!(io::stderr().lock(), "{said}");
            Ok(ExitCode::from(code))
        }
        Some(Stop::Error(error)) => Err(error),
    }
}

/// The strategies asked for, each once, or all of them.
fn chosen(args: &DemoArgs) -> Vec<Strategy> {
    let all = Strategy::all().iter().copied();
    all.filter(|strategy| args.strategy.is_empty() || args.strategy.contains(strategy)).collect()
}
