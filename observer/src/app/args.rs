//! Arguments that several commands have.

use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use observer::{config::Filters, probes::Provider};

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
