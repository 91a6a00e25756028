//! `cargo xtask`: one command each to set up, build, run, check and test observer, to measure what it
//! costs and to make what users are given.
//!
//! The commands are in the files of their names (`setup`, `run`, `check` with `imports`, `test`, `vm`,
//! `bench`, `dist`, `fleet`, `screens`); what several of them need is in the others (`workspace`, `process`, `arch`,
//! `archive`, `compiler`, `not_run`, `unfetched`).

#![expect(clippy::print_stdout, reason = "what these commands print is their result")]

mod arch;
mod archive;
mod bench;
mod check;
mod compiler;
mod dist;
mod fleet;
mod imports;
mod not_run;
mod paths;
mod process;
mod run;
mod screens;
mod setup;
mod test;
mod unfetched;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::{
    setup::{Goal, setup},
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
    match dispatch(Task::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup => {
            let ready = setup(&workspace, Goal::Build)?;
            ready.lines().iter().for_each(|line| println!("setup: {line}"));
            Ok(ExitCode::SUCCESS)
        }
        Task::Build => {
            setup(&workspace, Goal::Build)?;
            let binary = run::build(&workspace)?;
            println!("build: {}", binary.display());
            Ok(ExitCode::SUCCESS)
        }
        Task::Run { args } => {
            setup(&workspace, Goal::Build)?;
            run::run(&workspace, args)
        }
        Task::Check => {
            let ready = setup(&workspace, Goal::Check)?;
            check::check(&workspace, &ready)
        }
        Task::Test { no_vm, filter } => {
            let ready = setup(&workspace, Goal::Test)?;
            test::test(&workspace, &filter, no_vm, ready.missing())
        }
        Task::Vm(args) => {
            setup(&workspace, Goal::Build)?;
            vm::vm(&workspace, &args)
        }
        Task::Screens(args) => screens::screens(&workspace, &args),
        Task::Bench(args) => bench::bench(&workspace, &args),
        Task::Dist(args) => {
            let ready = setup(&workspace, Goal::Build)?;
            dist::dist(&workspace, &args, &ready)
        }
        Task::Fleet(args) => fleet::fleet(&workspace, &args),
        Task::BenchRole(args) => bench::role::run(&args),
        Task::Scenes => Ok(screens::scenes::play()),
        Task::Guest => vm::init::run(),
    }
}
