//! `observer report`: a recording as any view.

mod against;
mod html;
mod load;
mod moment;
mod notes;
mod source;

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Args, ValueEnum};

use self::{
    load::{Part, Recording, load},
    moment::Moment,
    source::{Source, refuse_own_input},
};
use crate::app::{
    output,
    render::{
        table::{self, TableOptions},
        terminal::Screen,
    },
    run::say,
};
use observer::{error::Failure, model::Comparison, recording::compare};

/// Options of `observer report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// The recording: what observer record or --format json wrote, compressed or not; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Set another recording beside it: before and after a fix, the earlier one first
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Only what came after this: 30s after the beginning, 03:04:05 (UTC) or 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub from: Option<Moment>,
    /// Only what came before this
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub to: Option<Moment>,
    /// How to print
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub format: ReportFormat,
    /// File to write instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Worker lines to show for each listener in the table
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub workers: usize,
    /// Say more: -v shows causes of errors
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How to print a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    Table,
    /// For programs: one object
    Json,
    /// One page, which needs no network: for a post-mortem
    Html,
}

/// Runs it.
///
/// # Errors
///
/// When a recording cannot be read, has no report of the chosen time, or nothing can be written.
pub fn run(args: &ReportArgs) -> Result<ExitCode> {
    if args.format == ReportFormat::Html && args.output.is_none() && std::io::stdout().is_terminal()
    {
        let sentence = "a page is not for a terminal; give it a file: -o page.html";
        return Err(Failure::failed(sentence).into());
    }
    if [Some(&args.file), args.against.as_ref()].iter().all(|file| *file == Some(&"-".into())) {
        let sentence = "standard input holds one recording; give the other as a file";
        return Err(Failure::usage(sentence).into());
    }
    if let Some(output) = &args.output {
        let inputs = [Some(&args.file), args.against.as_ref()];
        refuse_own_input(output, inputs.into_iter().flatten().map(PathBuf::as_path))?;
    }
    let part = Part { from: args.from, to: args.to };
    let source = match args.format {
        ReportFormat::Html => Source::repeatable(&args.file)?,
        ReportFormat::Table | ReportFormat::Json => Source::new(&args.file),
    };
    let recording = load(&source, part)?;
    tell(&recording, part);
    let screen = Screen::of_stdout();
    let comparison =
        args.against.as_deref().map(|other| against(&recording, other, part)).transpose()?;
    if let Some(comparison) = &comparison {
        match args.format {
            ReportFormat::Table => {
                let colour = screen.colour && args.output.is_none();
                let text = against::render(comparison, screen.columns(), colour);
                return done(write(args, text.as_bytes()));
            }
            ReportFormat::Json => return done(write(args, &json(comparison)?)),
            ReportFormat::Html => {}
        }
    }
    match args.format {
        ReportFormat::Table => {
            let options = options(&screen, args, &recording);
            write(args, table::render(&recording.report, &options).as_bytes())?;
        }
        ReportFormat::Json => write(args, &json(&recording.report)?)?,
        ReportFormat::Html => {
            write(args, page(&source, part, &recording, comparison.as_ref())?.as_bytes())?
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The page. What happened over time takes another reading of the file.
fn page(
    source: &Source,
    part: Part,
    recording: &Recording,
    comparison: Option<&Comparison>,
) -> Result<String> {
    let plotted = html::plotted(recording);
    let series = html::series::series(source, part, recording, &plotted)?;
    let said = notes::of(recording, part);
    html::render(recording, &said, series.as_ref(), comparison)
}

fn done(result: Result<()>) -> Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

/// Sets another recording beside one: the earlier is the one before.
fn against(recording: &Recording, other: &Path, part: Part) -> Result<Comparison> {
    let other = load(&Source::new(other), part)?;
    tell(&other, part);
    let side = Recording::side;
    Ok(if other.start <= recording.start {
        compare(side(&other), side(recording))
    } else {
        compare(side(recording), side(&other))
    })
}

fn tell(recording: &Recording, part: Part) {
    for note in notes::of(recording, part) {
        say(&format!("observer: {note}"));
    }
}

fn options(screen: &Screen, args: &ReportArgs, recording: &Recording) -> TableOptions {
    let screen = Screen { colour: screen.colour && args.output.is_none(), ..*screen };
    // Root has no more to gain from a recording than others.
    let empty = format!("no listener was there ({})", recording.name);
    TableOptions { as_root: true, ..TableOptions::new(&screen, args.workers, empty) }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn write(args: &ReportArgs, bytes: &[u8]) -> Result<()> {
    match args.output.as_deref() {
        None => output::write(bytes),
        Some(path) if path == Path::new("-") => output::write(bytes),
        Some(path) => std::fs::write(path, bytes).map_err(|error| {
            let sentence = format!("cannot write {}: {error}; choose another file", path.display());
            anyhow::Error::new(error).context(Failure::failed(sentence))
        }),
    }
}
