//! Making a report. Everything that it needs is handed in, so that it can be tested without a
//! kernel.

use std::collections::BTreeSet;

use observer_common::counters::{FLAG_REUSEPORT, QueueStats};

use crate::{
    host::holders::Holding,
    model::{Family, Listener, Report, ReportLine, ReuseportGroup, SCHEMA_VERSION, Tool},
    report::{
        counts, exact,
        fairness::fairness,
        idle::LastSeen,
        input::Input,
        join::{Joined, join},
        place::{Groups, address},
        queues,
        refusals::Refusals,
        waits::{Histogram, accept_wait},
        workers::{merge_errors, workers},
    },
};

/// Makes the report. `last_seen` is of the report before.
#[must_use]
pub fn build(input: Input<'_>, last_seen: &mut LastSeen) -> Report {
    let mut all = join(input.now, input.before, input.counted);
    let refusals = Refusals::of(&input, &all);
    let groups = Groups::of(&all);
    all.retain(|one| input.selection.contains(one.id, one.port));
    let idle = last_seen.idle(&input, &all, &refusals, &groups);
    let mut listeners = Vec::with_capacity(all.len());
    let (mut inferred, mut shown) = (0, BTreeSet::new());
    let (mut uncounted, mut of_kernel) = (input.counted.misc.in_doubt, false);
    let (mut incomplete, mut idle_listeners) = (0, 0);
    let mut unless_found = BTreeSet::new();
    for (one, idle) in all.iter().zip(idle) {
        inferred += input.counted.queues.get(&one.id).map_or(0, |queue| queue.inferred);
        uncounted += counts::unrecognised(input.counted, one.id);
        of_kernel |= input.counted.of_kernel.contains(&one.id);
        incomplete += u64::from(input.counted.incomplete.contains(one.id));
        shown.insert(one.netns);
        let is_left_out = idle && all.len() > input.most;
        if is_left_out && !last_seen.had_finding(one) {
            idle_listeners += 1;
        } else if let Some(listener) = listener(&input, *one, &refusals, &groups) {
            if is_left_out {
                unless_found.insert((listener.netns, listener.inode));
            }
            listeners.push(listener);
        }
    }
    // Those of one port are ordered by their addresses.
    for of_port in
        listeners.chunk_by_mut(|one, next| (one.netns, one.port) == (next.netns, next.port))
    {
        of_port.sort_by(|one, other| {
            let by_address = (one.family, &one.address).cmp(&(other.family, &other.address));
            by_address.then(one.inode.cmp(&other.inode))
        });
    }
    let audit = refusals.audit(&input, shown, incomplete);
    let (missed_runs, unsettled) = (input.missed_runs, input.counted.unsettled);
    let counted =
        exact::Counted { inferred, uncounted, of_kernel, missed_runs, incomplete, unsettled };
    let providers = exact::in_window(input.providers, counted);
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        line: ReportLine::Report,
        tool: Tool { name: "observer".into(), version: env!("CARGO_PKG_VERSION").into() },
        host: input.host.clone(),
        window: input.window,
        providers,
        listeners,
        idle_listeners,
        audit,
    };
    (input.look)(&mut report, &mut last_seen.descriptors);
    (input.judge)(&mut report);
    let judged = report.listeners.len();
    report
        .listeners
        .retain(|one| !one.findings.is_empty() || !unless_found.contains(&(one.netns, one.inode)));
    let found_nothing = u64::try_from(judged - report.listeners.len()).unwrap_or(u64::MAX);
    report.idle_listeners = report.idle_listeners.saturating_add(found_nothing);
    last_seen.note_findings(&report);
    report
}

fn listener(
    input: &Input<'_>,
    one: Joined<'_>,
    refusals: &Refusals,
    groups: &Groups,
) -> Option<Listener> {
    let Joined { netns, port, id, socket, earlier, info } = one;
    let address = match (socket, info) {
        (Some(socket), _) => socket.address,
        (None, Some(info)) => address(info),
        (None, None) => return None,
    };
    let reuseport = info
        .map(|info| info.flags & FLAG_REUSEPORT != 0)
        .or_else(|| socket.and_then(|socket| groups.at(netns, socket)).map(|_| true));
    let closed = socket.is_none() && info.is_some_and(|info| info.closed != 0);
    let holdings = input.holdings.get(&id).map(Vec::as_slice).unwrap_or_default();
    let workers = workers(input, id);
    // A listener without a row is one on which nothing was counted: because nothing happened, or for want of room.
    let row = input.counted.queues.get(&id).copied();
    let is_known = row.is_some() || !input.counted.incomplete.contains(id);
    let row = row.or(is_known.then_some(QueueStats::ZERO));
    let queue = row.unwrap_or(QueueStats::ZERO);
    let wakeups = row.map(|_| counts::sum(workers.iter().map(|worker| worker.wakeups)));
    let accepted = row.map(|_| workers.iter().map(|worker| worker.accepted).sum());
    let limit = socket
        .or(earlier)
        .and_then(|socket| socket.limit)
        .or_else(|| info.map(|info| info.limit))
        .map(u64::from);
    let group = socket.and_then(|socket| groups.at(netns, socket)).unwrap_or_default();
    let holds = |pid, other| {
        let holdings: Option<&Vec<Holding>> = input.holdings.get(&other);
        holdings.is_some_and(|all| all.iter().any(|holding| holding.holder.pid == pid))
    };
    let elsewhere = |pid| group.iter().any(|other| *other != id && holds(pid, *other));
    let namespace = input.namespace(netns);
    Some(Listener {
        netns: netns.inode,
        cookie: socket
            .or(earlier)
            .and_then(|socket| socket.cookie)
            .or_else(|| info.map(|info| info.cookie).filter(|cookie| *cookie != 0)),
        inode: id,
        family: if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 },
        address: address.to_string(),
        port,
        reuseport,
        reuseport_group: reuseport_group(group),
        closed,
        incomplete: input.counted.incomplete.contains(id),
        holders: input.holders(id),
        holder_states: None,
        queued: row.map(|row| row.queued),
        accepted,
        discarded: row.map(|row| row.discarded),
        wakeups,
        herd_ratio: wakeups.zip(accepted).and_then(|(all, accepted)| ratio(all.total, accepted)),
        wasted_cpu: input.counted.cost.as_ref().map(|cost| cost.of(id)),
        accept_errors: merge_errors(&workers),
        accept_queue: queues::accept_queue(row.as_ref(), socket, limit),
        syn_queue: queues::syn_queue(
            &queue,
            input.requests.at(netns.inode, id),
            limit,
            is_known && input.providers.drops.via.sees_functions(),
        ),
        backlog: queues::backlog(
            limit,
            input.counted.asked.get(&id).copied().map(u64::from),
            namespace,
            namespace.and_then(|now| now.among(netns.inode, input.before)),
        ),
        accept_wait: accept_wait(
            &Histogram::of(&input.counted.waits, id),
            row.as_ref(),
            // A note of a connection that is there no more is no connection that waits.
            socket
                .filter(|socket| socket.queue != 0)
                .and_then(|_| input.counted.oldest.get(&id))
                .map(|entered| input.clock.saturating_sub(*entered)),
        ),
        drops: refusals.of_listener(row.as_ref(), id),
        fairness: fairness(&workers, holdings, elsewhere),
        workers,
        server: None,
        findings: Vec::new(),
    })
}

/// The listeners at one place, where there are several.
fn reuseport_group(group: &[u64]) -> Option<ReuseportGroup> {
    let id = group.iter().copied().min()?;
    Some(ReuseportGroup { id, size: group.len() })
}

/// `wakeups / accepted`, unknown when nothing was accepted.
#[must_use]
pub fn ratio(wakeups: u64, accepted: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits of a count")]
    (accepted != 0).then(|| wakeups as f64 / accepted as f64)
}
