//! An agent of its own: the herd ratio of each listener of the given processes, every second, until they end.
//!
//! `cargo run --example herd_ratios -- 4242`, as root.
#![expect(clippy::print_stdout, reason = "what an example finds out goes to standard output")]

use std::time::Duration;

use observer::{Config, Ended, Filters, Observer, Reports, Update};

/// Prints them.
///
/// # Errors
///
/// See [`Observer::open`].
#[tokio::main(flavor = "current_thread")]
pub async fn main() -> anyhow::Result<()> {
    let pid = std::env::args().skip(1).map(|pid| pid.parse()).collect::<Result<_, _>>()?;
    let reports = Reports::Intervals(Duration::from_secs(1));
    let filters = Filters { pid, ..Filters::default() };
    let mut observer = Observer::open(&Config { filters, reports, ..Config::default() })?;
    println!("observing {} listeners", observer.chosen());
    while let Some(update) = observer.next().await? {
        let (Update::Report(report) | Update::Ended(Ended { total: report, .. })) = update else {
            continue;
        };
        for listener in report.listeners {
            println!("{} {} {:?}", listener.address, listener.port, listener.herd_ratio);
        }
    }
    Ok(())
}
