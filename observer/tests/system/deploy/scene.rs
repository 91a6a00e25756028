//! Three servers that are in trouble, an `observer export` that counts them, and a Prometheus that scrapes it.

use std::{
    env,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::fs::symlink},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use nix::sys::resource::{Resource, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

use super::{place, prometheus::Prometheus};
use crate::{
    Outcome,
    observer::{Observer, program},
    role::{Actor, as_role, say},
    servers::running::free_port,
    workload::Workload,
};

/// Names of the servers' processes.
pub const HERD: &str = "herd";
pub const OVERFLOW: &str = "overflow";
pub const STARVED: &str = "starved";

/// Backlog of the server that overflows.
const BACKLOG: i32 = 4;

/// How long the scene lasts, in seconds; 30 unless it is to be kept.
pub const SECONDS: &str = "OBSERVER_TEST_DEPLOY_SECONDS";

/// The scene, which ends with its value.
pub struct Scene {
    pub prometheus: Prometheus,
    /// When the first scrape had come, and when the last had, in seconds since 1970.
    pub window: (f64, f64),
    /// Seconds between two scrapes.
    pub step: u64,
    _exporter: Observer,
    _servers: Servers,
}

impl Scene {
    /// Plays it.
    pub fn play() -> anyhow::Result<Self> {
        let seconds: u64 =
            env::var(SECONDS).map_or(Ok(30), |text| text.parse()).context(SECONDS)?;
        let step = if seconds >= 600 { 15 } else { 1 };
        let servers = Servers::start()?;
        let port = free_port()?;
        let mut export = Command::new(program());
        export.args(["export", "--listen", &format!("127.0.0.1:{port}")]);
        export.args(["--interval", if step == 1 { "1s" } else { "10s" }]);
        for pid in servers.pids {
            export.args(["--pid", &pid.to_string()]);
        }
        let exporter = Observer::spawn(export)?;
        let prometheus = Prometheus::start(&configuration(port, step)?)?;
        let scraped = || Ok(!prometheus.query("observer_connections_accepted_total")?.is_empty());
        crate::servers::running::until(scraped)?;
        let begun = now()?;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            sleep(Duration::from_millis(500));
            if let Some(server) = servers.ended() {
                bail!("{server} ended");
            }
        }
        let window = (begun.ceil(), now()?.floor());
        Ok(Self { prometheus, window, step, _exporter: exporter, _servers: servers })
    }
}

/// Seconds since 1970.
fn now() -> anyhow::Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

fn configuration(port: u16, step: u64) -> anyhow::Result<String> {
    let rules = ["recording", "alerts"].map(|name| format!("deploy/prometheus/{name}.rules.yml"));
    let rules = rules.iter().map(|path| Ok(format!("  - {}\n", place(path)?.display())));
    let rules = rules.collect::<anyhow::Result<String>>()?;
    Ok(format!(
        "global:\n  scrape_interval: {step}s\n  scrape_timeout: {step}s\n  evaluation_interval: {step}s\n\
         rule_files:\n{rules}\
         scrape_configs:\n  - job_name: observer\n    static_configs:\n      \
         - targets: ['127.0.0.1:{port}']\n        labels:\n          instance: node-1\n"
    ))
}

/// The servers and their clients.
struct Servers {
    pids: [u32; 3],
    stop: Arc<AtomicBool>,
    clients: Vec<(&'static str, JoinHandle<Outcome>)>,
    _actors: [Actor; 2],
    _link: TempDir,
}

impl Servers {
    fn start() -> anyhow::Result<Self> {
        // A process is called as what was executed.
        let link = tempfile::tempdir()?;
        let herd = link.path().join(HERD);
        symlink(program(), &herd)?;
        let mut command = Command::new(herd);
        command.args(["workload", "--strategy", "epoll", "--workers", "8", "--netns"]);
        command.args(["--connections", "50"]);
        let mut workload = Workload::spawn(command)?;
        let mut overflow = Actor::spawn(as_role("deploy-overflow")?)?;
        let mut starved = Actor::spawn(as_role("deploy-starved")?)?;
        let pids = [workload.id(), overflow.pid(), starved.pid()];
        let (burst_to, wait_at) = (overflow.port()?, starved.port()?);

        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        let mut client = |name, run: Box<dyn FnOnce(&AtomicBool) -> Outcome + Send>| {
            let stop = stop.clone();
            clients.push((name, thread::spawn(move || run(&stop))));
        };
        client(
            HERD,
            Box::new(move |stop| {
                while !stop.load(Ordering::Relaxed) {
                    workload.round()?;
                    sleep(Duration::from_millis(150));
                }
                Ok(())
            }),
        );
        client(
            OVERFLOW,
            Box::new(move |stop| {
                while !stop.load(Ordering::Relaxed) {
                    let burst = (0..20).map(|_| connect(burst_to));
                    let burst = burst.collect::<anyhow::Result<Vec<_>>>()?;
                    sleep(Duration::from_millis(400));
                    drop(burst);
                    sleep(Duration::from_millis(200));
                }
                Ok(())
            }),
        );
        client(
            STARVED,
            Box::new(move |stop| {
                let _waits = TcpStream::connect(("127.0.0.1", wait_at))?;
                while !stop.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(100));
                }
                Ok(())
            }),
        );
        Ok(Self { pids, stop, clients, _actors: [overflow, starved], _link: link })
    }

    /// A server whose client has ended: it is not there any more.
    fn ended(&self) -> Option<&'static str> {
        self.clients.iter().find(|(_, client)| client.is_finished()).map(|(name, _)| *name)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for (_, client) in self.clients.drain(..) {
            let _said_elsewhere = client.join();
        }
    }
}

/// A client that does not wait for the end of the handshake.
fn connect(port: u16) -> anyhow::Result<Socket> {
    let address = SocketAddr::from(([127, 0, 0, 1], port)).into();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error.into()),
        _ => Ok(socket),
    }
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "deploy-overflow" => overflow(),
        "deploy-starved" => starved(),
        "deploy-reborn" => super::soak::reborn(),
        other => bail!("no role {other}"),
    }
}

/// Accepts all who wait, twice a second: bursts find its queue full.
fn overflow() -> Outcome {
    rustix::thread::set_name(c"overflow")?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    say(listener.local_addr()?.port())?;
    loop {
        sleep(Duration::from_millis(500));
        while listener.accept().is_ok() {}
    }
}

/// Has no descriptor left, and tries ten times a second.
fn starved() -> Outcome {
    rustix::thread::set_name(c"starved")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let limit = u64::try_from(listener.as_raw_fd())? + 1;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    say(listener.local_addr()?.port())?;
    loop {
        sleep(Duration::from_millis(100));
        let _none_left = listener.accept();
    }
}
