//! `cargo xtask`: one command each to set up, build, run, check and test observer, to measure what it
//! costs and to make what users are given.
//!
//! `first` is another program, which is what Cargo starts: it compiles fast, and compiles this one when it has to.
//! The commands are in the files of their names (`setup`, `run`, `check` with `imports`, `test` with `bare`, `vm`,
//! `bench`, `dist`, `fleet`, `screens`); what several of them need is in the others (`workspace`, `process`, `arch`,
//! `archive`, `compiler`, `debian_root`, `directory`, `not_run`, `ownership`, `skipped`, `start`, `unfetched`).

#![expect(clippy::print_stdout, reason = "what these commands print is their result")]

mod arch;
mod archive;
mod bare;
mod bench;
mod check;
mod compiler;
mod debian_root;
mod directory;
mod dist;
mod fleet;
mod imports;
mod not_run;
mod ownership;
mod paths;
mod process;
mod run;
mod screens;
mod setup;
mod skipped;
mod start;
mod test;
mod unfetched;
mod vm;
mod workspace;

use std::{env, process::ExitCode};

use anyhow::Result;
use clap::Parser;

use crate::{
    setup::{Goal, setup},
    start::Start,
    workspace::Workspace,
};

/// Set up, build, run, check and test observer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Find or make the toolchain that compiles the kernel programs
    Setup,
    /// Set up, then build target/release/observer
    Build,
    /// Build, then run `observer demo`, or observer with the arguments after `--`
    Run {
        /// observer's arguments
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Formatting, imports, lints of both sides and documentation
    Check,
    /// Every test that this machine can run, and those of the virtual machines
    Test {
        /// Leave out the virtual machines (as a filter does)
        #[arg(long)]
        no_vm: bool,
        /// Instead of them, README's two commands in minimal roots of Debian 12 and 13, by root and by a user without
        /// sudo; the filter `none` leaves out the second (an hour and more for each of four)
        #[arg(long)]
        bare: bool,
        /// With --bare: only this root (repeatable)
        #[arg(long, requires = "bare", value_name = "ROOT", value_parser = bare::names())]
        root: Vec<String>,
        /// With --bare: only the virtual machines with this kernel (repeatable)
        #[arg(long, requires = "bare", conflicts_with = "no_vm", value_name = "SERIES", value_parser = vm::series_names())]
        kernel: Vec<String>,
        /// Arguments of the test harnesses, such as a part of a test's name
        #[arg(last = true, value_name = "FILTER")]
        filter: Vec<String>,
    },
    /// The system tests on other kernels, in virtual machines
    Vm(vm::VmArgs),
    /// The screens of README and docs: pictures from recordings, texts from a virtual machine
    Screens(screens::ScreensArgs),
    /// What observing costs, beside nothing, empty programs and other tools
    Bench(bench::BenchArgs),
    /// What users are given: static files for two architectures, in tarballs and packages
    Dist(dist::DistArgs),
    /// What docs/fleet.md and deploy/ are made with: the cost of a node, and a scene for the dashboard
    Fleet(fleet::FleetArgs),
    /// A process that the bench measures or measures with
    #[command(hide = true)]
    BenchRole(bench::role::RoleArgs),
    /// What the screens of README and docs are taken of, in a virtual machine
    #[command(hide = true)]
    Scenes,
    /// The first process of a virtual machine
    #[command(hide = true)]
    Guest,
}

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let done = Workspace::find().and_then(|workspace| {
        let done = match Start::read(&words) {
            Some(start) => start.perform(&workspace),
            None => dispatch(&workspace, Task::parse()),
        };
        ownership::give_back(&workspace);
        done
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn dispatch(workspace: &Workspace, task: Task) -> Result<ExitCode> {
    match task {
        // `first.rs` does these itself where nothing is misspelt.
        Task::Setup => Start::Setup.perform(workspace),
        Task::Build => Start::Build.perform(workspace),
        Task::Run { args } => Start::Run(args).perform(workspace),
        Task::Check => {
            let ready = setup(workspace, Goal::Check)?;
            check::check(workspace, &ready)
        }
        Task::Test { no_vm, bare: true, root, kernel, filter } => {
            let (roots, kernels) = (&root, &kernel);
            bare::bare(workspace, &bare::Part { no_vm, roots, kernels, filter: &filter })
        }
        Task::Test { no_vm, bare: false, filter, .. } => {
            let ready = setup(workspace, Goal::Test)?;
            test::test(workspace, &filter, no_vm, ready.missing())
        }
        Task::Vm(args) => {
            setup(workspace, Goal::Build)?;
            vm::vm(workspace, &args)
        }
        Task::Screens(args) => screens::screens(workspace, &args),
        Task::Bench(args) => bench::bench(workspace, &args),
        Task::Dist(args) => {
            let ready = setup(workspace, Goal::Build)?;
            dist::dist(workspace, &args, &ready)
        }
        Task::Fleet(args) => fleet::fleet(workspace, &args),
        Task::BenchRole(args) => bench::role::run(&args),
        Task::Scenes => Ok(screens::scenes::play()),
        Task::Guest => vm::init::run(),
    }
}
