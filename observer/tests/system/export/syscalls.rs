//! The unit's filter of system calls (`SystemCallFilter=`): all that export calls is in it. Debian's strace tells what it calls,
//! systemd's own tool what its groups mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;

use super::{
    running::{Exporter, free_port},
    secure::{certificate, curl},
};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, program},
    role::Actor,
    workload::Workload,
};

/// The unit of systemd.
const UNIT: &str = include_str!("../../../../deploy/systemd/observer.service");

/// Longest that anything may take before the test says that it hangs. No duration is asserted.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("export::the_unit_allows_what_it_calls", Need::Also(lacks), calls),
        Test::new("export::the_units_filter_forbids_something", Need::Also(lacks), forbids),
    ]
}

fn lacks() -> Option<String> {
    let missing = ["strace", "systemd-analyze", "curl", "openssl"]
        .into_iter()
        .find(|name| !Path::new("/usr/bin").join(name).exists())?;
    Some(format!("{missing} is not installed"))
}

/// The calls that the unit allows: its lines in their order, each of which adds to the ones before or takes off.
fn allowed() -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager"]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut groups = BTreeMap::<&str, Vec<&str>>::new();
    let mut group = None;
    for line in text.lines() {
        let name = line.trim();
        if line.starts_with('@') {
            group = Some(groups.entry(name).or_default());
        } else if line.starts_with(char::is_whitespace)
            && !name.starts_with('#')
            && !name.is_empty()
            && let Some(group) = &mut group
        {
            group.push(name);
        }
    }
    ensure!(groups.len() > 20, "systemd-analyze has {} groups", groups.len());
    let mut allowed = BTreeSet::new();
    // What a program needs to begin and to end is allowed beside any list.
    add(&groups, "@default", &mut allowed)?;
    for list in UNIT.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (takes_off, list) = list.strip_prefix('~').map_or((false, list), |rest| (true, rest));
        let mut named = BTreeSet::new();
        for name in list.split_whitespace() {
            add(&groups, name, &mut named)?;
        }
        if takes_off {
            allowed.retain(|name| !named.contains(name));
        } else {
            allowed.extend(named);
        }
    }
    Ok(allowed)
}

/// Adds a call, or all of a group.
fn add(
    groups: &BTreeMap<&str, Vec<&str>>,
    name: &str,
    to: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    if !name.starts_with('@') {
        to.insert(name.to_owned());
        return Ok(());
    }
    for one in groups.get(name).with_context(|| format!("no group {name}"))? {
        add(groups, one, to)?;
    }
    Ok(())
}

/// As a filter that allows everything would pass the other test.
fn forbids() -> Outcome {
    let allowed = allowed()?;
    for name in ["read", "bpf", "setns", "perf_event_open", "execve"] {
        ensure!(allowed.contains(name), "{name} is not allowed");
    }
    for name in ["ptrace", "mount", "init_module", "reboot", "kexec_load", "setuid", "chroot"] {
        ensure!(!allowed.contains(name), "{name} is allowed");
    }
    Ok(())
}

/// Through start, scrapes, a critical finding, recordings, TLS with passwords, a watchdog, and the end.
fn calls() -> Outcome {
    let allowed = allowed()?;
    let place = tempfile::tempdir()?;
    let mut called = of_plain(place.path())?;
    called.extend(of_secure(place.path())?);
    ensure!(called.len() > 40 && called.contains_key("bpf"), "{:?}", called.keys());
    let refused: Vec<_> = called.iter().filter(|(name, _)| !allowed.contains(*name)).collect();
    ensure!(refused.is_empty(), "the unit does not allow {refused:#?}");
    // What other lines of the unit say by the arguments of calls.
    for (name, line) in lines(place.path())? {
        ensure!(!line.contains("PROT_WRITE|PROT_EXEC"), "MemoryDenyWriteExecute: {line}");
        if name == "socket" {
            let families =
                UNIT.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies="));
            let mut families = families.context("no families")?.split_whitespace();
            ensure!(families.any(|one| line.contains(&format!("({one},"))), "{line}");
        }
        if name == "setns" {
            ensure!(line.contains("CLONE_NEWNET"), "RestrictNamespaces: {line}");
        }
    }
    Ok(())
}

/// Serves without TLS, with all that happens by itself.
fn of_plain(place: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut actor = Actor::start("found-emfile")?;
    let port = actor.port()?;
    let mut server = Workload::start(&["--strategy", "epoll", "--netns"])?;
    let pids = [actor.pid(), server.id()].map(|pid| pid.to_string());
    let flight = place.join("flight");
    let notify = UnixDatagram::bind(place.join("notify"))?;
    notify.set_read_timeout(Some(PATIENCE))?;
    let mut command = traced(&place.join("plain.calls"));
    command.env("NOTIFY_SOCKET", place.join("notify")).env("WATCHDOG_USEC", "400000");
    let exporter = start(
        command,
        &[
            "--pid",
            &pids[0],
            "--pid",
            &pids[1],
            "--flight-recorder",
            flight.to_str().context("a path")?,
        ],
    )?;
    exporter.next_report()?;
    server.round()?;
    let clients = super::running::clients(port, 6)?;
    actor.next()?;
    actor.line()?;
    let began = Instant::now();
    while exporter.page()?.sum("observer_finding_active", &[("finding", "fd-exhausted")]) < 0.5 {
        ensure!(began.elapsed() < PATIENCE, "nothing is found");
        thread::sleep(Duration::from_millis(100));
    }
    exporter.observer.signal(Signal::SIGUSR1)?;
    exporter.next_report()?;
    let mut said = [0; 64];
    let mut is_alive = false;
    while !is_alive {
        let length = notify.recv(&mut said).context("the watchdog is not told")?;
        is_alive = said[..length].starts_with(b"WATCHDOG=1");
    }
    drop(clients);
    actor.kill()?;
    server.quit()?;
    exporter.end()?;
    of_log(&place.join("plain.calls"))
}

/// Serves with a certificate and passwords.
fn of_secure(place: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    certificate(place)?;
    let hash = bcrypt::hash("secret", 4)?;
    let config = place.join("web.yml");
    let text = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users:\n  prometheus: {hash}\n"
    );
    fs::write(&config, text)?;
    let command = traced(&place.join("secure.calls"));
    let exporter =
        start(command, &["--port", "1", "--web-config", config.to_str().context("a path")?])?;
    for user in ["prometheus:secret", "prometheus:wrong"] {
        let status = curl(&exporter, place, "/metrics", &["--user", user])?;
        ensure!(status.is_some(), "no answer");
    }
    exporter.end()?;
    of_log(&place.join("secure.calls"))
}

/// strace as a child of the program that it looks at, which so has the process id that was started.
fn traced(log: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "--signal=none", "-o"]).arg(log).arg(program());
    command
}

fn start(mut command: Command, arguments: &[&str]) -> anyhow::Result<Exporter> {
    let port = free_port()?;
    command.args(["export", "--interval", "300ms", "--listen", &format!("127.0.0.1:{port}")]);
    command.args(arguments);
    Ok(Exporter { observer: Observer::spawn(command)?, port })
}

/// The calls in a log, each with the first line that has it, once strace has written all.
fn of_log(log: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let began = Instant::now();
    let mut length = 0;
    loop {
        // It ends after the program.
        thread::sleep(Duration::from_millis(200));
        let now = fs::metadata(log)?.len();
        if now == length && fs::read_to_string(log)?.contains("exit_group(") {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "strace does not end");
        length = now;
    }
    let mut calls = BTreeMap::new();
    for (name, line) in parse(&fs::read_to_string(log)?) {
        calls.entry(name).or_insert(line);
    }
    if calls.keys().any(|name| name.starts_with("syscall_")) {
        bail!("strace does not know all calls: {:?}", calls.keys());
    }
    Ok(calls)
}

/// All lines of both logs.
fn lines(place: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for name in ["plain.calls", "secure.calls"] {
        all.extend(parse(&fs::read_to_string(place.join(name))?));
    }
    Ok(all)
}

/// `1234  openat(AT_FDCWD, …) = 3`; what goes on later (`<... read resumed>`) was there before.
fn parse(log: &str) -> Vec<(String, String)> {
    let of = |line: &str| {
        let (_, rest) = line.split_once(char::is_whitespace)?;
        let (name, _) = rest.trim_start().split_once('(')?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then(|| (name.to_owned(), line.to_owned()))
    };
    log.lines().filter_map(of).collect()
}
