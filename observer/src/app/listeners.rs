//! `observer listeners`: what listens now. Nothing is attached; where kernel programs may be loaded, one is run once to
//! tell how processes wait.

use std::{collections::HashSet, path::Path};

use anyhow::Result;

use crate::app::{
    cli::{Format, ListenersArgs},
    output,
    render::{labels, listeners::render, table::TableOptions, terminal::Screen},
};
use observer::{
    bpf::watches,
    error::Failure,
    host::{
        descendants,
        filter::Selection,
        holders::{self, Holdings},
        identity::Identities,
        netns,
        patience::Patience,
        process, sockopts, waiters,
        waits::Waits,
        ways::Ways,
    },
    kernel::{facts, pid_namespace},
    model::{LeftOut, ListenerList},
    report::sockets::{self, Seen},
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
    let list = look(args)?;
    match args.format {
        Format::Json => output::line(&list),
        Format::Table => {
            let screen = Screen::of_stdout();
            let empty = labels::empty(&args.filters, "now");
            let options = TableOptions::new(&screen, args.holders, empty);
            output::write(render(&list, &options).as_bytes())
        }
    }
}

fn look(args: &ListenersArgs) -> Result<ListenerList> {
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
    let patience = Patience::default();
    let options = sockopts::ask_all(&holdings, &patience);
    let seen = Seen {
        host: facts::host(),
        looks: &looks,
        holdings: &holdings,
        options: &options,
        left_out,
    };
    let mut list = sockets::list(seen, |socket| selection.contains(socket.inode, socket.port));
    tell_servers(&mut list, patience.clone());
    sockets::judge(&mut list, &patience);
    Ok(list)
}

/// Tells which servers the listeners belong to.
fn tell_servers(list: &mut ListenerList, patience: Patience) {
    let mut identities = Identities::new(patience);
    let unobserved = list.unobserved().listeners;
    for (listed, listener) in list.listeners.iter_mut().zip(&unobserved) {
        listed.server = identities.server(listener);
    }
}

/// Tells how the holders wait: as the kernel has it where it may be asked, and else as /proc tells it of one's own
/// processes.
fn tell_ways(holdings: &mut Holdings) {
    let waits = match watches::once() {
        Ok(records) => Waits::of_records(&records, |listener| holdings.contains_key(&listener)),
        Err(error) => {
            log::debug!("how processes wait is looked up in /proc: {error:#}");
            waiters::of_proc(holdings)
        }
    };
    let ways = Ways::new(std::iter::empty(), &waits);
    for (listener, all) in holdings {
        for holding in all {
            holding.holder = ways.holder(*listener, holding);
        }
    }
}
