//! `observer workload`: a real server and its client, with a tally of their own.
//!
//! Its parent speaks to it by lines: it prints [`Ready`], waits for `go`,
//! runs one round and prints the [`Tally`] of that round, and so on until `quit` or the end of
//! its input. The counts come from the workers themselves and from the kernel's count of context
//! switches: from no BPF program, so that they can be held against what one counts.

use std::{
    io::{self, BufRead},
    process,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::app::output;

use super::{
    asleep::Watch,
    client::{self, Pace},
    listeners::Listeners,
    netns,
    protocol::{Counts, Ready, Tally, WorkerTally},
    server::Server,
    strategy::Strategy,
};

/// Options of `observer workload`.
#[derive(Args, Clone, Debug)]
pub struct WorkloadArgs {
    /// How the workers wait
    #[arg(long, value_enum, value_name = "NAME")]
    pub strategy: Strategy,
    /// Workers of the server
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: u32,
    /// Connections of each round
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub connections: u64,
    /// Address family of the listener, on the loopback address
    #[arg(long, value_enum, default_value_t = FamilyArg::Ipv4)]
    pub family: FamilyArg,
    /// Port of the listener; 0 is any that is free
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// When the client makes its next connection
    #[arg(long, value_enum, default_value_t = Pace::Quiesce)]
    pub pace: Pace,
    /// Run in a new network namespace
    #[arg(long)]
    pub netns: bool,
    /// Workers are threads instead of processes
    #[arg(long)]
    pub threads: bool,
    /// Backlog that the server passes to listen
    #[arg(long, value_name = "N", default_value_t = 511, value_parser = clap::value_parser!(u32).range(0..=65_535))]
    pub backlog: u32,
    /// Say more: -v shows causes of errors
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The address family of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FamilyArg {
    /// 127.0.0.1
    Ipv4,
    /// ::1
    Ipv6,
}

/// Runs a workload until its input ends. It forks: the caller must have no other thread.
///
/// # Errors
///
/// When sockets, workers or the network namespace cannot be made, when a worker or a connection
/// fails, and when the input has a line that is neither `go` nor `quit`.
pub fn run(args: WorkloadArgs) -> anyhow::Result<()> {
    if args.netns {
        netns::enter_new()?;
    }
    let workers = usize::try_from(args.workers)?;
    let ipv6 = args.family == FamilyArg::Ipv6;
    let listeners = Listeners::open(args.strategy, workers, ipv6, args.port, args.backlog)?;
    let (address, described) = (listeners.address, listeners.describe()?);
    let mut listeners = Arc::new(listeners);
    let server = Server::start(args.strategy, &mut listeners, workers, args.threads)?;
    let watch = Watch::new(&server)?;
    watch.all_asleep()?;

    let ready = Ready {
        ready: true,
        pid: process::id(),
        netns: netns::inode()?,
        listeners: described,
        workers: server.workers.clone(),
    };
    output::line(&ready)?;
    for line in io::stdin().lock().lines() {
        match line.context("reading the parent's next line failed; run again")?.as_str() {
            "go" => {
                let begun = Instant::now();
                let before = counts(&server, &watch)?;
                let taken = client::load(args.pace, address, args.connections, &watch)?;
                let after = counts(&server, &watch)?;
                let mut tally = Tally {
                    connections: args.connections,
                    seconds: begun.elapsed().as_secs_f64(),
                    connection_seconds: taken.as_secs_f64(),
                    workers: Vec::with_capacity(workers),
                    sum: Counts::default(),
                };
                for ((&worker, before), after) in server.workers.iter().zip(before).zip(after) {
                    let ((before, blocked_before), (after, blocked)) = (before, after);
                    let mut counts = after.since(before);
                    // All sleeps for locks, where the kernel's counter tells them; before Linux 5.18 it misses one where
                    // the wakeup comes at once (`trace_sched_switch` reads the state late), which the worker may have seen.
                    if let (Some(before), Some(blocked)) = (blocked_before, blocked) {
                        counts.lock_sleeps = counts.lock_sleeps.max(blocked - before);
                    }
                    tally.sum += counts;
                    tally.workers.push(WorkerTally { worker, counts });
                }
                output::line(&tally)?;
            }
            "quit" => break,
            other => bail!("no line {other:?} is known; write go or quit"),
        }
    }
    Ok(())
}

/// Each worker's counts so far, and how often it slept for a lock where that is counted too; taken while all sleep.
fn counts(server: &Server, watch: &Watch<'_>) -> anyhow::Result<Vec<(Counts, Option<u64>)>> {
    let sleeps = watch.all_asleep()?;
    let slots = server.shared.slots().iter();
    Ok(slots.zip(sleeps).map(|(slot, one)| (slot.counts(one.voluntary), one.blocked)).collect())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: WorkloadArgs,
    }

    fn parse(line: &str) -> Result<WorkloadArgs, clap::Error> {
        let matches = Cli::command().try_get_matches_from(line.split_whitespace())?;
        Ok(Cli::from_arg_matches(&matches)?.args)
    }

    #[test]
    fn strategy_is_all_that_is_needed() {
        let args = parse("workload --strategy accept-mutex").expect("valid");
        assert_eq!(args.strategy, Strategy::AcceptMutex);
        assert_eq!((args.workers, args.connections, args.port, args.backlog), (8, 200, 0, 511));
        assert_eq!((args.family, args.pace), (FamilyArg::Ipv4, Pace::Quiesce));
        assert!(!args.netns && !args.threads);
        assert!(parse("workload").is_err());
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(parse("workload --strategy epoll --workers 0").is_err());
        assert!(parse("workload --strategy epoll --workers 1025").is_err());
        assert!(parse("workload --strategy epoll --port 65536").is_err());
        assert!(parse("workload --strategy select").is_err());
        let args = parse("workload --strategy epoll --family ipv6 --pace burst").expect("valid");
        assert_eq!((args.family, args.pace), (FamilyArg::Ipv6, Pace::Burst));
    }
}
