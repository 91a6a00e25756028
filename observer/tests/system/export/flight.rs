//! The flight recorder: what was before is on disk when something is critical, or when somebody asks.

mod disks;
mod signals;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        resource::{Resource, setrlimit},
        signal::Signal,
    },
};
use observer::{Update, model::What, recording::Reader};

use super::running::Exporter;
use crate::{
    Need, Outcome, Test,
    role::{Actor, say},
    workload::Workload,
};

/// Longest that anything may take before the test says that it hangs. No duration is asserted.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    let own = vec![
        Test::new("export::a_signal_writes_what_was_before", Need::Kernel, asked),
        Test::new("export::what_is_critical_is_on_disk", Need::Kernel, critical),
        Test::new("export::a_full_disk_is_said_and_no_end", Need::Kernel, full_disk),
        Test::new("export::what_had_no_room_is_on_disk_later", Need::Kernel, room_later),
    ];
    own.into_iter().chain(signals::tests()).chain(disks::tests()).collect()
}

fn recordings(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    all.sort();
    Ok(all)
}

fn until(mut holds: impl FnMut() -> anyhow::Result<bool>) -> Outcome {
    let began = Instant::now();
    while !holds()? {
        ensure!(began.elapsed() < PATIENCE, "it does not come to hold");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<Update>> {
    let mut reader = Reader::open(path)?;
    let mut updates = Vec::new();
    while let Some(update) = reader.next()? {
        updates.push(update);
    }
    Ok(updates)
}

/// Connections that the reports of a recording counted as accepted on a port.
fn accepted(updates: &[Update], port: u16) -> u64 {
    let reports = updates.iter().filter_map(|update| match update {
        Update::Report(report) => Some(report),
        _ => None,
    });
    let listeners = reports.flat_map(|report| &report.listeners).filter(|one| one.port == port);
    listeners.filter_map(|one| one.accepted).sum()
}

/// Whether a report of a recording says that a server has no descriptors.
fn has_finding(updates: &[Update], port: u16) -> bool {
    updates.iter().any(|update| match update {
        Update::Report(report) => report.listeners.iter().any(|one| {
            one.port == port && one.findings.iter().any(|finding| finding.id == "fd-exhausted")
        }),
        _ => false,
    })
}

/// SIGUSR1 writes a recording, one per cooldown: what came before the signal is in it at once, and what comes after too.
fn asked() -> Outcome {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("flight");
    let path = directory.to_str().context("a path")?;
    let mut server =
        Workload::start(&["--strategy", "epoll-exclusive", "--workers", "2", "--netns"])?;
    let pid = server.id().to_string();
    let exporter =
        Exporter::start(&["--pid", &pid, "--flight-recorder", path, "--cooldown", "1h"])?;
    exporter.next_report()?;
    let mut made = server.round()?.connections;
    exporter.next_report()?;
    exporter.observer.signal(Signal::SIGUSR1)?;
    let port = server.ready.listeners[0].port;
    until(|| Ok(!recordings(&directory)?.is_empty()))?;
    let file = recordings(&directory)?.remove(0);
    for (path, mode) in [(&directory, 0o700), (&file, 0o600)] {
        let there = fs::metadata(path)?.permissions().mode() & 0o777;
        ensure!(there == mode, "{} has the mode {there:o}", path.display());
    }
    until(|| Ok(read(&file).is_ok_and(|updates| accepted(&updates, port) == made)))?;
    made += server.round()?.connections;
    until(|| Ok(read(&file).is_ok_and(|updates| accepted(&updates, port) == made)))?;
    exporter.observer.signal(Signal::SIGUSR1)?;
    exporter.next_report()?;
    ensure!(recordings(&directory)?.len() == 1, "there are two within a cooldown");
    let page = exporter.page()?;
    ensure!(page.sum("observer_flight_recorder_held_bytes", &[]) > 100.0, "nothing is held");
    server.quit()?;
    let ended = exporter.end_with()?;
    ensure!(ended.stderr.contains("--cooldown"), "{}", ended.stderr);
    // It ends with the exporter, and is whole.
    until(|| {
        let mut reader = Reader::open(&file)?;
        while reader.next()?.is_some() {}
        Ok(reader.cut().is_none())
    })
}

/// A server without descriptors: a recording, with what was before and with the events since.
fn critical() -> Outcome {
    let place = tempfile::tempdir()?;
    let path = place.path().to_str().context("a path")?;
    let mut actor = Actor::start("found-emfile")?;
    let port = actor.port()?;
    let pid = actor.pid().to_string();
    let exporter = Exporter::start(&["--pid", &pid, "--flight-recorder", path])?;
    exporter.next_report()?;
    ensure!(recordings(place.path())?.is_empty(), "there is one while nothing is wrong");
    let clients = super::running::clients(port, 6)?;
    actor.next()?;
    actor.line()?;
    until(|| Ok(!recordings(place.path())?.is_empty()))?;
    let file = recordings(place.path())?.remove(0);
    until(|| Ok(read(&file).is_ok_and(|updates| has_finding(&updates, port))))?;
    // A window of events is open by now or soon: what comes then is told.
    let mut more = Vec::new();
    let is_event = |update: &Update| matches!(update, Update::Event(event) if event.port == Some(port) && matches!(event.what, What::Queued { .. }));
    until(|| {
        more.extend(super::running::clients(port, 1)?);
        Ok(read(&file).is_ok_and(|updates| updates.iter().any(is_event)))
    })?;
    let page = exporter.page()?;
    let labels = [("finding", "fd-exhausted"), ("severity", "critical")];
    ensure!(page.sum("observer_finding_seconds_total", &labels) > 0.0, "{}", page.text);
    ensure!(page.sum("observer_descriptors_limit", &[]) > 0.0, "no limit");
    drop((clients, more));
    actor.kill()?;
    let ended = exporter.end_with()?;
    ensure!(ended.stderr.contains(&format!("fd-exhausted on port {port}")), "{}", ended.stderr);
    Ok(())
}

/// A file system without room: the failure is said and counted, nothing is left there, and metrics are served on.
fn full_disk() -> Outcome {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("full");
    fs::create_dir(&directory)?;
    let full = Small::mount(&directory)?;
    let path = directory.to_str().context("a path")?;
    let exporter = Exporter::start(&["--port", "1", "--flight-recorder", path])?;
    exporter.next_report()?;
    let others = full.fill()?;
    exporter.observer.signal(Signal::SIGUSR1)?;
    until(|| Ok(failures(&exporter)? > 0.5))?;
    ensure!(recordings(&directory)? == [others], "{:?}", recordings(&directory)?);
    let ended = exporter.end_with()?;
    ensure!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    drop(full);
    Ok(())
}

/// A recording for which there is no room is tried again: what is still critical then is in it, though it is not new.
fn room_later() -> Outcome {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("full");
    fs::create_dir(&directory)?;
    let full = Small::mount(&directory)?;
    let path = directory.to_str().context("a path")?;
    let mut actor = Actor::start("export-exhausted")?;
    let port = actor.port()?;
    let pid = actor.pid().to_string();
    // What failed is tried again after a cooldown, where that is shorter than a minute.
    let exporter =
        Exporter::start(&["--pid", &pid, "--flight-recorder", path, "--cooldown", "100ms"])?;
    exporter.next_report()?;
    let others = full.fill()?;
    let clients = super::running::clients(port, 6)?;
    until(|| Ok(failures(&exporter)? > 1.5))?;
    fs::remove_file(others)?;
    until(|| {
        let whole = |path: &PathBuf| read(path).is_ok_and(|updates| has_finding(&updates, port));
        Ok(recordings(&directory)?.iter().any(whole))
    })?;
    drop(clients);
    actor.kill()?;
    exporter.ended()?;
    drop(full);
    Ok(())
}

/// Plays a server that has no descriptor left, and goes on trying.
pub fn play_exhausted() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let limit = u64::try_from(listener.as_raw_fd())? + 1;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    say(listener.local_addr()?.port())?;
    loop {
        let accepted = listener.accept();
        ensure!(accepted.is_err(), "there was a descriptor");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Recordings that could not be written.
fn failures(exporter: &Exporter) -> anyhow::Result<f64> {
    Ok(exporter.page()?.sum("observer_flight_recording_failures_total", &[]))
}

/// A file system of a megabyte, which goes with this.
struct Small(PathBuf);

impl Small {
    fn mount(directory: &Path) -> anyhow::Result<Self> {
        let none = MsFlags::empty();
        mount(Some("none"), directory, Some("tmpfs"), none, Some("size=1m"))?;
        Ok(Self(directory.to_owned()))
    }

    /// Fills it, with a file of others.
    fn fill(&self) -> anyhow::Result<PathBuf> {
        let others = self.0.join("others");
        match fs::write(&others, vec![0; 2 << 20]) {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(others),
            other => anyhow::bail!("two megabytes fit into one: {other:?}"),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
