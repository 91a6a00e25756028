//! What a node costs that is scraped: CPU and memory of observer's process, series and bytes of a scrape.

mod beside;

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    bench::{
        told::role,
        tool::{Ready, Tool},
        userspace::{cpu, memory},
    },
    run,
    workspace::Workspace,
};

/// A host.
struct Host {
    name: &'static str,
    namespaces: u32,
    listeners: u32,
}

const HOSTS: [Host; 4] = [
    Host { name: "10 listeners", namespaces: 0, listeners: 10 },
    Host { name: "300 listeners", namespaces: 0, listeners: 300 },
    Host { name: "3,000 listeners", namespaces: 0, listeners: 3000 },
    Host { name: "300 namespaces, a listener in each", namespaces: 300, listeners: 300 },
];

/// How it is scraped: time between reports, between scrapes, and for which it is looked at.
const PACES: [(&str, u64, u64); 2] = [("10s", 15, 180), ("1s", 1, 60)];

/// Time for what comes with the start.
const SETTLE: Duration = Duration::from_secs(12);

const MIB: f64 = 1024.0 * 1024.0;

/// The tables.
pub(super) fn measure(workspace: &Workspace) -> Result<String> {
    let observer = run::build(workspace)?;
    beside::refuse_others(&observer)?;
    let mut page = "\
| host | CPU, a scrape in 15 s | CPU, reports and scrapes each second | resident | series | bytes of a scrape | \
time of a scrape |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"
    .to_owned();
    for host in HOSTS {
        eprintln!("fleet: {}", host.name);
        let holder = holder(&host)?;
        let ports: Vec<u16> = ports(&holder.said)?;
        let mut busy = Vec::new();
        let mut last = None;
        for (interval, every, window) in PACES {
            let seen = watch(&observer, &ports, interval, every, window)?;
            eprintln!(
                "fleet: {interval}: {:.2} % of a core, of it {:.2} in the kernel; a report takes {:.2} of the reference's \
                 {:.0} ms",
                seen.busy,
                seen.in_kernel,
                seen.of_reference,
                seen.reference.as_secs_f64() * 1000.0,
            );
            busy.push(seen.busy);
            last.get_or_insert(seen);
        }
        if host.namespaces > 0 {
            let took = beside::ss(holder.pid())?.as_secs_f64() * 1000.0;
            eprintln!("fleet: ss in each of the namespaces takes {took:.0} ms of CPU");
        }
        holder.end()?;
        let seen = last.context("nothing was seen")?;
        writeln!(
            page,
            "| {} | {:.2} % | {:.2} % | {:.1} MiB | {} | {} | {:.1} ms |",
            host.name,
            busy[0],
            busy[1],
            seen.resident / MIB,
            seen.series,
            seen.bytes,
            seen.took.as_secs_f64() * 1000.0,
        )?;
    }
    Ok(page)
}

/// Its servers.
fn holder(host: &Host) -> Result<Tool> {
    let count = host.listeners.to_string();
    let arguments = if host.namespaces > 0 {
        ["namespaces", "--count", &count]
    } else {
        ["serve", "--listeners", &count]
    };
    Tool::start(role(&arguments)?, Ready::Says("{"))
}

/// Ports that connections can be made to.
fn ports(said: &str) -> Result<Vec<u16>> {
    let said: Value = serde_json::from_str(said)?;
    let ports = said["ports"].as_array().context("no ports")?;
    let port = |port: &Value| Ok(u16::try_from(port.as_u64().context("a port")?)?);
    ports.iter().map(port).collect()
}

/// What is seen of observer.
struct Seen {
    /// Percents of one core.
    busy: f64,
    /// Of these, what was spent in the kernel.
    in_kernel: f64,
    /// CPU time of a loop that is always the same, in the same minutes: the longer, the busier is this machine.
    reference: Duration,
    /// CPU time of a report, with its part of the scrapes, as a part of that.
    of_reference: f64,
    resident: f64,
    series: usize,
    bytes: usize,
    took: Duration,
}

fn watch(
    observer: &std::path::Path,
    ports: &[u16],
    interval: &str,
    every: u64,
    window: u64,
) -> Result<Seen> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(observer);
    command.args(["export", "--listen", &format!("127.0.0.1:{port}"), "--interval", interval]);
    command.args(["--max-series", "1000000"]);
    let tool = Tool::start(command, Ready::Says("observing"))?;
    // From its first connection on a listener has all its series.
    for port in ports {
        let mut client = TcpStream::connect(("127.0.0.1", *port)).context("a server is gone")?;
        let _closed = client.read(&mut [0])?;
    }
    sleep(SETTLE);
    let reference = beside::reference()?;
    let (began, before) = (Instant::now(), cpu(tool.pid())?);
    let ticks_before = beside::ticks(tool.pid())?;
    let mut page = String::new();
    let mut took = Duration::MAX;
    for scrape in 1..=window / every {
        let due = Duration::from_secs(scrape * every);
        sleep(due.saturating_sub(began.elapsed()));
        let asked = Instant::now();
        page = get(port)?;
        took = took.min(asked.elapsed());
    }
    let used = cpu(tool.pid())?.saturating_sub(before);
    let elapsed = began.elapsed();
    let ticks = beside::ticks(tool.pid())?;
    let (user, system) = (ticks.0 - ticks_before.0, ticks.1 - ticks_before.1);
    let reference = (reference + beside::reference()?) / 2;
    let busy = 100.0 * used.as_secs_f64() / elapsed.as_secs_f64();
    let in_kernel = busy * system / (user + system).max(1.0);
    let period = period(interval)?;
    let of_reference = used.div_duration_f64(reference) * period.div_duration_f64(elapsed);
    let resident = memory(tool.pid(), "VmRSS:")?;
    tool.end()?;
    let series = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    let bytes = page.len();
    Ok(Seen { busy, in_kernel, reference, of_reference, resident, series, bytes, took })
}

/// The time between two reports.
fn period(interval: &str) -> Result<Duration> {
    let seconds = interval.strip_suffix('s').context("seconds")?;
    Ok(Duration::from_secs(seconds.parse()?))
}

/// One scrape, in text.
fn get(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    if !head.lines().next().is_some_and(|status| status.contains(" 200 ")) {
        bail!("{head}");
    }
    Ok(body.to_owned())
}
