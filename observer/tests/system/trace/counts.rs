//! Events of each kind are as many as the report of the same window counts, by every strategy.

use std::{collections::BTreeMap, sync::OnceLock, thread};

use anyhow::{Context as _, anyhow, ensure};
use observer::model::{Event, Listener, LostReason, Via, What};

use super::window::{Told, Trace};
use crate::{
    Need, Outcome, Test,
    events::counted,
    role::{Actor, as_role, connect},
    schema::parse_event,
    workload::{Tally, Workload},
};

/// The strategies of `observer workload`.
const STRATEGIES: [&str; 7] =
    ["epoll", "epoll-exclusive", "epoll-shared", "poll", "blocking", "reuseport", "accept-mutex"];

pub fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = STRATEGIES
        .map(|strategy| {
            let name = format!("trace::equals_the_report::{strategy}");
            Test::new(name, Need::Kernel, move || by_strategy(strategy))
        })
        .into();
    tests.extend([
        Test::new("trace::equals_the_report::no_descriptors", Need::Kernel, no_descriptors),
        Test::new("trace::equals_the_report::drops", Need::Kernel, drops),
        Test::new("trace::what_came_and_what_was_lost_add_up", Need::Kernel, lost),
        Test::new("trace::what_a_limit_leaves_out_is_counted", Need::Kernel, left_out),
        Test::new("trace::kinds_are_chosen", Need::Kernel, kinds_are_chosen),
    ]);
    tests
}

impl Told {
    /// The events, each as the schema has it.
    pub fn events(&self) -> anyhow::Result<Vec<Event>> {
        let event = |line: &str| Ok(serde_json::from_value(parse_event(line)?)?);
        self.stdout.lines().map(event).collect()
    }

    /// How many events there are of each kind, by listener.
    fn kinds(&self) -> anyhow::Result<BTreeMap<u64, BTreeMap<String, u64>>> {
        let mut all = BTreeMap::<u64, BTreeMap<String, u64>>::new();
        for event in self.events()? {
            let inode = event.inode.with_context(|| format!("no listener: {event:?}"))?;
            *all.entry(inode).or_default().entry(kind(&event)?).or_insert(0) += 1;
        }
        Ok(all)
    }

    /// The only listener.
    fn listener(&self) -> anyhow::Result<&Listener> {
        let [one] = self.report.listeners.as_slice() else {
            anyhow::bail!("not one listener: {}", self.json);
        };
        Ok(one)
    }
}

fn kind(event: &Event) -> anyhow::Result<String> {
    let value = serde_json::to_value(event)?;
    Ok(value["kind"].as_str().context("a kind")?.to_owned())
}

/// Number of events that lines say are missing, for this reason.
fn missing(events: &[Event], why: LostReason) -> u64 {
    let count = |event: &Event| match event.what {
        What::Lost { count, reason, .. } if reason == why => count,
        _ => 0,
    };
    events.iter().map(count).sum()
}

/// Number of events that lines tell of one by one.
fn told(events: &[Event]) -> u64 {
    events.iter().filter(|event| !matches!(event.what, What::Lost { .. })).count() as u64
}

/// What became of a strategy, whose servers share one trace: starting one takes seconds on an emulated machine.
fn by_strategy(strategy: &str) -> Outcome {
    static RESULTS: OnceLock<Result<Vec<Result<(), String>>, String>> = OnceLock::new();
    let results = RESULTS.get_or_init(|| all_strategies().map_err(|error| format!("{error:?}")));
    let results = results.as_ref().map_err(|error| anyhow!("{error}"))?;
    let of_it = STRATEGIES.iter().zip(results).find(|(name, _)| **name == strategy);
    of_it.context("it did not run")?.1.clone().map_err(|error| anyhow!(error))
}

fn all_strategies() -> anyhow::Result<Vec<Result<(), String>>> {
    let start = |strategy| {
        let sizes = ["--workers", "4", "--connections", "20", "--netns"];
        Workload::start(&[&["--strategy", strategy], &sizes[..]].concat())
    };
    let mut workloads =
        STRATEGIES.into_iter().map(start).collect::<anyhow::Result<Vec<Workload>>>()?;
    let pids: Vec<_> = workloads.iter().map(|one| one.ready.pid.to_string()).collect();
    let pids = pids.iter().flat_map(|pid| ["--pid", pid]);
    // It ends with the processes that it is about.
    let trace = Trace::start_read(&pids.chain(["--format", "json"]).collect::<Vec<_>>())?;
    let tallies =
        workloads.iter_mut().map(Workload::round).collect::<anyhow::Result<Vec<Tally>>>()?;
    let told = trace.end()?;
    let kinds = told.kinds()?;
    let of_workload = |(workload, tally): (&Workload, &Tally)| {
        of_strategy(&told, &kinds, workload, tally).map_err(|error| format!("{error:?}"))
    };
    let results = workloads.iter().zip(&tallies).map(of_workload).collect();
    let listeners = workloads.iter().flat_map(|one| &one.ready.listeners);
    let inodes: Vec<_> = listeners.map(|at| at.inode).collect();
    ensure!(kinds.keys().all(|inode| inodes.contains(inode)), "{kinds:?}: {inodes:?}");
    ensure!(told.report.listeners.len() == inodes.len(), "{}", told.json);
    // What is said of it beside the lines is on standard error.
    let accepted: u64 = kinds.values().filter_map(|of_it| of_it.get("accepted")).sum();
    ensure!(told.stderr.contains(&format!("{accepted} accepted")), "{}", told.stderr);
    workloads.into_iter().try_for_each(Workload::quit)?;
    Ok(results)
}

/// The events of one server's listeners, against what the report counts and the server itself.
fn of_strategy(
    told: &Told,
    kinds: &BTreeMap<u64, BTreeMap<String, u64>>,
    workload: &Workload,
    tally: &Tally,
) -> Outcome {
    let mut accepted = 0;
    for at in &workload.ready.listeners {
        let mut listeners = told.report.listeners.iter();
        let listener = listeners.find(|one| one.inode == at.inode).context("no listener")?;
        let none = BTreeMap::new();
        let of_it = kinds.get(&listener.inode).unwrap_or(&none);
        ensure!(*of_it == counted(listener), "{of_it:?}, and {:?}", counted(listener));
        accepted += of_it.get("accepted").copied().unwrap_or(0);
    }
    let exact = told.report.providers.accepts.exact;
    ensure!(!exact || accepted == tally.connections, "{accepted} of {}", tally.connections);
    Ok(())
}

fn no_descriptors() -> Outcome {
    let mut server = Actor::start("no-descriptors")?;
    let port = server.port()?;
    let trace = Trace::start(&["--port", &port.to_string(), "--format", "json"])?;
    let clients: Vec<_> = (0..7).map(|_| thread::spawn(move || connect(port))).collect();
    server.port()?;
    let told = trace.end()?;
    server.kill()?;
    clients.into_iter().for_each(|client| drop(client.join()));
    let listener = told.listener()?;
    let kinds = told.kinds()?;
    let of_it = kinds.get(&listener.inode).context("no event")?;
    ensure!(of_it.get("accept_error").is_some_and(|count| *count >= 7), "{of_it:?}");
    ensure!(*of_it == counted(listener), "{of_it:?}, and {:?}", counted(listener));
    Ok(())
}

fn drops() -> Outcome {
    const REFUSED: u64 = 5;
    let mut server = Actor::spawn(as_role("overflow-reborn")?)?;
    let _netns = server.line()?;
    let port = server.port()?;
    let trace = Trace::start(&["--port", &port.to_string(), "--format", "json"])?;
    server.ask(REFUSED)?;
    ensure!(server.line()?.trim() == REFUSED.to_string(), "it did not refuse");
    let told = trace.end()?;
    let events = told.events()?;
    let dropped =
        events.iter().filter(|one| matches!(one.what, What::Dropped { .. })).count() as u64;
    let drops = &told.listener()?.drops;
    if told.report.providers.drops.via == Via::Tracepoint {
        // At the SYN no tracepoint tells them one by one: they are counted, and that is said.
        ensure!(dropped == 0, "{events:?}");
        ensure!(drops.total == Some(REFUSED), "{drops:?}");
        ensure!(told.stderr.contains("seen one by one"), "{}", told.stderr);
        return Ok(());
    }
    ensure!(dropped == REFUSED && drops.total == Some(dropped), "{drops:?}: {events:?}");
    Ok(())
}

/// What happened of the kinds that [`busy`] asks for.
fn happened(told: &Told) -> anyhow::Result<u64> {
    let listener = told.listener()?;
    let (queued, accepted) = listener.queued.zip(listener.accepted).context("counts")?;
    Ok(queued + accepted + listener.accept_errors.values().sum::<u64>())
}

/// Traces a server that is busy, with what else is said. Wakeups are not asked for: what an interrupt woke within a
/// notification is sent too, and only left out when it is told.
fn busy(connections: u64, more: &[&str]) -> anyhow::Result<Told> {
    let count = connections.to_string();
    let arguments =
        ["--strategy", "epoll", "--workers", "4", "--connections", &count, "--pace", "burst"];
    let mut workload = Workload::start(&[arguments.as_slice(), &["--netns"]].concat())?;
    let port = workload.ready.listeners.first().context("a listener")?.port.to_string();
    let kinds = ["--kind", "queued", "--kind", "accepted", "--kind", "accept_error"];
    let trace =
        Trace::start(&[&["--port", &port, "--format", "json"], kinds.as_slice(), more].concat())?;
    // Nobody reads what it prints meanwhile: it waits for that once the pipe is full.
    workload.round()?;
    let told = trace.end_at_once()?;
    workload.quit()?;
    Ok(told)
}

/// More happens than the pipe and the buffers behind it hold.
fn lost() -> Outcome {
    let told = busy(8_000, &[])?;
    let events = told.events()?;
    let (came, lost) = (self::told(&events), missing(&events, LostReason::BufferFull));
    let happened = happened(&told)?;
    ensure!(lost > 0, "nothing was lost of {happened}");
    ensure!(lost == told.report.audit.events_lost, "{lost}: {:?}", told.report.audit);
    ensure!(came + lost == happened, "{came} came and {lost} were lost, of {happened}");
    ensure!(told.stderr.contains(&format!("{lost} more were lost")), "{}", told.stderr);
    // They are missing where they are missing, and not at the end.
    let times: Vec<_> = events.iter().map(|event| event.time.as_str()).collect();
    ensure!(times.is_sorted(), "not in the order of time");
    Ok(())
}

fn left_out() -> Outcome {
    const MOST: u64 = 50;
    let told = busy(400, &["--max-events-per-second", &MOST.to_string()])?;
    let events = told.events()?;
    let (shown, lost) = (self::told(&events), missing(&events, LostReason::BufferFull));
    let left_out = missing(&events, LostReason::RateLimit);
    let happened = happened(&told)?;
    ensure!(left_out > 0 && shown >= MOST, "{shown} shown and {left_out} left out");
    ensure!(
        shown + left_out + lost == happened,
        "{shown} shown, {left_out} left out and {lost} lost, of {happened}"
    );
    let mut of_kinds = BTreeMap::new();
    for event in &events {
        match &event.what {
            What::Lost { count, reason: LostReason::RateLimit, kinds } => {
                let kinds = kinds.as_ref().context("kinds")?;
                ensure!(kinds.values().sum::<u64>() == *count, "{event:?}");
                for (kind, count) in kinds {
                    *of_kinds.entry(kind.clone()).or_insert(0) += count;
                }
            }
            What::Lost { .. } => {}
            _ => *of_kinds.entry(kind(event)?).or_insert(0) += 1,
        }
    }
    ensure!(lost > 0 || of_kinds == counted_busy(&told)?, "{of_kinds:?}");
    ensure!(told.stderr.contains(&format!("{left_out} of them were left out")), "{}", told.stderr);
    Ok(())
}

/// What [`busy`] asks for, as it was counted.
fn counted_busy(told: &Told) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut counted = counted(told.listener()?);
    counted.retain(|kind, _| ["queued", "accepted", "accept_error"].contains(&kind.as_str()));
    Ok(counted)
}

fn kinds_are_chosen() -> Outcome {
    let mut server = Actor::start("listen")?;
    let port = server.port()?;
    let port_text = port.to_string();
    let trace = Trace::start(&["--port", &port_text, "--format", "json", "--kind", "accepted"])?;
    for _ in 0..5 {
        connect(port)?;
    }
    let told = trace.end()?;
    let kinds = told.kinds()?;
    let of_it = kinds.values().next().context("no event")?;
    ensure!(*of_it == BTreeMap::from([("accepted".to_owned(), 5)]), "{of_it:?}");
    // The others were not sent and then left out.
    ensure!(told.report.audit.events_sent == Some(5), "{:?}", told.report.audit);
    Ok(())
}
