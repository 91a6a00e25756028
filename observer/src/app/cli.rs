//! The command line: clap's definitions and nothing else.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::PossibleValuesParser};

pub use crate::app::args::{FilterArgs, Format, ProviderArg};
use crate::app::demo::{args::DemoArgs, workload::WorkloadArgs};

/// A kernel-side observer of the TCP accept path.
///
/// Counts, per listener, how many tasks the kernel wakes for each connection (the thundering
/// herd), who wins and who wakes for nothing, how full the accept queue gets and against which
/// limit, and how accept fails.
#[derive(Debug, Parser)]
#[command(name = "observer", version, args_conflicts_with_subcommands = true)]
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
    /// Show what listens now, who holds it and how full its queues are; needs no root
    Listeners(ListenersArgs),
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
    Man,
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
    /// How to print reports
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Worker lines to show for each listener in the table
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub workers: usize,
    /// Which kind of hooks to use
    #[arg(long, value_enum, default_value_t = ProviderArg::Auto)]
    pub provider: ProviderArg,
    /// Kernel memory that all maps together may take, in MiB [default: 64]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub map_memory: Option<u32>,
    /// Make every kernel map as small as it may be
    #[arg(long, hide = true)]
    pub least_maps: bool,
    /// Room for so many listeners in the kernel maps, where it is not to be found out
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_listeners: Option<u32>,
    /// Write all that is shown to a file too, one update per line
    #[arg(long, hide = true, value_name = "FILE")]
    pub updates: Option<PathBuf>,
    /// Say more: -v shows each drop that a hook sees and causes of errors, -vv the kernel programs' debug lines
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Which listeners.
    #[command(flatten)]
    pub filters: FilterArgs,
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

/// Parses a time such as `8s`, `500ms` or `2min 30s`; zero is refused.
fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a time such as 8s, 500ms or 2min"))?;
    if duration.is_zero() {
        return Err("a time of zero makes no window; write one such as 8s, 500ms or 2min".into());
    }
    Ok(duration)
}
