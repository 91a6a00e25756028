//! Events, as a face of its own has them from the library: each thing that a report counts, once.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::Stdio,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use observer::{
    Because, Config, Ended, EventKind, Filters, Observer, Reports, Update,
    config::Provider,
    model::{Event, Listener, Report, What},
};

use crate::{
    Need, Outcome, Test,
    observer::provider,
    role::{Actor, as_role, connect},
    schema::parse_event,
    workload::{Tally, Workload},
};

#[path = "../../examples/herd_ratios.rs"]
mod herd_ratios;

/// Workers that wait for each connection.
const WORKERS: u32 = 4;

/// Time between reports.
const PERIOD: Duration = Duration::from_millis(20);

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("events::descriptors_run_out", Need::Kernel, descriptors_run_out),
        Test::new("events::drops_and_the_ends_of_listeners", Need::Kernel, drops),
        Test::new("events::what_finds_no_room_is_counted", Need::Kernel, lost),
        Test::new("events::the_example_prints_herd_ratios", Need::Kernel, example),
    ];
    tests.extend(["epoll", "epoll-exclusive", "blocking", "poll"].map(|strategy| {
        let name = format!("events::equal_the_report::{strategy}");
        Test::new(name, Need::Kernel, move || equal_the_report(strategy))
    }));
    tests
}

/// The example, as this program.
pub fn play_example() -> Outcome {
    herd_ratios::main()
}

fn config(port: u16, events: &[EventKind]) -> anyhow::Result<Config> {
    let provider = match provider().as_deref() {
        None | Some("auto") => None,
        Some("fentry") => Some(Provider::Fentry),
        Some("kprobe") => Some(Provider::Kprobe),
        Some("tracepoint") => Some(Provider::Tracepoint),
        Some(other) => bail!("no provider {other}"),
    };
    let filters = Filters { port: vec![port], ..Filters::default() };
    let reports = Reports::Intervals(PERIOD);
    Ok(Config { filters, provider, reports, events: events.to_vec(), ..Config::default() })
}

/// What a window told.
#[derive(Default)]
struct Told {
    events: Vec<Event>,
    reports: Vec<Report>,
    total: Option<Report>,
}

impl Told {
    fn take(&mut self, update: Update) -> Outcome {
        ensure!(self.total.is_none(), "something came after the end");
        match update {
            Update::Event(event) => self.events.push(event),
            Update::Report(report) => self.reports.push(*report),
            Update::Ended(Ended { total, because }) => {
                ensure!(because == Because::Closed, "{because:?}");
                self.total = Some(*total);
            }
        }
        Ok(())
    }

    /// How many events there are of each kind, by their names in JSON.
    fn kinds(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut kinds = BTreeMap::new();
        for event in &self.events {
            let value = parse_event(&serde_json::to_string(event)?)?;
            let kind = value["kind"].as_str().context("a kind")?;
            *kinds.entry(kind.to_owned()).or_insert(0) += 1;
        }
        Ok(kinds)
    }

    fn listener(&self) -> anyhow::Result<&Listener> {
        let total = self.total()?;
        total.listeners.first().with_context(|| format!("no listener: {total:?}"))
    }

    fn total(&self) -> anyhow::Result<&Report> {
        self.total.as_ref().context("no total")
    }
}

/// Opens a window, lets something happen in it, and reads it to its end; while that happens only if it is to be
/// `read`.
fn window<T: Send + 'static>(
    config: &Config,
    read: bool,
    happens: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<(Told, T)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut observer = Observer::open(config)?;
        let mut told = Told::default();
        let result = if read {
            let happens = tokio::task::spawn_blocking(happens);
            tokio::pin!(happens);
            loop {
                tokio::select! {
                    result = &mut happens => break result??,
                    update = observer.next() => told.take(update?.context("it ended")?)?,
                }
            }
        } else {
            happens()?
        };
        observer.close();
        while let Some(update) = observer.next().await? {
            told.take(update)?;
        }
        Ok((told, result))
    })
}

/// What a report counts of each kind of events.
pub fn counted(listener: &Listener) -> BTreeMap<String, u64> {
    let wakeups = listener.wakeups.unwrap_or_default();
    let all = [
        ("queued", listener.queued.unwrap_or(0)),
        ("woken", wakeups.total),
        ("accepted", listener.accepted.unwrap_or(0)),
        ("accept_error", listener.accept_errors.values().sum()),
        ("silent", wakeups.silent),
        ("dropped", listener.drops.total.unwrap_or(0)),
    ];
    all.into_iter().filter(|(_, count)| *count != 0).map(|(kind, n)| (kind.to_owned(), n)).collect()
}

fn equal_the_report(strategy: &str) -> Outcome {
    let workers = WORKERS.to_string();
    let arguments = ["--strategy", strategy, "--workers", &workers, "--connections", "50"];
    let mut workload = Workload::start(&[arguments.as_slice(), &["--netns"]].concat())?;
    let port = workload.ready.listeners.first().context("a listener")?.port;
    let config = config(port, &EventKind::ALL)?;
    let (told, tally): (Told, Tally) = window(&config, true, move || {
        let tally = workload.round()?;
        thread::sleep(5 * PERIOD);
        workload.quit()?;
        Ok(tally)
    })?;
    let listener = told.listener()?;
    let mut kinds = told.kinds()?;
    // The server ended within the window.
    ensure!(kinds.remove("closed") == Some(1), "{kinds:?}");
    ensure!(kinds == counted(listener), "{kinds:?}, and {:?}", counted(listener));
    let accepted: u64 = tally.workers.iter().map(|worker| worker.accepted).sum();
    let exact = told.total()?.providers.accepts.exact;
    ensure!(!exact || kinds.get("accepted") == Some(&accepted), "{kinds:?}: {accepted} accepted");
    ensure!(!told.reports.is_empty(), "no report beside the events");
    follow(&told.events, listener)
}

/// Follows each connection from the queue to its accept.
fn follow(events: &[Event], listener: &Listener) -> Outcome {
    let (mut waiting, mut numbers, mut won) = (BTreeMap::new(), Vec::new(), 0);
    let mut last = "";
    for event in events {
        let at = (event.netns, event.inode, event.port);
        let its = (Some(listener.netns), Some(listener.inode), Some(listener.port));
        ensure!(at == its, "{event:?} is of another listener");
        ensure!(last <= event.time.as_str(), "{event:?} comes after {last}");
        last = &event.time;
        match &event.what {
            What::Queued { connection, client, depth, limit } => {
                let number = connection.with_context(|| format!("{event:?}"))?;
                numbers.push(number);
                ensure!(
                    client.as_ref().is_some_and(|one| one.starts_with("127.0.0.1:")),
                    "{event:?}"
                );
                ensure!(*depth >= 1 && Some(*limit) == listener.backlog.limit, "{event:?}");
                waiting.insert(number, ());
            }
            What::Accepted { connection, task, wait, since_wakeup } => {
                let number = connection.with_context(|| format!("{event:?}"))?;
                ensure!(waiting.remove(&number).is_some(), "{event:?} was not queued");
                ensure!(wait.is_some_and(|wait| wait > 0) && task.pid.is_some(), "{event:?}");
                won += u64::from(since_wakeup.is_some());
            }
            What::Woken { connection: Some(number), .. } => {
                ensure!(numbers.contains(number), "{event:?} is for no connection");
            }
            _ => {}
        }
    }
    let queued = listener.queued.context("queued")?;
    ensure!(numbers.iter().copied().eq(1..=queued), "{numbers:?}");
    let missing = queued - listener.accepted.context("accepted")?;
    ensure!(waiting.len() as u64 == missing, "not accepted: {waiting:?}");
    let wakeups = listener.wakeups.context("wakeups")?;
    ensure!(won == wakeups.won, "{won} accepts after wakeups: {wakeups:?}");
    Ok(())
}

fn descriptors_run_out() -> Outcome {
    for asked in [true, false] {
        let mut server = Actor::start("no-descriptors")?;
        let port = server.port()?;
        let events: &[EventKind] = if asked { &[EventKind::AcceptError] } else { &[] };
        let (told, ()) = window(&config(port, events)?, true, move || {
            let clients: Vec<_> = (0..7).map(|_| thread::spawn(move || connect(port))).collect();
            server.port()?;
            server.next()?;
            server.kill()?;
            clients.into_iter().for_each(|client| drop(client.join()));
            Ok(())
        })?;
        let listener = told.listener()?;
        let failed = listener.accept_errors.get("EMFILE").copied().unwrap_or(0);
        ensure!(failed >= 7, "{:?}", listener.accept_errors);
        let is_one = |event: &&Event| matches!(&event.what, What::AcceptError { errno, .. } if errno == "EMFILE");
        let events = told.events.iter().filter(is_one).count() as u64;
        ensure!(events == if asked { failed } else { 0 }, "{events} events of {failed}");
        // What is sent to nobody would be counted as lost.
        ensure!(told.total()?.audit.events_lost == 0, "{:?}", told.total()?.audit);
        ensure!(asked || told.events.is_empty(), "{:?}", told.events);
    }
    Ok(())
}

fn drops() -> Outcome {
    const REFUSED: u64 = 5;
    let mut server = Actor::spawn(as_role("overflow-reborn")?)?;
    let _netns = server.line()?;
    let port = server.port()?;
    let (told, ()) = window(&config(port, &EventKind::ALL)?, true, move || {
        server.ask(REFUSED)?;
        ensure!(server.line()?.trim() == REFUSED.to_string(), "it did not refuse");
        server.ask(0)?;
        ensure!(server.line()?.is_empty(), "it did not end");
        Ok(())
    })?;
    let kinds = told.kinds()?;
    ensure!(kinds.get("closed") == Some(&1), "{kinds:?}");
    let dropped = kinds.get("dropped").copied().unwrap_or(0);
    if told.total()?.providers.drops.via == observer::model::Via::Tracepoint {
        ensure!(dropped == 0, "{kinds:?}");
        return Ok(());
    }
    ensure!(dropped == REFUSED && told.listener()?.drops.total == Some(REFUSED), "{kinds:?}");
    for event in &told.events {
        if let What::Dropped { client, reason } = &event.what {
            ensure!(client.as_ref().is_some_and(|one| one.starts_with("127.0.0.1:")), "{event:?}");
            ensure!(reason == "accept_queue_full_syn", "{event:?}");
        }
    }
    Ok(())
}

/// Nobody reads while more happens than the buffers hold. Wakeups are not asked for: what an interrupt woke within a
/// notification is sent too, and only left out when it is told.
fn lost() -> Outcome {
    const KINDS: [EventKind; 3] = [EventKind::Queued, EventKind::Accepted, EventKind::AcceptError];
    const CONNECTIONS: u64 = 3_000;
    let count = CONNECTIONS.to_string();
    let arguments =
        ["--strategy", "epoll", "--workers", "4", "--connections", &count, "--pace", "burst"];
    let mut workload = Workload::start(&[arguments.as_slice(), &["--netns"]].concat())?;
    let port = workload.ready.listeners.first().context("a listener")?.port;
    let (told, workload) = window(&config(port, &KINDS)?, false, move || {
        workload.round()?;
        Ok(workload)
    })?;
    workload.quit()?;
    let mut kinds = told.kinds()?;
    kinds.remove("lost");
    let came: u64 = kinds.values().sum();
    let lost: u64 = told
        .events
        .iter()
        .map(|event| if let What::Lost { count, .. } = event.what { count } else { 0 })
        .sum();
    let listener = told.listener()?;
    let known = listener.queued.zip(listener.accepted).context("counts")?;
    let happened = known.0 + known.1 + listener.accept_errors.values().sum::<u64>();
    ensure!(
        lost > 0 && lost == told.total()?.audit.events_lost,
        "{lost}: {:?}",
        told.total()?.audit
    );
    ensure!(came + lost == happened, "{came} came and {lost} were lost, of {happened}");
    // The counts are of all of it.
    let exact = told.total()?.providers.accepts.exact;
    ensure!(!exact || listener.accepted == Some(CONNECTIONS), "{listener:?}");
    Ok(())
}

fn example() -> Outcome {
    let workers = WORKERS.to_string();
    let arguments = ["--strategy", "epoll", "--workers", &workers, "--connections", "40"];
    let mut workload = Workload::start(&arguments)?;
    let mut command = as_role("example")?;
    command.arg(workload.ready.pid.to_string()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
    let first = lines.next().context("it says nothing")??;
    ensure!(first == "observing 1 listeners", "{first}");
    let tally = workload.round()?;
    let port = workload.ready.listeners.first().context("a listener")?.port;
    workload.quit()?;
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    ensure!(child.wait()?.success(), "{lines:?}");
    let last = lines.last().context("it printed nothing")?;
    let wakeups: u64 = tally.workers.iter().map(|worker| worker.wakeups()).sum();
    let ratio =
        last.strip_prefix(&format!("127.0.0.1 {port} Some(")).map(|end| end.trim_end_matches(')'));
    let ratio: f64 = ratio.with_context(|| format!("{lines:?}"))?.parse()?;
    ensure!(
        (ratio * 40.0 - wakeups as f64).abs() <= wakeups as f64 / 10.0,
        "{ratio}: {wakeups} of 40"
    );
    Ok(())
}
