//! A server that is not ours: nginx, in the three ways in which its workers can share a port.
//!
//! Two builds of it. In epoll, Debian's waits exclusively, so that it never is a herd; one with
//! the poll module (`cargo xtask test` builds it) is, where nothing else prevents it.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, on_port},
};

/// Names an nginx that has the poll module.
const CHOICE: &str = "OBSERVER_TEST_NGINX";

const WORKERS: u64 = 4;
const CONNECTIONS: u64 = 60;

/// How the workers wait, and how they share the port.
#[derive(Clone, Copy)]
struct Setting {
    method: &'static str,
    mutex: &'static str,
    listen: &'static str,
}

const NOTHING: Setting = Setting { method: "poll", mutex: "off", listen: "" };
// A short delay lets the mutex go from one worker to another more often.
const MUTEX: Setting = Setting { mutex: "on; accept_mutex_delay 50ms", ..NOTHING };
const REUSEPORT: Setting = Setting { listen: "reuseport", ..NOTHING };

pub fn tests() -> Vec<Test> {
    let poll = |name: &str, setting, woken| {
        let run = move || observe(&polling()?, setting)?.check(setting, woken, "poll");
        Test::new(format!("nginx::poll::{name}"), Need::PollingNginx, run)
    };
    let epoll = |name: &str, setting, wait: &'static str| {
        let setting = Setting { method: "epoll", ..setting };
        let run = move || observe(installed(), setting)?.check(setting, 1, wait);
        Test::new(format!("nginx::epoll::{name}"), Need::Nginx, run)
    };
    vec![
        poll("without_accept_mutex_is_a_herd", NOTHING, WORKERS),
        poll("accept_mutex_wakes_one", MUTEX, 1),
        poll("reuseport_wakes_one", REUSEPORT, 1),
        epoll("exclusive_wakes_one", NOTHING, "epoll-exclusive"),
        epoll("accept_mutex_wakes_one", MUTEX, "epoll"),
        epoll("reuseport_wakes_one", REUSEPORT, "epoll"),
    ]
}

/// The distribution's.
pub fn installed() -> &'static Path {
    Path::new("nginx")
}

/// One with the poll module, or why there is none.
pub fn polling() -> anyhow::Result<PathBuf> {
    let path = env::var_os(CHOICE).map(PathBuf::from).or_else(built).with_context(|| {
        format!(
            "no nginx polls here: `cargo xtask test` builds one on Debian, or {CHOICE} names one"
        )
    })?;
    // It tells about itself on standard error.
    let output = Command::new(&path).arg("-V").output();
    let able = output
        .is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("--with-poll_module"));
    ensure!(able, "{} is no nginx with the poll module", path.display());
    Ok(path)
}

/// The one under the target directory, which is above this program, or in its usual place.
fn built() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let mut directories = program.ancestors().chain([usual.as_path()]);
    directories.find_map(|directory| {
        let path = directory.join("tools/nginx/nginx");
        path.is_file().then_some(path)
    })
}

/// nginx with a configuration of the test's own, ended with it.
struct Nginx {
    master: Child,
    workers: Vec<u32>,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Nginx {
    fn start(program: &Path, setting: Setting) -> anyhow::Result<Self> {
        let Setting { method, mutex, listen } = setting;
        let directory = tempfile::tempdir()?;
        let root = directory.path().to_str().context("a path")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // The answer is of nginx's own making: no file to read, and no log to write. Workers that
        // are not root could not enter the directory.
        let text = format!(
            "daemon off; user root; worker_processes {WORKERS};\n\
             pid {root}/pid; lock_file {root}/lock; error_log {root}/errors crit;\n\
             events {{ use {method}; accept_mutex {mutex}; }}\n\
             http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b;\n\
             fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
             keepalive_timeout 0;\n\
             server {{ listen 127.0.0.1:{port} {listen}; location / {{ deny all; }} }} }}\n"
        );
        let file = Path::new(root).join("nginx.conf");
        fs::write(&file, text)?;
        let master = Command::new(program)
            .args(["-p", root, "-e"])
            .arg(Path::new(root).join("errors"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut nginx = Self { master, workers: Vec::new(), port, _directory: directory };
        let patience = Instant::now() + Duration::from_secs(30);
        while nginx.workers.len() != usize::try_from(WORKERS)? || nginx.at_rest()?.is_none() {
            ensure!(Instant::now() < patience, "nginx does not start");
            ensure!(nginx.master.try_wait()?.is_none(), "nginx ended");
            nginx.workers = children(nginx.master.id())?;
        }
        Ok(nginx)
    }

    /// How often each worker has gone to sleep; `None` unless all sleep, and have done nothing
    /// between two looks.
    fn at_rest(&self) -> anyhow::Result<Option<BTreeMap<u32, u64>>> {
        let look = || {
            let workers =
                self.workers.iter().map(|pid| Ok(asleep(*pid)?.map(|count| (*pid, count))));
            workers.collect::<anyhow::Result<Option<BTreeMap<_, _>>>>()
        };
        let first = look()?;
        thread::sleep(Duration::from_millis(1));
        Ok(first.filter(|first| look().is_ok_and(|second| second.as_ref() == Some(first))))
    }

    fn settle(&self) -> anyhow::Result<BTreeMap<u32, u64>> {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(sleeps) = self.at_rest()? {
                return Ok(sleeps);
            }
            ensure!(Instant::now() < patience, "nginx does not come to rest");
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM lets the master end its workers.
        if let Ok(pid) = i32::try_from(self.master.id()) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
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

/// What observer saw of nginx, and what the kernel counted.
struct Seen {
    /// Whether wakeups are said to be exact.
    exact: bool,
    listeners: Vec<Value>,
    /// How often each worker went to sleep.
    sleeps: BTreeMap<u32, u64>,
}

/// Connections one by one, each to workers that all sleep: one that is awake finds the next
/// connection by itself, and is not woken for it.
fn observe(program: &Path, setting: Setting) -> anyhow::Result<Seen> {
    let nginx = Nginx::start(program, setting)?;
    let observer = Observer::json(&["--pid", &nginx.master.id().to_string()])?;
    let before = nginx.settle()?;
    for _ in 0..CONNECTIONS {
        request(nginx.port)?;
        nginx.settle()?;
    }
    let mut sleeps = nginx.settle()?;
    let report = observer.total()?;
    sleeps.iter_mut().for_each(|(pid, count)| *count -= before[pid]);
    let listeners: Vec<_> = on_port(&report, nginx.port).into_iter().cloned().collect();
    let expected = if setting.listen.is_empty() { 1 } else { WORKERS };
    ensure!(listeners.len() == usize::try_from(expected)?, "nginx's listeners: {report}");
    let exact = report["providers"]["wakeups"]["exact"] == true;
    Ok(Seen { exact, listeners, sleeps })
}

/// One request, until nginx closes.
fn request(port: u16) -> Outcome {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 403"), "nginx answered {answer:?}");
    Ok(())
}

impl Seen {
    fn sum(&self, path: &str) -> anyhow::Result<u64> {
        self.listeners.iter().map(|one| one.pointer(path).context("missing").and_then(number)).sum()
    }

    fn check(&self, setting: Setting, woken: u64, wait: &str) -> Outcome {
        self.woken(woken)?;
        self.waits(setting, wait)?;
        // Those that wait for the mutex go to sleep again and again.
        if setting.mutex == "off" { self.slept_for_little_else() } else { Ok(()) }
    }

    /// Every connection was accepted, and woke `each` workers. Those are wakeups by the listener:
    /// the worker may go to sleep for the request as well, which another socket ends.
    fn woken(&self, each: u64) -> Outcome {
        let counts = ["/queued", "/accepted", "/wakeups/won", "/wakeups/total", "/wakeups/pending"];
        let counts =
            counts.map(|path| self.sum(path)).into_iter().collect::<Result<Vec<_>, _>>()?;
        let expected = [CONNECTIONS, CONNECTIONS, CONNECTIONS, CONNECTIONS * each, 0];
        let mut counts = counts;
        if !self.exact {
            // On a busy machine the timers of nginx's workers end now and then within a notification.
            let more = counts[3].saturating_sub(expected[3]);
            ensure!(more <= CONNECTIONS / 10, "{counts:?} instead of {expected:?}");
            counts[3] -= more;
        }
        ensure!(
            counts == expected,
            "queued, accepted, won, woken, pending: {counts:?} instead of {expected:?}"
        );
        for row in self.rows() {
            let tid = u32::try_from(number(&row["tid"])?)?;
            let Some(sleeps) = self.sleeps.get(&tid) else {
                // The master holds the listeners and leaves them alone.
                ensure!(row["wakeups"]["total"] == 0, "no worker: {row}");
                continue;
            };
            let wakeups = number(&row["wakeups"]["total"])?;
            ensure!(wakeups <= *sleeps, "{wakeups} wakeups of {sleeps} sleeps: {row}");
            let won_or_lost = number(&row["wakeups"]["won"])? + number(&row["wakeups"]["lost"])?;
            let eagain = row["accept_errors"].get("EAGAIN").map_or(Ok(0), number)?;
            let calls = number(&row["accepted"])? + eagain;
            ensure!(calls == won_or_lost, "{calls} accept calls, {won_or_lost} won or lost: {row}");
        }
        Ok(())
    }

    fn rows(&self) -> impl Iterator<Item = &Value> {
        self.listeners.iter().flat_map(|one| one["workers"].as_array().into_iter().flatten())
    }

    /// What the kernel counted is what the listeners ended, and one sleep for each request at most.
    fn slept_for_little_else(&self) -> Outcome {
        let (sleeps, wakeups) = (self.sleeps.values().sum::<u64>(), self.sum("/wakeups/total")?);
        ensure!(
            (wakeups..=wakeups + CONNECTIONS).contains(&sleeps),
            "{wakeups} wakeups of {sleeps} sleeps"
        );
        Ok(())
    }

    /// How the holders wait, over all listeners; those that do not are left out. With a mutex, only who has
    /// it waits; else each worker does, at its own listener if each has one.
    fn waits(&self, setting: Setting, expected: &str) -> Outcome {
        let holders = self.listeners.iter().flat_map(|one| one["holders"].as_array());
        let holders: Vec<_> = holders.flatten().collect();
        ensure!(holders.iter().all(|one| one["comm"] == "nginx"), "holders: {holders:?}");
        let waits: Vec<_> = holders.iter().filter_map(|one| one["wait"].as_str()).collect();
        ensure!(waits.iter().all(|wait| *wait == expected), "{waits:?} instead of {expected}");
        let workers = usize::try_from(WORKERS)?;
        let some = if setting.mutex == MUTEX.mutex { 1..=workers } else { workers..=workers };
        ensure!(some.contains(&waits.len()), "{} holders wait {expected}", waits.len());
        Ok(())
    }
}
