//! What listeners, holders, workers and filters are called.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::args::FilterArgs;
use crate::app::render::{
    cell::{Cell, DIM},
    text,
};
use observer::model::{Family, Holder, Listener, Wait, Worker};

/// The sentence for where no listener is found: `when` says of which time that is true.
pub fn empty(filters: &FilterArgs, when: &str) -> String {
    let flags = flags(filters);
    if flags.is_empty() {
        return format!("no TCP listener was found {when}");
    }
    format!("no listener matched {flags} {when}")
}

/// What is waited for where no listener passes the filters; nothing where there is none.
pub fn waiting(filters: &FilterArgs) -> Option<String> {
    let FilterArgs { pid, port, comm, cgroup } = filters;
    let only_pids = port.is_empty() && comm.is_empty() && cgroup.is_empty();
    if only_pids && pid.is_empty() {
        return None;
    }
    if only_pids {
        let pids: Vec<_> = pid.iter().map(ToString::to_string).collect();
        return Some(format!(
            "no listener is held by process {} or a descendant yet; waiting for one",
            pids.join(", ")
        ));
    }
    Some(format!("no listener matches {} yet; waiting for one", flags(filters)))
}

/// The filters as they are written on a command line.
pub fn flags(filters: &FilterArgs) -> String {
    let FilterArgs { pid, port, comm, cgroup } = filters;
    let flags: Vec<String> = [
        pid.iter().map(|pid| format!("--pid {pid}")).collect::<Vec<_>>(),
        port.iter().map(|port| format!("--port {port}")).collect(),
        comm.iter().map(|comm| format!("--comm {comm}")).collect(),
        cgroup.iter().map(|path| format!("--cgroup {}", path.display())).collect(),
    ]
    .concat();
    text::clean(&flags.join(" "))
}

/// The address of a listener.
pub fn address(listener: &Listener) -> Cell {
    address_and(listener, "")
}

/// `127.0.0.1:8080`, `[::1]:8080`, `*:8080` for every IPv4 address. Every IPv6 address stays
/// `[::]:8080`, because a host can have both on one port. With `more` at its end, which is never cut.
pub fn address_and(listener: &Listener, more: &str) -> Cell {
    let Listener { family, address, port, closed, .. } = listener;
    let host = match family {
        Family::Ipv4 if address == "0.0.0.0" => "*".to_owned(),
        Family::Ipv4 => address.clone(),
        Family::Ipv6 => format!("[{address}]"),
    };
    let closed = if *closed { " closed" } else { "" };
    Cell::blank().or(&host, &format!(":{port}{closed}{more}"))
}

/// Who holds a listener and how they wait for it: `nginx ×8 epoll`, shorter where there is less
/// room. How they wait is what the reader needs to explain a herd, so the names give way to it.
pub fn held_by(listener: &Listener) -> Cell {
    match listener.holders.as_deref() {
        Some([]) if listener.closed => Cell::text("-"),
        all => holders(all, listener.reuseport == Some(true)),
    }
}

/// The holders themselves, `?` where they are not known, and whether their listener has SO_REUSEPORT.
pub fn holders(holders: Option<&[Holder]>, reuseport: bool) -> Cell {
    let Some(holders) = holders else { return Cell::text("?").styled(DIM) };
    let mut pids: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for holder in holders {
        pids.entry(&holder.comm).or_default().insert(holder.pid);
    }
    let mut names: Vec<(&str, usize)> =
        pids.iter().map(|(name, pids)| (*name, pids.len())).collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let Some((first, others)) = names.split_first() else {
        return Cell::text("none seen").styled(DIM);
    };

    // What is least to be missed: how many there are.
    let number = if first.1 == 1 { String::new() } else { format!(" ×{}", first.1) };
    let times = |(name, processes): &(&str, usize)| match processes {
        1 => (*name).to_owned(),
        _ => format!("{name} ×{processes}"),
    };
    let all: Vec<String> = names.iter().map(times).collect();
    let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
    let (wait, short_wait) = waits(holders);
    let reuseport = if reuseport { ", reuseport" } else { "" };
    Cell::text(&format!("{}{wait}{reuseport}", all.join(", ")))
        .or(&format!("{}{more}{wait}{reuseport}", times(first)), "")
        .or(&format!("{}{more}{wait}", times(first)), "")
        .or(&format!("{}{more}{short_wait}", times(first)), "")
        .or(first.0, &format!("{number}{short_wait}"))
        .or(first.0, &number)
}

/// How the holders wait, in full and short; nothing where it is not known.
fn waits(holders: &[Holder]) -> (String, String) {
    let ways: BTreeSet<Wait> = holders.iter().filter_map(|holder| holder.wait).collect();
    let ways: Vec<Wait> = ways.into_iter().collect();
    match ways[..] {
        [] => (String::new(), String::new()),
        [Wait::EpollExclusive] => (" epoll-exclusive".to_owned(), " exclusive".to_owned()),
        [one] => (wait(Some(one)).to_owned(), wait(Some(one)).to_owned()),
        [first, ref others @ ..] => {
            let others: String =
                others.iter().map(|one| format!(" and{}", wait(Some(*one)))).collect();
            (format!("{}{others}", wait(Some(first))), " mixed".to_owned())
        }
    }
}

/// How one holder waits, after a blank; nothing where it is not known.
pub fn wait(wait: Option<Wait>) -> &'static str {
    match wait {
        Some(Wait::Epoll) => " epoll",
        Some(Wait::EpollExclusive) => " epoll-exclusive",
        Some(Wait::Poll) => " poll",
        Some(Wait::Select) => " select",
        Some(Wait::Accept) => " accept",
        Some(Wait::IoUring) => " io_uring",
        None => "",
    }
}

/// A worker: name and process, and the thread where it is not the first.
pub fn worker(worker: &Worker) -> Cell {
    let Worker { pid, tid, comm, .. } = worker;
    let id = match (pid, tid) {
        (Some(pid), Some(tid)) if pid == tid => format!(" {pid}"),
        (Some(pid), Some(tid)) => format!(" {pid}/{tid}"),
        _ => String::new(),
    };
    Cell::blank().or(&format!("  {comm}"), &id)
}

/// Why a connection attempt was dropped, by its key in `drops.by_reason`; the key where it is not known.
pub fn drop_reason(key: &str) -> &str {
    match key {
        "accept_queue_full_syn" => "accept queue full at the SYN",
        "accept_queue_full_ack" => "accept queue full at the final ACK",
        "syn_queue_full" => "SYN queue full",
        "syn_queue_last_quarter" => "in the last quarter of tcp_max_syn_backlog",
        "no_memory" => "no memory",
        "policy_or_route" => "no route back, or a policy",
        "other" => "another reason",
        unknown => unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures;

    fn shown(cell: &Cell, width: usize) -> String {
        cell.at(width)
    }

    #[test]
    fn the_sentence_names_the_filters() {
        let mut filters = FilterArgs::default();
        assert_eq!(empty(&filters, "in this window"), "no TCP listener was found in this window");
        filters.port = vec![8080];
        assert_eq!(
            empty(&filters, "in this window"),
            "no listener matched --port 8080 in this window"
        );
        filters.port.push(8081);
        filters.pid = vec![1];
        filters.comm = vec!["a\u{1b}[2Jb".into()];
        filters.cgroup = vec!["/sys/fs/cgroup/x".into()];
        assert_eq!(
            empty(&filters, "in this window"),
            "no listener matched --pid 1 --port 8080 --port 8081 --comm a?[2Jb \
             --cgroup /sys/fs/cgroup/x in this window"
        );
    }

    #[test]
    fn addresses() {
        let mut listener = fixtures::listener("0.0.0.0", 80);
        assert_eq!(address(&listener).whole(), "*:80");
        listener.closed = true;
        assert_eq!(address(&listener).whole(), "*:80 closed");
        assert_eq!(address(&fixtures::listener("127.0.0.1", 1)).whole(), "127.0.0.1:1");
        assert_eq!(address(&fixtures::listener("::", 443)).whole(), "[::]:443");
        assert_eq!(address(&fixtures::listener("fe80::1", 443)).whole(), "[fe80::1]:443");
    }

    #[test]
    fn holders_give_way_to_how_they_wait() {
        let mut listener = fixtures::listener("0.0.0.0", 80);
        assert_eq!(shown(&held_by(&listener), 20), "none seen");
        listener.closed = true;
        assert_eq!(shown(&held_by(&listener), 20), "-");
        listener.holders = None;
        assert_eq!(shown(&held_by(&listener), 20), "?");
        let holder = |pid, comm: &str, wait| Holder { pid, comm: comm.into(), fd: 6, wait };
        listener.holders = (1..=8)
            .flat_map(|pid| {
                [holder(pid, "nginx", Some(Wait::EpollExclusive)), holder(pid, "nginx", None)]
            })
            .chain([holder(9, "systemd", None)])
            .collect::<Vec<_>>()
            .into();
        listener.reuseport = Some(true);
        let cell = held_by(&listener);
        assert_eq!(shown(&cell, 99), "nginx ×8, systemd epoll-exclusive, reuseport");
        assert_eq!(shown(&cell, 40), "nginx ×8 +1 epoll-exclusive, reuseport");
        assert_eq!(shown(&cell, 30), "nginx ×8 +1 epoll-exclusive");
        assert_eq!(shown(&cell, 22), "nginx ×8 +1 exclusive");
        assert_eq!(shown(&cell, 18), "nginx ×8 exclusive");
        assert_eq!(shown(&cell, 15), "nginx ×8");
        assert_eq!(shown(&cell, 7), "ngi… ×8");
        listener.holders.get_or_insert_default().push(holder(10, "nginx", Some(Wait::Epoll)));
        assert_eq!(shown(&held_by(&listener), 14), "nginx ×9 mixed");
        assert_eq!(shown(&held_by(&listener), 11), "nginx ×9");
    }

    #[test]
    fn workers_keep_their_ids() {
        let mut one = fixtures::worker("a-long-name-of-it", 4242);
        assert_eq!(shown(&worker(&one), 12), "  a-lo… 4242");
        one.tid = Some(4250);
        assert_eq!(shown(&worker(&one), 40), "  a-long-name-of-it 4242/4250");
        one.comm = "a\nb".into();
        assert_eq!(shown(&worker(&one), 40), "  a?b 4242/4250");
        (one.pid, one.tid) = (None, None);
        assert_eq!(shown(&worker(&one), 40), "  a?b");
    }
}
