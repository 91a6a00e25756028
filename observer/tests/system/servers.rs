//! Real servers with a queue that is too short: each is recognised, and the fix is its own.
//!
//! `cargo xtask test` unpacks them from Debian's packages; one that is not here is a skip.

mod kinds;
pub mod program;
pub mod running;

use std::{net::SocketAddr, process::Command, thread, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use self::{
    kinds::{KINDS, Kind},
    running::Running,
};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, only_on_port, run},
};

/// Backlog that the servers are started with.
const BACKLOG: u64 = 4;

/// Clients that connect at once: more than fit.
const CLIENTS: usize = 20;

pub fn tests() -> Vec<Test> {
    let recognised = KINDS.iter().map(|kind| {
        let run = move || recognised(kind);
        Test::new(format!("servers::{}_is_recognised", kind.test), Need::Also(kind.lacks), run)
    });
    let mut tests: Vec<Test> = recognised.collect();
    tests.push(Test::new("servers::the_fix_of_nginx_is_one", Need::Nginx, nginx_fix));
    tests.push(Test::new(
        "servers::a_sysctl_is_set_in_the_listeners_namespace",
        Need::Also(namespace_lacks),
        namespace,
    ));
    tests.push(Test::new(
        "servers::descriptors_are_raised_at_once",
        Need::Also(descriptors_lack),
        descriptors,
    ));
    tests
}

/// Clients of a server that is stopped: the first fill its queue, and the SYNs of the others are dropped.
fn overflow(server: &Running) -> anyhow::Result<Value> {
    let observer = Observer::json(&["--port", &server.port.to_string()])?;
    server.stop()?;
    let clients = connect(server.port)?;
    // The SYNs are answered, or not, when connect returns: they went over loopback.
    thread::sleep(Duration::from_millis(100));
    let report = observer.total()?;
    drop(clients);
    server.go_on();
    Ok(only_on_port(&report, server.port)?.clone())
}

/// Clients that do not wait for the end of the handshake.
fn connect(port: u16) -> anyhow::Result<Vec<Socket>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port)).into();
    let client = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error.into()),
            _ => Ok(socket),
        }
    };
    (0..CLIENTS).map(client).collect()
}

fn finding<'a>(listener: &'a Value, id: &str) -> anyhow::Result<&'a Value> {
    let findings = listener["findings"].as_array().context("findings")?;
    let found = findings.iter().find(|finding| finding["id"] == id);
    found.with_context(|| format!("no {id}: {listener}"))
}

/// The steps of a finding.
fn steps(finding: &Value) -> anyhow::Result<Vec<&str>> {
    let steps = finding["steps"].as_array().context("steps")?;
    steps.iter().map(|step| step.as_str().context("a step")).collect()
}

fn recognised(kind: &Kind) -> Outcome {
    let server = kind.start(BACKLOG)?;
    let port = server.port.to_string();
    let output = run(&["listeners", "--port", &port, "--format", "json"])?;
    let list: Value = serde_json::from_slice(&output.stdout)?;
    let listed = &list["listeners"][0]["server"];
    ensure!(listed["name"] == kind.name, "listed as {listed}");
    let listener = overflow(&server)?;
    let finding = finding(&listener, "accept-queue-overflow")?;
    ensure!(finding["server"] == kind.name, "{finding}");
    ensure!(listener["server"]["own_netns"] == true, "{}", listener["server"]);
    let expected = kind.step.replace("{port}", &port);
    ensure!(steps(finding)?.contains(&expected.as_str()), "no step {expected}: {finding}");
    let fix = finding["fix"].as_str().context("fix")?;
    let raise = format!("{}'s backlog", kind.name);
    ensure!(fix.contains(&raise) && fix.contains(kind.apply), "{fix}");
    let is_doubt = !listener["server"]["doubt"].is_null();
    ensure!(is_doubt == fix.contains("Taken for"), "{fix}");
    Ok(())
}

/// The line is put into its configuration as it was printed, and the command is run: nothing is dropped then.
fn nginx_fix() -> Outcome {
    let kind = KINDS.iter().find(|kind| kind.name == "nginx").context("nginx")?;
    let server = kind.start(BACKLOG)?;
    let listener = overflow(&server)?;
    let steps = steps(finding(&listener, "accept-queue-overflow")?)?;
    let line = steps.iter().find(|step| step.starts_with("listen ")).context("a line")?;
    let reload = steps.iter().find(|step| step.starts_with("nginx ")).context("a command")?;
    ensure!(*reload == "nginx -s reload", "{reload}");
    server.edit("nginx.conf", |text| {
        let old = format!("listen 127.0.0.1:{} backlog={BACKLOG};", server.port);
        text.replace(&old, line)
    })?;
    // The command with the configuration of this one.
    let ended = Command::new("nginx")
        .args(["-p", server.root()?, "-c"])
        .arg(format!("{}/nginx.conf", server.root()?))
        .args(["-s", "reload"])
        .output()?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    server.until(|limit| limit > BACKLOG)?;
    let listener = overflow(&server)?;
    ensure!(finding(&listener, "accept-queue-overflow").is_err(), "{listener}");
    Ok(())
}

fn namespace_lacks() -> Option<String> {
    first_missing(&["unshare", "nsenter", "sysctl", "python3"])
}

fn descriptors_lack() -> Option<String> {
    first_missing(&["prlimit", "python3"])
}

fn first_missing(names: &[&str]) -> Option<String> {
    let missing = names.iter().find(|name| {
        let asked = Command::new(name).arg("--version").output();
        !asked.is_ok_and(|output| output.status.success())
    });
    missing.map(|name| format!("no {name} here"))
}

/// A level-triggered loop that has no descriptor left: the step lets it accept those who wait, without a restart.
fn descriptors() -> Outcome {
    let port = running::free_port()?;
    let program = format!(
        "import resource, select, socket, time\ns = socket.socket()\ns.bind(('127.0.0.1', {port}))\n\
         s.listen(64)\ns.setblocking(False)\nkept = []\n\
         hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
         resource.setrlimit(resource.RLIMIT_NOFILE, (10, hard))\nprint(flush=True)\n\
         while True:\n    select.select([s], [], [])\n    try:\n        kept.append(s.accept())\n    \
         except OSError:\n        time.sleep(0.01)\n"
    );
    let mut command = Command::new("python3");
    command.args(["-c", &program]);
    let mut server = running::Piped::start(command)?;
    server.line()?;
    let observer = Observer::json(&["--port", &port.to_string()])?;
    let _clients = connect(port)?;
    thread::sleep(Duration::from_millis(100));
    let report = observer.total()?;
    let finding = finding(only_on_port(&report, port)?, "fd-exhausted")?;
    let steps = steps(finding)?;
    let expected = format!("prlimit --pid {} --nofile=", server.pid());
    let step = steps.iter().find(|step| step.starts_with(&expected));
    let step = step.with_context(|| format!("no step {expected}: {finding}"))?;
    ensure!(running::waiting(port)? > 0, "nobody waits");
    let ended = Command::new("sh").args(["-c", step]).output()?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    running::until(|| Ok(running::waiting(port)? == 0))
}

/// A server in a namespace of its own asks for more than its somaxconn. The step raises that, and no other.
fn namespace() -> Outcome {
    let port = running::free_port()?;
    let observer = Observer::json(&["--port", &port.to_string()])?;
    let program = format!(
        "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', {port}))\ns.listen(60000)\n\
         print(flush=True)\ninput()"
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "python3", "-c", &program]);
    let mut server = running::Piped::start(command)?;
    server.line()?;
    let report = observer.total()?;
    let listener = only_on_port(&report, port)?;
    let finding = finding(listener, "backlog-clamped")?;
    let steps = steps(finding)?;
    let step = steps.first().context("a step")?;
    let expected = format!("nsenter --net=/proc/{}/ns/net sysctl -w", server.pid());
    ensure!(step.starts_with(&expected), "{step} is not {expected}");
    ensure!(steps.iter().all(|step| !step.contains("/etc/sysctl.d")), "{steps:?}");
    let own = || std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    let before = own()?;
    let ended = Command::new("sh").args(["-c", step]).output()?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    ensure!(own()? == before, "it was set here");
    let there =
        format!("nsenter --net=/proc/{}/ns/net cat /proc/sys/net/core/somaxconn", server.pid());
    let there = Command::new("sh").args(["-c", &there]).output()?;
    ensure!(String::from_utf8_lossy(&there.stdout).trim() == "60000", "{there:?}");
    Ok(())
}
