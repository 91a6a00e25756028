//! Arguments that several commands have.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use observer::{
    config::{Config, Filters},
    probes::Provider,
};

/// Which listeners to show: values of one flag are alternatives, different flags must all hold.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Listeners held by this process or its descendants, now or later (repeatable)
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Vec<u32>,
    /// Listeners on this port (repeatable)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Vec<u16>,
    /// Listeners held by a process of this name (repeatable)
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub comm: Vec<String>,
    /// Listeners held by a process in this cgroup or below it (repeatable)
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
}

impl From<FilterArgs> for Filters {
    fn from(args: FilterArgs) -> Self {
        let FilterArgs { pid, port, comm, cgroup } = args;
        Self { pid, port, comm, cgroup }
    }
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs: one object per line
    Json,
}

/// Which kind of hooks to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProviderArg {
    /// The best that this kernel gives
    Auto,
    /// fentry and fexit programs
    Fentry,
    /// kprobes and kretprobes
    Kprobe,
    /// Tracepoints only
    Tracepoint,
}

impl From<ProviderArg> for Option<Provider> {
    fn from(argument: ProviderArg) -> Self {
        match argument {
            ProviderArg::Auto => None,
            ProviderArg::Fentry => Some(Provider::Fentry),
            ProviderArg::Kprobe => Some(Provider::Kprobe),
            ProviderArg::Tracepoint => Some(Provider::Tracepoint),
        }
    }
}

/// What to observe and by which hooks: what every face that opens a window takes.
#[derive(Args, Clone, Debug)]
pub struct ObserveArgs {
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
    /// Say more: -v shows each drop that a hook sees and causes of errors, -vv the kernel programs' debug lines
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Which listeners.
    #[command(flatten)]
    pub filters: FilterArgs,
}

impl ObserveArgs {
    /// The window that these arguments ask for, without events and with no report before its end.
    #[must_use]
    pub fn config(&self) -> Config {
        Config {
            filters: self.filters.clone().into(),
            provider: self.provider.into(),
            max_listeners: self.max_listeners,
            map_memory: self.map_memory,
            least_maps: self.least_maps,
            debug_lines: self.verbose >= 2,
            ..Config::default()
        }
    }
}

/// Parses a time such as `8s`, `500ms` or `2min 30s`; zero is refused.
///
/// # Errors
///
/// In the words for whoever typed it.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a time such as 8s, 500ms or 2min"))?;
    if duration.is_zero() {
        return Err("a time of zero makes no window; write one such as 8s, 500ms or 2min".into());
    }
    Ok(duration)
}
