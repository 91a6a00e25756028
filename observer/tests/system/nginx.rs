//! A server that is not ours: nginx, in the three ways in which it can share a listener.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, on_port},
    role::connect,
};

const WORKERS: u64 = 4;
const CONNECTIONS: u64 = 60;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("nginx::poll_without_accept_mutex_is_a_herd", Need::Nginx, herd),
        Test::new("nginx::accept_mutex_wakes_one", Need::Nginx, mutex),
        Test::new("nginx::reuseport_wakes_one", Need::Nginx, reuseport),
    ]
}

/// nginx with a configuration of the test's own, ended with it.
struct Nginx {
    master: Child,
    workers: Vec<u32>,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Nginx {
    fn start(events: &str, listen: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let root = directory.path().to_str().context("a path")?;
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.local_addr()?.port()
        };
        // `return 444` closes without an answer: no file, no log, nothing else to wake up for.
        let text = format!(
            "daemon off; worker_processes {WORKERS}; pid {root}/pid; error_log {root}/errors;\n\
             events {{ use poll; {events} }}\n\
             http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b;\n\
             fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
             server {{ listen 127.0.0.1:{port} {listen}; return 444; }} }}\n"
        );
        let file = Path::new(root).join("nginx.conf");
        fs::write(&file, text)?;
        let master = Command::new("nginx")
            .args(["-p", root, "-e"])
            .arg(Path::new(root).join("errors"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut nginx = Self { master, workers: Vec::new(), port, _directory: directory };
        let patience = Instant::now() + Duration::from_secs(30);
        while nginx.workers.len() != usize::try_from(WORKERS)? || !nginx.sleeps()? {
            ensure!(Instant::now() < patience, "nginx does not start");
            ensure!(nginx.master.try_wait()?.is_none(), "nginx ended");
            nginx.workers = children(nginx.master.id())?;
        }
        Ok(nginx)
    }

    /// Whether every worker sleeps, and has done nothing between two looks.
    fn sleeps(&self) -> anyhow::Result<bool> {
        let look =
            || self.workers.iter().map(|pid| asleep(*pid)).collect::<anyhow::Result<Vec<_>>>();
        let first = look()?;
        thread::sleep(Duration::from_millis(1));
        Ok(first.iter().all(Option::is_some) && first == look()?)
    }

    fn settle(&self) -> Outcome {
        let patience = Instant::now() + Duration::from_secs(30);
        while !self.sleeps()? {
            ensure!(Instant::now() < patience, "nginx does not come to rest");
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM lets the master end its workers.
        if let Ok(pid) = i32::try_from(self.master.id()) {
            let _gone = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            );
        }
        let _gone = self.master.wait();
    }
}

fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// A sleeping task's count of voluntary switches; `None` while it runs.
fn asleep(pid: u32) -> anyhow::Result<Option<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned)
    };
    let state = value("State:").context("State")?;
    let switches = value("voluntary_ctxt_switches:").context("switches")?.parse()?;
    Ok(state.starts_with('S').then_some(switches))
}

/// Connections one by one, each to workers that all sleep; what the kernel saw of them.
struct Seen {
    accepted: u64,
    wakeups: u64,
    listeners: usize,
}

fn observe(events: &str, listen: &str) -> anyhow::Result<Seen> {
    let nginx = Nginx::start(events, listen)?;
    let observer = Observer::json(&["--pid", &nginx.master.id().to_string()])?;
    for _ in 0..CONNECTIONS {
        nginx.settle()?;
        request(nginx.port)?;
    }
    nginx.settle()?;
    let report = observer.total()?;
    let found = on_port(&report, nginx.port);
    if found.is_empty() {
        bail!("nginx's listener is not in the report: {report}");
    }
    ensure!(found.iter().all(|one| one["holders"][0]["comm"] == "nginx"), "holders: {report}");
    let sum = |path: &str| -> anyhow::Result<u64> {
        found.iter().map(|one| one.pointer(path).context("missing").and_then(number)).sum()
    };
    ensure!(sum("/queued")? == CONNECTIONS, "queued {}", sum("/queued")?);
    ensure!(sum("/wakeups/pending")? == 0, "pending {}", sum("/wakeups/pending")?);
    Ok(Seen {
        accepted: sum("/accepted")?,
        wakeups: sum("/wakeups/total")?,
        listeners: found.len(),
    })
}

/// One request, until nginx closes.
fn request(port: u16) -> Outcome {
    connect_and_send(port).or_else(|_| connect(port))
}

fn connect_and_send(port: u16) -> Outcome {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let _end = stream.read(&mut [0; 64])?;
    Ok(())
}

fn herd() -> Outcome {
    let seen = observe("accept_mutex off;", "")?;
    ensure!(seen.accepted == CONNECTIONS, "accepted {}", seen.accepted);
    ensure!(seen.wakeups == CONNECTIONS * WORKERS, "{} wakeups", seen.wakeups);
    Ok(())
}

fn mutex() -> Outcome {
    let seen = observe("accept_mutex on; accept_mutex_delay 50ms;", "")?;
    ensure!(seen.accepted == CONNECTIONS, "accepted {}", seen.accepted);
    ensure!(seen.wakeups == CONNECTIONS, "{} wakeups", seen.wakeups);
    Ok(())
}

fn reuseport() -> Outcome {
    let seen = observe("accept_mutex off;", "reuseport")?;
    ensure!(seen.accepted == CONNECTIONS, "accepted {}", seen.accepted);
    ensure!(seen.wakeups == CONNECTIONS, "{} wakeups", seen.wakeups);
    ensure!(seen.listeners == usize::try_from(WORKERS)?, "{} listeners", seen.listeners);
    Ok(())
}
