//! Options of `observer demo`.

use clap::Args;

use super::strategy::Strategy;
use crate::app::args::{Format, ProviderArg};

/// Options of `observer demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Only this strategy (repeatable); all of them without it
    #[arg(long, value_enum, value_name = "NAME")]
    pub strategy: Vec<Strategy>,
    /// Workers of each server
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: u32,
    /// Connections to make to each server
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Which kind of hooks to observe with
    #[arg(long, value_enum, default_value_t = ProviderArg::Auto)]
    pub provider: ProviderArg,
    /// Say more: -v shows causes of errors
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}
