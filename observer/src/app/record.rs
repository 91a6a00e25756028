//! `observer record`: a window to a file.

mod size;

use std::{
    env,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Result;
use clap::Args;

use crate::app::{
    args::{ObserveArgs, positive_duration},
    opened::{say_all_ended, say_opened},
    output,
    run::{self, Face, say},
};
use observer::{
    Because, Config, EventKind, Observer, Reports, Update,
    kernel::facts,
    recording::{Header, Options, Writer, Written},
};

/// Length of an interval where none was asked for.
const INTERVAL: &str = "1s";

/// Options of `observer record`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "The file is one object of JSON per line (NDJSON): a header, a report for each interval, \
                        and the total at the end. It is readable at any moment, whatever ends the recording; \
                        observer report and observer top --replay show it."
)]
pub struct RecordArgs {
    /// File to write, compressed with zstd where its name ends in .zst; - for standard output
    #[arg(short, long, value_name = "FILE", required = true)]
    pub output: PathBuf,
    /// How long to record, such as 8s or 2min; until Ctrl-C without it
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub duration: Option<Duration>,
    /// Write a report of each interval of this length
    #[arg(long, value_name = "TIME", value_parser = positive_duration, default_value = INTERVAL)]
    pub interval: Duration,
    /// Write every event too: each connection, wakeup, accept and drop
    #[arg(long)]
    pub events: bool,
    /// Measure the CPU time of wakeups in vain too, by a program at every switch between tasks
    #[arg(long)]
    pub cost: bool,
    /// Begin another file where this size is reached, such as 64M or 1G; the full one is renamed to FILE with a number
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub max_size: Option<u64>,
    /// Keep so many files, and remove the oldest
    #[arg(long, value_name = "N", requires = "max_size", value_parser = clap::value_parser!(u16).range(1..))]
    pub keep: Option<u16>,
    /// Overwrite FILE where it exists
    #[arg(long)]
    pub overwrite: bool,
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

impl RecordArgs {
    fn options(&self) -> Options {
        Options {
            max_size: self.max_size,
            keep: self.keep.map(usize::from),
            overwrite: self.overwrite,
        }
    }

    fn is_stdout(&self) -> bool {
        self.output == Path::new("-")
    }
}

/// Runs it.
///
/// # Errors
///
/// See [`Observer::open`]; and when the file exists, or cannot be written.
pub fn run(args: &RecordArgs) -> Result<std::process::ExitCode> {
    if args.is_stdout() && args.max_size.is_some() {
        let sentence =
            "standard output has no parts: leave out --max-size, or give --output a file\n";
        clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, sentence).exit();
    }
    if !args.is_stdout() {
        Writer::check(&args.output, &args.options())?;
    }
    let config = Config {
        reports: Reports::Intervals(args.interval),
        events: if args.events { EventKind::ALL.to_vec() } else { Vec::new() },
        cost: args.cost,
        ..args.observe.config()
    };
    let mut face = Recorder { args, writer: None };
    let result = run::run(&config, args.duration, &mut face);
    let told = face.end();
    result?;
    told?;
    Ok(std::process::ExitCode::SUCCESS)
}

struct Recorder<'a> {
    args: &'a RecordArgs,
    /// `None` before the window is open: what cannot be observed leaves no file behind.
    writer: Option<Writer>,
}

impl Recorder<'_> {
    /// Ends the file, and says what is in it: also where the window ended with an error.
    fn end(&mut self) -> Result<()> {
        let Some(writer) = self.writer.as_mut().filter(|writer| !writer.has_failed()) else {
            return Ok(());
        };
        let written = writer.finish()?.clone();
        let (paths, removed) = (writer.paths(), writer.removed());
        say(&format!("observer: {}", told(&written, &paths, removed)));
        Ok(())
    }
}

impl Face for Recorder<'_> {
    fn opened(&mut self, observer: &Observer) -> Result<()> {
        let start = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let words = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        let header = Header::new(facts::host(), words.collect(), start);
        self.writer = Some(if self.args.is_stdout() {
            Writer::to("standard output", output::stream()?, header)?
        } else {
            Writer::create(&self.args.output, header, &self.args.options())?
        });
        say_opened(observer, &self.args.observe.filters, false);
        Ok(())
    }

    fn update(&mut self, update: &Update) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            writer.write(update)?;
        }
        if let Update::Ended(ended) = update
            && ended.because == Because::ProcessesEnded
        {
            say_all_ended(&self.args.observe.filters.pid);
        }
        Ok(())
    }
}

/// `recorded 35 reports, 1200 events and the total to a.ndjson (1.2 MB): observer report a.ndjson`.
fn told(written: &Written, paths: &[PathBuf], removed: u64) -> String {
    let counted = |count: u64, noun: &str| match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    };
    let mut parts = vec![counted(written.reports, "report")];
    if written.events > 0 {
        parts.push(counted(written.events, "event"));
    }
    if written.total {
        parts.push("the total".to_owned());
    }
    let last = parts.pop().unwrap_or_default();
    let what = if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) };
    let size = size::words(written.bytes);
    let Some(path) = paths.last() else { return format!("recorded {what} ({size})") };
    let name = path.display();
    let mut told = format!("recorded {what} to {name} ({size})");
    if let before @ 1.. = paths.len() - 1 {
        told.push_str(&format!(" and {} before it", counted(before as u64, "part")));
        if let Some(first) = paths.first() {
            told.push_str(&format!(", the first {}", first.display()));
        }
    }
    if removed > 0 {
        told.push_str(&format!("; {} removed", counted(removed, "older part")));
    }
    told.push_str(&format!("; to see it: observer report {name}"));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_says_what_is_where() {
        let written = Written { reports: 35, total: true, bytes: 1_234_567, ..Written::default() };
        let path = |name: &str| PathBuf::from(name);
        assert_eq!(
            told(&written, &[path("a.ndjson")], 0),
            "recorded 35 reports and the total to a.ndjson (1.2 MB); to see it: observer report a.ndjson"
        );
        let written = Written { reports: 1, events: 2, bytes: 10, ..Written::default() };
        assert_eq!(
            told(&written, &[path("a.0002.ndjson"), path("a.ndjson")], 1),
            "recorded 1 report and 2 events to a.ndjson (10 B) and 1 part before it, the first a.0002.ndjson; \
             1 older part removed; to see it: observer report a.ndjson"
        );
    }
}
