//! An exporter that runs, and how it is asked.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;

use super::{become_program, page::Page};
use crate::{
    Outcome,
    observer::{Ended, Observer, program},
    role::{as_role, say, wait_for_count},
};

/// How often it reports.
const EVERY: &str = "300ms";

/// Longest that anything may take before the test says that it hangs. No duration is asserted.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the socket is that the role passes on.
const PORT: &str = "OBSERVER_TEST_PORT";

/// An exporter.
pub struct Exporter {
    pub observer: Observer,
    pub port: u16,
}

impl Exporter {
    /// Starts one with these arguments, on a port of its own.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let own = ["export", "--interval", EVERY, "--listen", &listen];
        let observer = Observer::start(&[&own, arguments].concat())?;
        Self::ready(observer, port)
    }

    /// Starts one that speaks TLS, and so does not answer here.
    pub fn start_secure(arguments: &[&str]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let own = ["export", "--interval", EVERY, "--listen", &listen];
        Ok(Self { observer: Observer::start(&[&own, arguments].concat())?, port })
    }

    /// Starts one that gets its socket as systemd passes it.
    pub fn passed() -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = as_role("export-passed")?;
        command.env(PORT, port.to_string());
        command.args(["export", "--interval", EVERY, "--port", "1"]);
        Self::ready(Observer::spawn(command)?, port)
    }

    /// Waits until it answers.
    fn ready(observer: Observer, port: u16) -> anyhow::Result<Self> {
        let exporter = Self { observer, port };
        let began = Instant::now();
        while exporter.get("/healthz", &[]).is_err() {
            ensure!(began.elapsed() < PATIENCE, "it does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(exporter)
    }

    /// Asks for something: head, and body as text.
    pub fn get(&self, path: &str, headers: &[&str]) -> anyhow::Result<(String, String)> {
        get(self.port, path, headers)
    }

    /// The metrics.
    pub fn page(&self) -> anyhow::Result<Page> {
        let (head, body) = self.get("/metrics", &[])?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Page::parse(body)
    }

    /// Waits for reports whose window began after this call: what was done before is in them.
    pub fn next_report(&self) -> Outcome {
        let reports = || Ok::<_, anyhow::Error>(self.page()?.sum("observer_reports_total", &[]));
        let (before, began) = (reports()?, Instant::now());
        while reports()? < before + 2.0 {
            ensure!(began.elapsed() < PATIENCE, "it makes no report");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it, which must be a success.
    pub fn end(self) -> Outcome {
        self.end_with().map(|_| ())
    }

    /// Waits for its own end, which must be a success.
    pub fn ended(self) -> Outcome {
        let ended = self.observer.wait()?;
        ensure!(ended.status.success(), "it ended with {}: {}", ended.status, ended.stderr);
        Ok(())
    }

    /// Ends it, and gives what it left behind.
    pub fn end_with(self) -> anyhow::Result<Ended> {
        self.observer.signal(Signal::SIGTERM)?;
        let ended = self.observer.wait()?;
        ensure!(ended.status.success(), "it ended with {}: {}", ended.status, ended.stderr);
        ensure!(ended.stdout.is_empty(), "it printed {}", ended.stdout);
        Ok(ended)
    }
}

/// A port that nobody listens on.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Clients that connect to a port.
pub fn clients(port: u16, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    (0..count).map(|_| Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)).collect()
}

/// Asks a server for something: head, and body as text.
pub fn get(port: u16, path: &str, headers: &[&str]) -> anyhow::Result<(String, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// The role: listens, and becomes an observer that has the socket as descriptor 3.
pub fn play_passed() -> Outcome {
    let port: u16 = env::var(PORT)?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    if listener.as_raw_fd() != 3 {
        // SAFETY: descriptor 3 is nobody's here, or is replaced before anything uses it.
        let mut third = unsafe { OwnedFd::from_raw_fd(3) };
        nix::unistd::dup2(&listener, &mut third)?;
        std::mem::forget(third);
    }
    // It stays open in the program that this becomes.
    // SAFETY: the call changes a flag of a descriptor that is open.
    if unsafe { libc::fcntl(3, libc::F_SETFD, 0) } != 0 {
        bail!("the socket cannot be passed on");
    }
    let mut command = Command::new(program());
    command.args(env::args_os().skip(1));
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
    become_program(command)
}

/// The role: for each number that it is told, it listens where it did before, accepts so many connections, and closes.
pub fn play_reborn() -> Outcome {
    let reserved = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = reserved.local_addr()?;
    drop(reserved);
    say(address.port())?;
    loop {
        let connections = wait_for_count()?;
        let listener = TcpListener::bind(address)?;
        for _ in 0..connections {
            let client = TcpStream::connect(address)?;
            // The server's end closes last, so that the port is free at once.
            let (server, _) = listener.accept()?;
            drop(client);
            drop(server);
        }
        drop(listener);
        say(connections)?;
    }
}
