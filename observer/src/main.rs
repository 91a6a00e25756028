//! The command line `observer`: arguments in, exit status out.

mod app;

use std::{env, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use observer::{bpf, error};

use crate::app::{
    check,
    cli::{self, Cli, Command},
    demo, doctor, explain, export, listeners, logging, output, record,
    render::terminal::Screen,
    replay, report, schema, top, trace, watch,
};

fn main() -> ExitCode {
    let cli = cli::parse(env::args_os()).unwrap_or_else(|error| error.exit());
    let verbose = match &cli.command {
        None => cli.watch.observe.verbose,
        Some(Command::Top(args)) => args.observe.verbose,
        Some(Command::Trace(args)) => args.observe.verbose,
        Some(Command::Check(args)) => args.observe.verbose,
        Some(Command::Record(args)) => args.observe.verbose,
        Some(Command::Report(args)) => args.verbose,
        Some(Command::Export(args)) => args.observe.verbose,
        Some(Command::Doctor(args)) => args.verbose,
        Some(Command::Demo(args)) => args.verbose,
        Some(Command::Listeners(args)) => args.verbose,
        Some(_) => 0,
    };
    logging::set_up(verbose);
    run(cli).unwrap_or_else(|error| {
        // Whoever reads only the first lines has what they wanted.
        if output::is_closed_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        output::say(&error::describe(&error, verbose));
        error::exit_code(&error)
    })
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        None => watch::run(&cli.watch).map(|()| ExitCode::SUCCESS),
        Some(Command::Top(args)) => top::run(&args),
        Some(Command::Trace(args)) => trace::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Record(args)) => record::run(&args),
        Some(Command::Report(args)) => report::run(&args),
        Some(Command::Export(args)) => export::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Demo(args)) => demo::run(args),
        Some(Command::Listeners(args)) => listeners::run(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Workload(args)) => demo::workload::run(args).map(|()| ExitCode::SUCCESS),
        Some(Command::Replay { file, watch }) => {
            replay::run(&file, &watch).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Noop { provider }) => bpf::noop::run(provider.into()),
        Some(Command::Inventory) => print(&bpf::inventory::all()?),
        Some(Command::Verify) => print(&bpf::verify::all()?),
        Some(Command::Explain(args)) => {
            print(explain::text(&args, &Screen::of_stdout()).as_bytes())
        }
        Some(Command::Schema(args)) => print(schema::text(&args)?.as_bytes()),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "observer", &mut script);
            print(&script)
        }
        Some(Command::Man { dir: None }) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            print(&page)
        }
        Some(Command::Man { dir: Some(dir) }) => {
            clap_mangen::generate_to(Cli::command(), &dir)
                .with_context(|| format!("manual pages cannot be written to {}", dir.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(bytes: &[u8]) -> Result<ExitCode> {
    output::write(bytes)?;
    Ok(ExitCode::SUCCESS)
}
