//! Arguments of `observer top`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::app::args::{ObserveArgs, positive_duration};

/// Options of `observer top`.
#[derive(Args, Clone, Debug)]
pub struct TopArgs {
    /// How long an interval is, such as 500ms or 2s; + and - change it
    #[arg(long, value_name = "TIME", value_parser = positive_duration, default_value = "1s")]
    pub interval: Duration,
    /// Show a recording instead of this host, at the pace at which it was made; needs no root
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pid", "port", "comm", "cgroup"])]
    pub replay: Option<PathBuf>,
    /// Times the pace of the recording; 0 reads it to its end and stands there
    #[arg(long, value_name = "TIMES", requires = "replay", default_value_t = 1.0, value_parser = pace)]
    pub speed: f64,
    /// Measure the CPU time of wakeups in vain too, by a program at every switch between tasks
    #[arg(long, conflicts_with = "replay")]
    pub cost: bool,
    /// Leave the mouse to the terminal, which then selects text as it always does (m changes it)
    #[arg(long)]
    pub no_mouse: bool,
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Parses a pace.
fn pace(text: &str) -> Result<f64, String> {
    let pace: f64 = text.parse().map_err(|_| "write a number such as 1, 0.5 or 10".to_owned())?;
    if pace.is_finite() && (0.0..=1_000.0).contains(&pace) {
        return Ok(pace);
    }
    Err("write a number from 0 to 1000".to_owned())
}
