//! `observer listeners`: what listens now, without any kernel program.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use anyhow::Result;
use nix::sys::utsname::uname;

use crate::app::{
    cli::{Format, ListenersArgs},
    output,
    render::{
        table::still::{StillOptions, render},
        terminal::Screen,
    },
};
use observer::{
    error::Failure,
    host::{
        descendants,
        filter::Selection,
        holders::{self, Holdings},
        netns,
        options::{self, Options},
        process, waiters,
        ways::Ways,
    },
    kernel::{facts::online_cpus, pid_namespace},
    model::Host,
    report::still::{self, LeftOut, Seen, Still},
};

/// Looks once and prints what was seen.
///
/// # Errors
///
/// When a named process is not there, the own namespace cannot be read, or nothing can be printed.
pub fn run(args: &ListenersArgs) -> Result<()> {
    for pid in &args.filters.pid {
        process::open(*pid)?;
    }
    let still = look(args)?;
    match args.format {
        Format::Json => output::line(&still),
        Format::Table => {
            let screen = Screen::of_stdout();
            let options = StillOptions::new(&screen, args.holders, &args.filters);
            output::write(render(&still, &options).as_bytes())
        }
    }
}

fn look(args: &ListenersArgs) -> Result<Still> {
    let looks = netns::look_with_requests();
    if looks.seen.is_empty() {
        return Err(Failure::not_possible(
            "no network namespace could be read, not even the own one; \
             mount /proc, or see -v for the cause",
        )
        .into());
    }
    let mut selection = Selection::new(args.filters.clone().into());
    let sockets = || looks.seen.values().flat_map(|namespace| &namespace.sockets);
    let wanted = sockets().filter(|one| selection.wants_port(one.port) && one.inode != 0);
    let inodes: HashSet<u64> = wanted.map(|one| one.inode).collect();
    let holders::Scan { mut holdings, refused } = holders::scan_and_tell(&inodes);
    let tree = if args.filters.pid.is_empty() {
        HashSet::new()
    } else {
        descendants::of(&args.filters.pid)
    };
    selection.update(&holdings, &tree);
    holdings.retain(|inode, _| selection.contains_held(*inode));
    tell_ways(&mut holdings);
    let pid_namespace = pid_namespace::of_proc();
    let left_out = LeftOut {
        netns: looks.left_out.clone(),
        processes: refused.len(),
        // The first process is there for everybody, unless others' processes are hidden.
        hidden_processes: pid_namespace.is_some() || !Path::new("/proc/1").exists(),
        pid_namespace,
    };
    let options: HashMap<u64, Options> =
        holdings.iter().map(|(inode, held)| (*inode, options::ask(*inode, held))).collect();
    let seen =
        Seen { host: host(), looks: &looks, holdings: &holdings, options: &options, left_out };
    Ok(still::take(seen, |socket| selection.contains(socket.inode, socket.port)))
}

/// Tells how the holders wait: one look at the threads of each process.
fn tell_ways(holdings: &mut Holdings) {
    let held = holdings.iter().map(|(listener, all)| (*listener, all.as_slice()));
    let waiting = waiters::find(held);
    let ways = Ways::new(std::iter::empty(), &waiting);
    for (listener, all) in holdings {
        for holding in all {
            holding.holder = ways.holder(*listener, holding);
        }
    }
}

fn host() -> Host {
    let name = uname();
    let of = |text: Option<&std::ffi::OsStr>| {
        text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let release = of(name.as_ref().ok().map(nix::sys::utsname::UtsName::release));
    let machine = of(name.as_ref().ok().map(nix::sys::utsname::UtsName::machine));
    Host { kernel: release, arch: machine, cpus: online_cpus() }
}
