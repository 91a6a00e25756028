//! The numbers beneath a listener: drops, queues and waits, each only where there was anything.

use std::fmt::Write as _;

use anstyle::Style;

use super::columns::OF_WAIT;
use crate::app::render::{
    cell::{CAUTION, DIM},
    columns::{About, OF_DROPS, OF_QUEUE},
    labels::drop_reason,
    line::{Line, indented},
};
use observer::{
    model::{Drops, Listener, Providers, Worth},
    units,
};

/// All that is said of a listener, from the gravest to the ordinary.
pub(super) fn lines(listener: &Listener, providers: &Providers, width: usize) -> Vec<Line> {
    let mark = |about: About| if about.is(Worth::Estimate, providers) { "~" } else { "" };
    let lacking = match listener.queued {
        Some(_) => "its numbers are too low: the kernel maps had no room for all of it",
        None => "its numbers are not known: the kernel maps had no room for it",
    };
    let told = [
        listener.incomplete.then(|| (lacking.to_owned(), CAUTION)),
        dropped(&listener.drops, mark(OF_DROPS)).map(|told| (told, OF_DROPS.style(listener))),
        discarded(listener).map(|told| (told, CAUTION)),
        queues(listener, mark(OF_QUEUE)).map(|told| (told, or_dim(OF_QUEUE.style(listener)))),
        waits(listener, mark(OF_WAIT)).map(|told| (told, or_dim(OF_WAIT.style(listener)))),
    ];
    let told = told.into_iter().flatten();
    told.flat_map(|(told, style)| indented(&told, "  ", style, width)).collect()
}

/// `12 dropped: 8 accept queue full at the SYN, 4 at the final ACK; 5 clients`.
fn dropped(drops: &Drops, mark: &str) -> Option<String> {
    let total = drops
        .total
        .or(drops.at_most.map(|_| 0))
        .filter(|total| *total > 0 || drops.at_most.is_some())?;
    let count =
        |name: &str| drops.by_reason.as_ref()?.get(name).copied().filter(|count| *count > 0);
    let mut parts = Vec::new();
    let syns = count("accept_queue_full_syn");
    if let Some(syns) = syns {
        parts.push(format!("{mark}{syns} {}", drop_reason("accept_queue_full_syn")));
    }
    if let Some(acks) = count("accept_queue_full_ack") {
        let what = drop_reason("accept_queue_full_ack");
        let what = if syns.is_some() { "at the final ACK" } else { what };
        parts.push(format!("{mark}{acks} {what}"));
    }
    for reason in
        ["syn_queue_full", "syn_queue_last_quarter", "no_memory", "policy_or_route", "other"]
    {
        if let Some(count) = count(reason) {
            parts.push(format!("{mark}{count} {}", drop_reason(reason)));
        }
    }
    let mut told = format!("{mark}{} dropped", units::count(total));
    if let Some(most) = drops.at_most {
        told = format!("{} to {} dropped", units::count(total), units::count(most));
    }
    if !parts.is_empty() {
        let _ = write!(told, ": {}", parts.join(", "));
    }
    if let Some(clients @ 1..) = drops.clients {
        let least = if drops.clients_overflowed { "at least " } else { "" };
        let noun = if clients == 1 { "client" } else { "clients" };
        let _ = write!(told, "; {least}{clients} {noun}");
    }
    // Without reasons, clients and a choice, the column has said it.
    (!parts.is_empty()
        || drops.at_most.is_some()
        || drops.clients.is_some_and(|clients| clients > 0))
    .then_some(told)
}

/// `3 connections were reset: they were in the accept queue when the listener closed`. The kernel may have moved
/// those of a reuseport group to another listener (`net.ipv4.tcp_migrate_req`).
fn discarded(listener: &Listener) -> Option<String> {
    let discarded = listener.discarded.unwrap_or(0);
    let count = match discarded {
        0 => return None,
        1 => "1 connection was reset".to_owned(),
        several => format!("{} connections were reset", units::count(several)),
    };
    let moved = match listener.reuseport {
        Some(true) => ", or moved to another listener of its group if tcp_migrate_req is 1",
        _ => "",
    };
    let were = if discarded == 1 { "it was" } else { "they were" };
    Some(format!("{count}{moved}: {were} in the accept queue when the listener closed"))
}

/// The accept queue's most is in the table, so that it is told only where it tells more: where
/// connections wait now, where it was half full, or beside the SYN queue. A SYN queue that never held
/// two was none.
fn queues(listener: &Listener, mark: &str) -> Option<String> {
    let (accept, syn) = (&listener.accept_queue, &listener.syn_queue);
    let limit = accept.limit.or(listener.backlog.limit);
    let queue = |max: u64, now: Option<u64>| {
        let mut told = units::count(max);
        if let Some(limit) = limit {
            let _ = write!(told, "/{limit}");
        }
        if let Some(now @ 1..) = now {
            let _ = write!(told, ", {} now", units::count(now));
        }
        told
    };
    let mut parts = Vec::new();
    let now = syn.now.filter(|now| *now > 0);
    match (syn.max, now) {
        (Some(max), _) if max > 1 || now.is_some() => {
            let least = if syn.sampled { "at least " } else { "" };
            parts.push(format!("SYN queue {least}{}", queue(max, now)));
        }
        _ => {}
    }
    if let Some(sent @ 1..) = syn.cookies_sent {
        let noun = if sent == 1 { "cookie" } else { "cookies" };
        parts.push(format!("{sent} {noun} sent"));
    }
    let most = accept.max.max(accept.now).unwrap_or(0);
    let half_full = limit.is_some_and(|limit| most > limit / 2 && most > 1);
    if accept.now.unwrap_or(0) > 0 || half_full || (!parts.is_empty() && most > 0) {
        let mark = if accept.max.is_none() { "at least " } else { mark };
        parts.insert(0, format!("accept queue {mark}{}", queue(most, accept.now)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The colour of a finding, or none that draws the eye.
fn or_dim(style: Style) -> Style {
    if style.is_plain() { DIM } else { style }
}

fn waits(listener: &Listener, mark: &str) -> Option<String> {
    let wait = &listener.accept_wait;
    let named = [("p50", wait.p50), ("p90", wait.p90), ("p99", wait.p99), ("max", wait.max)];
    let told: Vec<String> = named
        .into_iter()
        .filter_map(|(name, wait)| Some(format!("{name} {mark}{}", units::time(wait?))))
        .collect();
    let mut parts = Vec::new();
    if wait.count != Some(0) && !told.is_empty() {
        parts.push(format!("accept wait {}", told.join(", ")));
    }
    if let Some(oldest) = wait.oldest {
        parts.push(format!("the oldest in the queue waits for {}", units::time(oldest)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests;
