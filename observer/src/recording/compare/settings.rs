//! Limits, options and holders that are not what they were.

use std::collections::BTreeSet;

use super::place::Place;
use crate::model::{Backlog, Change, Wait};

/// One setting: its name, and what a place says of it, `None` where it is not known.
type Setting = (&'static str, fn(&Place<'_>) -> Option<String>);

const SETTINGS: [Setting; 11] = [
    ("reuseport", |place| {
        let all: Option<Vec<bool>> = place.open().iter().map(|one| one.reuseport).collect();
        all.map(|all| all.contains(&true).to_string())
    }),
    ("sockets", |place| Some(place.open().len().to_string())),
    ("holders", holders),
    ("workers", |place| {
        let workers = place.workers();
        (!workers.is_empty() && workers.keys().all(|(_, tid)| tid.is_some()))
            .then(|| workers.len().to_string())
    }),
    ("wait", |place| {
        let open = place.open();
        let holders = open.iter().filter_map(|one| one.holders.as_ref()).flatten();
        let waits: BTreeSet<Wait> = holders.filter_map(|one| one.wait).collect();
        let names: Vec<&str> = waits.into_iter().map(word).collect();
        (!names.is_empty()).then(|| names.join(" and "))
    }),
    ("limit", |place| limits(place, |backlog| backlog.limit)),
    ("requested", |place| limits(place, |backlog| backlog.requested)),
    ("somaxconn", |place| limits(place, |backlog| backlog.somaxconn)),
    ("tcp_max_syn_backlog", |place| limits(place, |backlog| backlog.tcp_max_syn_backlog)),
    ("syncookies", |place| limits(place, |backlog| backlog.syncookies)),
    ("abort_on_overflow", |place| limits(place, |backlog| backlog.abort_on_overflow)),
];

/// Those that are known on both sides and differ.
pub(super) fn changes(before: &Place<'_>, after: &Place<'_>) -> Vec<Change> {
    let change = |(name, of): &Setting| {
        let (before, after) = (of(before)?, of(after)?);
        (before != after).then(|| Change {
            name: (*name).to_owned(),
            before: Some(before),
            after: Some(after),
        })
    };
    SETTINGS.iter().filter_map(change).collect()
}

/// Names of the holders, with their number: `nginx ×8`.
fn holders(place: &Place<'_>) -> Option<String> {
    let mut holders = BTreeSet::new();
    for one in place.open() {
        holders.extend(one.holders.as_ref()?.iter().map(|one| (one.comm.as_str(), one.pid)));
    }
    let names: BTreeSet<&str> = holders.iter().map(|(comm, _)| *comm).collect();
    let told: Vec<String> = names
        .into_iter()
        .map(|name| match holders.iter().filter(|(comm, _)| *comm == name).count() {
            1 => name.to_owned(),
            count => format!("{name} ×{count}"),
        })
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// A limit, or the least and the greatest of several.
fn limits(place: &Place<'_>, of: fn(&Backlog) -> Option<u64>) -> Option<String> {
    let limits: Vec<u64> = place.open().iter().filter_map(|one| of(&one.backlog)).collect();
    let (least, most) = (limits.iter().min()?, limits.iter().max()?);
    Some(if least == most { least.to_string() } else { format!("{least} to {most}") })
}

fn word(wait: Wait) -> &'static str {
    match wait {
        Wait::Epoll => "epoll",
        Wait::EpollExclusive => "epoll-exclusive",
        Wait::Poll => "poll",
        Wait::Select => "select",
        Wait::Accept => "accept",
        Wait::IoUring => "io_uring",
    }
}
