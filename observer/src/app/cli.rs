//! The command line: clap's definitions and nothing else.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, CommandFactory as _, Parser, Subcommand, ValueEnum,
    builder::PossibleValuesParser,
    error::{ContextKind, ContextValue},
};

pub use crate::app::args::{FilterArgs, Format, ObserveArgs, ProviderArg, positive_duration};
use crate::app::{
    check::CheckArgs,
    demo::{args::DemoArgs, workload::WorkloadArgs},
    export::args::ExportArgs,
    record::RecordArgs,
    report::ReportArgs,
    top::TopArgs,
    trace::args::TraceArgs,
};

/// What `--version` says, beside the name: version, commit, and the object that holds the kernel programs, by
/// its SHA-256.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("OBSERVER_COMMIT"),
    "\nkernel object: sha256:",
    env!("OBSERVER_OBJECT_HASH"),
);

/// A kernel-side observer of the TCP accept path.
///
/// Counts, per listener, how many tasks the kernel wakes for each connection (the thundering
/// herd), who wins and who wakes for nothing, how full the accept queue gets and against which
/// limit, and how accept fails.
#[derive(Debug, Parser)]
#[command(name = "observer", version, long_version = LONG_VERSION)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a subcommand it watches: a live table every second until Ctrl-C, \
                        then the total.")]
pub struct Cli {
    /// What to do instead of watching.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of watching.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch on the whole screen: the worst listener first, what is wrong with it, and the fix
    Top(TopArgs),
    /// Print one line per event as it happens, or one block per connection
    Trace(TraceArgs),
    /// Fail where a limit is broken, while a command runs or what runs already is watched
    Check(CheckArgs),
    /// Write a recording: reports of each interval, and events if asked for
    Record(RecordArgs),
    /// Show a recording, or two side by side
    Report(ReportArgs),
    /// Serve metrics for Prometheus
    Export(ExportArgs),
    /// Show what listens now, who holds it and how full its queues are; needs no root
    Listeners(ListenersArgs),
    /// Explain a finding: what happens, how observer knows, how to fix it; without a name, list them
    Explain(ExplainArgs),
    /// Show what this kernel allows and which hooks would be used
    Doctor(DoctorArgs),
    /// Run real servers with each waiting strategy and show what each costs
    Demo(DemoArgs),
    /// Print the JSON Schema of what observer writes as JSON
    Schema(SchemaArgs),
    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man {
        /// Write a page for each command into this directory instead
        #[arg(long, value_name = "DIRECTORY")]
        dir: Option<PathBuf>,
    },
    /// Load each kernel program alone, and show what the verifier made of it (what the tests read)
    #[command(hide = true)]
    Verify,
    /// Attach programs that do nothing where observer's would be (what `cargo xtask bench` compares with)
    #[command(hide = true)]
    Noop {
        /// Which kind of hooks
        #[arg(long, value_enum, default_value_t = ProviderArg::Auto)]
        provider: ProviderArg,
    },
    /// Show a file of updates again, as the run that wrote it did
    #[command(hide = true)]
    Replay {
        /// What `--updates` wrote
        file: PathBuf,
        /// As of the run that wrote it.
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Every kernel program and map that is loaded now, with its size and its runs
    #[command(hide = true)]
    Inventory,
    /// One server and its client, with its own tally (what `demo` and the tests observe)
    #[command(hide = true)]
    Workload(WorkloadArgs),
}

/// Parses a command line.
///
/// # Errors
///
/// Where it is none, in the words for whoever typed it. Hidden commands are not proposed there, which clap does.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(words).map_err(|mut error| {
        let proposed = match error.remove(ContextKind::SuggestedSubcommand) {
            Some(ContextValue::String(one)) => vec![one],
            Some(ContextValue::Strings(several)) => several,
            _ => Vec::new(),
        };
        let command = Cli::command();
        let is_shown = |name: &String| {
            command.find_subcommand(name).is_some_and(|command| !command.is_hide_set())
        };
        let proposed: Vec<String> = proposed.into_iter().filter(is_shown).collect();
        if !proposed.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(proposed));
        }
        // An empty list of other proposals would leave a blank line.
        if let Some(others) = error.remove(ContextKind::Suggested)
            && !matches!(&others, ContextValue::StyledStrs(others) if others.is_empty())
        {
            error.insert(ContextKind::Suggested, others);
        }
        error
    })
}

/// Options of watching.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// How long to observe, such as 8s or 2min; until Ctrl-C without it
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub duration: Option<Duration>,
    /// Report the counts of each interval of this length, and the total at the end
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub interval: Option<Duration>,
    /// Repeat idle listeners in every interval and redraw instead of counting them
    #[arg(long)]
    pub idle: bool,
    /// Measure the CPU time of wakeups in vain too, by a program at every switch between tasks
    #[arg(long)]
    pub cost: bool,
    /// How to print reports
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Worker lines to show for each listener in the table
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub workers: usize,
    /// Write all that is shown to a file too, one update per line
    #[arg(long, hide = true, value_name = "FILE")]
    pub updates: Option<PathBuf>,
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Options of `observer listeners`.
#[derive(Args, Clone, Debug)]
pub struct ListenersArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Holder lines to show for each listener in the table
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub holders: usize,
    /// Say more: -v shows causes of errors, and what was left out
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Which listeners.
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// Options of `observer explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// The finding, by its name in the JSON; the list of all without it
    #[arg(value_name = "FINDING", value_parser = PossibleValuesParser::new(observer::findings::explain::ids()))]
    pub finding: Option<String>,
    /// How to print (what docs/findings.md is made with)
    #[arg(long, value_enum, hide = true, default_value_t = ExplainFormat::Text)]
    pub format: ExplainFormat,
}

/// How to print an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For a terminal
    Text,
    /// For docs/
    Markdown,
}

/// Options of `observer doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Show the kernel's own words for each refusal
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Options of `observer schema`.
#[derive(Args, Clone, Debug)]
pub struct SchemaArgs {
    /// Only this kind of document; all of them without it
    #[arg(value_name = "DOCUMENT", value_parser = PossibleValuesParser::new(observer::schema::names()))]
    pub document: Option<String>,
    /// How to print (what docs/json.md is made with)
    #[arg(long, value_enum, hide = true, default_value_t = SchemaFormat::Json)]
    pub format: SchemaFormat,
}

/// How to print the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// JSON Schema, for programs
    Json,
    /// A reference, for people
    Markdown,
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{LONG_VERSION, parse};

    fn refused(word: &str) -> String {
        let error = parse(["observer", word].map(Into::into).into_iter()).expect_err("no command");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn hidden_commands_are_not_proposed() {
        for (word, hidden) in [("nop", "noop"), ("verif", "verify"), ("replai", "replay")] {
            let told = refused(word);
            assert!(told.contains("unrecognized subcommand") && !told.contains(hidden), "{told}");
            assert!(!told.contains("\n\n\n"), "{told}");
        }
        assert!(refused("listner").contains("'listeners'"));
    }

    /// Command lines of observer in the code blocks of a page.
    fn examples(page: &str) -> Vec<String> {
        let mut in_block = false;
        let mut found = Vec::new();
        for line in page.lines() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
            }
            let line = line.trim_start().trim_start_matches("$ ");
            let line = line.strip_prefix("sudo ").unwrap_or(line);
            if in_block && line.starts_with("observer ") && !line.starts_with("observer 0.") {
                let end = line.find(['|', '#', '>', ';', '&']).unwrap_or(line.len());
                found.push(line[..end].trim_end().trim_end_matches('\\').to_owned());
            }
        }
        found
    }

    #[test]
    fn examples_of_the_pages_are_commands() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let docs = fs::read_dir(pages.join("docs")).expect("docs");
        let docs = docs.map(|entry| entry.expect("a page").path());
        let mut count = 0;
        for page in docs.chain([pages.join("README.md")]) {
            if page.extension().is_none_or(|one| one != "md") {
                continue;
            }
            for example in examples(&fs::read_to_string(&page).expect("a page")) {
                let words = example.split_whitespace().map(Into::into);
                if let Err(error) = parse(words) {
                    panic!("{}: {example}: {error}", page.display());
                }
                count += 1;
            }
        }
        assert!(count > 40, "{count} examples");
    }

    #[test]
    fn a_finding_that_is_none_is_refused_with_the_nearest() {
        let words = ["observer", "explain", "fd-exausted"].map(Into::into);
        let error = parse(words.into_iter()).expect_err("no finding");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("'fd-exhausted'"), "{error}");
    }

    #[test]
    fn the_version_tells_which_kernel_programs_are_inside() {
        let lines: Vec<_> = LONG_VERSION.lines().collect();
        assert_eq!(lines[0], env!("CARGO_PKG_VERSION"));
        assert!(lines[1].strip_prefix("commit: ").is_some_and(|commit| !commit.is_empty()));
        let hash = lines[2].strip_prefix("kernel object: sha256:").expect("a hash");
        assert!(hash.len() == 64 && hash.chars().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
    }
}
