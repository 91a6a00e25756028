//! Processes of this very program that the bench measures or measures with, started with `bench-role`:
//! clients and workers (`children`), servers that only wait (`idle`), and hosts of many (`hosts`).

mod children;
mod hosts;
mod idle;

use std::{
    os::fd::AsFd as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::{Args, Subcommand};
use nix::unistd::{pipe, read, write};

use self::{
    children::{Children, be_ahead, be_patient, stay_on},
    idle::{address, connect, idle, listener, listeners, serve},
};
use super::{
    guest,
    told::{Told, say},
};

/// The role, with its options.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Connect, accept, close, over and over
    Load(LoadArgs),
    /// Two processes that wake each other by pipes
    Ping {
        #[arg(long)]
        rounds: u64,
    },
    /// Listeners that are there, and workers that wait for the first
    Idle {
        #[arg(long)]
        listeners: usize,
        #[arg(long, default_value_t = 0)]
        workers: u32,
        /// Connections that come to the first each second
        #[arg(long, default_value_t = 0)]
        rate: u32,
    },
    /// Listeners of one process, which accepts and closes
    Serve {
        #[arg(long)]
        listeners: usize,
    },
    /// Listeners, each in a process and a network namespace of its own
    Namespaces {
        #[arg(long)]
        count: usize,
    },
    /// Everything that is measured in a virtual machine
    Guest(guest::GuestArgs),
}

/// Options of the loop.
#[derive(Debug, Args)]
struct LoadArgs {
    #[arg(long)]
    workers: u32,
    /// Workers wait with EPOLLEXCLUSIVE
    #[arg(long)]
    exclusive: bool,
    /// Other listeners beside the one
    #[arg(long, default_value_t = 0)]
    others: usize,
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
    #[arg(long, default_value_t = u64::MAX)]
    connections: u64,
    /// End after so many milliseconds
    #[arg(long, default_value_t = u64::MAX)]
    millis: u64,
    /// The client runs only when no worker does, so that every connection finds all of them asleep
    #[arg(long)]
    patient: bool,
    /// Client and workers run on this CPU, ahead of everything else there and the workers ahead of the
    /// client: every connection finds all of them asleep, and what else the machine does waits
    #[arg(long, conflicts_with = "patient")]
    ahead_on: Option<usize>,
}

/// The priority of a client that is ahead.
const AHEAD: i32 = 1;

/// Plays a role to its end.
pub(crate) fn run(args: &RoleArgs) -> Result<ExitCode> {
    match &args.role {
        Role::Load(args) => load(args)?,
        Role::Ping { rounds } => ping(*rounds)?,
        Role::Idle { listeners, workers, rate } => idle(*listeners, *workers, *rate)?,
        Role::Serve { listeners } => hosts::serve(*listeners)?,
        Role::Namespaces { count } => hosts::namespaces(*count)?,
        Role::Guest(args) => return guest::run(args),
    }
    Ok(ExitCode::SUCCESS)
}

fn load(args: &LoadArgs) -> Result<()> {
    let _others = listeners(args.others)?;
    let listener = listener()?;
    let to = address(&listener)?;
    if let Some(cpu) = args.ahead_on {
        stay_on(cpu)?;
        be_ahead(AHEAD)?;
    }
    let mut children = Children::default();
    for _ in 0..args.workers {
        children.fork(|| {
            if args.ahead_on.is_some() {
                be_ahead(AHEAD + 1)?;
            }
            serve(listener.as_fd(), args.exclusive)
        })?;
    }
    if args.patient {
        be_patient()?;
    }
    // The workers settle in their wait calls.
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..args.warm_up {
        connect(to)?;
    }
    let (sleeps, on_cpu) = (children.sleeps()?, children.on_cpu()?);
    let limit = Duration::from_millis(args.millis);
    let mut connections = 0;
    let began = Instant::now();
    while connections < args.connections {
        connect(to)?;
        connections += 1;
        if args.millis != u64::MAX && connections % 64 == 0 && began.elapsed() >= limit {
            break;
        }
    }
    let took = began.elapsed();
    let (wakeups, on_cpu) = (children.sleeps()? - sleeps, children.on_cpu()? - on_cpu);
    let nanoseconds = u64::try_from(took.as_nanos())?;
    say(&Told { count: connections, nanoseconds, wakeups, cpu: on_cpu })
}

fn ping(rounds: u64) -> Result<()> {
    let (our_end, their_out) = pipe()?;
    let (their_end, our_out) = pipe()?;
    let mut children = Children::default();
    children.fork(|| {
        loop {
            read(&their_end, &mut [0])?;
            write(&their_out, &[0])?;
        }
    })?;
    let once = || -> Result<()> {
        write(&our_out, &[0])?;
        read(&our_end, &mut [0])?;
        Ok(())
    };
    // Each write then runs the child until it sleeps again, and each round is one wakeup: between
    // equals, who runs first after a wakeup is the scheduler's choice, and some rounds need none.
    be_patient()?;
    for _ in 0..rounds / 4 {
        once()?;
    }
    let sleeps = children.sleeps()?;
    let began = Instant::now();
    for _ in 0..rounds {
        once()?;
    }
    let took = began.elapsed();
    let wakeups = children.sleeps()? - sleeps;
    say(&Told { count: rounds, nanoseconds: u64::try_from(took.as_nanos())?, wakeups, cpu: 0 })
}
