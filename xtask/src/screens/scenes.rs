//! Scenes of the screens in README and docs: servers in trouble, and observer beside them, in a virtual machine whose
//! kernel has all hooks. Runs inside; what it takes goes out as figures.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::server::{Client, Load, Server, Work};

/// observer's program in the machine.
const OBSERVER: &str = "/bin/observer";

/// Longest that observer may take to attach, on a clock that counts instructions.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a scene is played at most.
const TRIES: u32 = 4;

/// The file that says which process id the kernel gave last, so that a server can be 4242.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// What was taken of a scene.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Taken {
    /// Name of the file below `docs/screens`.
    pub(super) file: String,
    pub(super) text: String,
}

/// A scene.
struct Scene {
    /// Name of the file to make below `docs/screens`.
    file: &'static str,
    /// The server, with what comes to it.
    server: Option<(Server, Load)>,
    /// observer's arguments; `PID` is the server's process id.
    arguments: &'static str,
}

/// A server that does one thing after the other, at once.
const PLAIN: Server = Server {
    comm: "api",
    backlog: 511,
    workers: 0,
    work: Work::Closes(Duration::ZERO),
    descriptors: None,
};

/// Eight workers that all wait for one listener.
const HERD: Server = Server { workers: 8, ..PLAIN };

/// All scenes.
const SCENES: &[Scene] = &[
    Scene {
        file: "herd.txt",
        server: Some((HERD, Load { burst: 1, every: Duration::from_millis(5) })),
        arguments: "--pid PID --duration 10s",
    },
    Scene {
        file: "queue.txt",
        server: Some((
            Server {
                comm: "checkout",
                backlog: 200,
                work: Work::Closes(Duration::from_micros(400)),
                ..PLAIN
            },
            Load { burst: 180, every: Duration::from_secs(1) },
        )),
        arguments: "--pid PID --duration 10s",
    },
    Scene {
        file: "drops.txt",
        server: Some((
            Server {
                comm: "search",
                backlog: 16,
                work: Work::Closes(Duration::from_millis(5)),
                ..PLAIN
            },
            Load { burst: 40, every: Duration::from_secs(3) },
        )),
        arguments: "--pid PID --duration 10s",
    },
    Scene {
        file: "waits.txt",
        server: Some((
            Server { comm: "report", work: Work::Closes(Duration::from_millis(50)), ..PLAIN },
            Load { burst: 6, every: Duration::from_millis(500) },
        )),
        arguments: "--pid PID --duration 10s",
    },
    Scene {
        file: "descriptors.txt",
        server: Some((
            Server { comm: "gateway", work: Work::Keeps, descriptors: Some(256), ..PLAIN },
            Load { burst: 25, every: Duration::from_millis(200) },
        )),
        arguments: "--pid PID --duration 3s",
    },
    Scene { file: "demo.txt", server: None, arguments: "demo" },
];

/// Plays all scenes, as the first process of a machine has tests run: a line for each.
pub(crate) fn play() -> ExitCode {
    println!("running {} tests", SCENES.len());
    let mut failed = false;
    for scene in SCENES {
        match scene.play() {
            Ok(text) => {
                let taken = Taken { file: scene.file.to_owned(), text };
                match serde_json::to_string(&taken) {
                    Ok(line) => eprintln!("figure {line}"),
                    Err(error) => eprintln!("{}: {error}", scene.file),
                }
                println!("test {} ... ok", scene.file);
            }
            Err(error) => {
                eprintln!("{}: {error:#}", scene.file);
                println!("test {} ... FAILED", scene.file);
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Scene {
    /// What a terminal would have shown, where every number is exact: a wakeup of which nothing tells whether it was one
    /// makes an estimate, also where all hooks are.
    fn play(&self) -> Result<String> {
        let mut text = String::new();
        for _ in 0..TRIES {
            text = self.play_once()?;
            if !text.contains('~') {
                return Ok(text);
            }
        }
        bail!("there is an estimate where all hooks are, {TRIES} times: {text}")
    }

    /// What a terminal would have shown, with the command before it.
    fn play_once(&self) -> Result<String> {
        // A kernel without it gives another number, which is as right.
        let _unless_it_cannot = fs::write(LAST_PID, "4241");
        let running = self.server.map(|(server, _)| server.start()).transpose()?;
        // Workers settle in their wait calls.
        thread::sleep(Duration::from_millis(100));
        let pid = running.as_ref().map_or(0, |server| server.pid.as_raw());
        let arguments = self.arguments.replace("PID", &pid.to_string());
        let (out, err) = (Path::new("/tmp/out"), Path::new("/tmp/err"));
        let mut observer = Command::new(OBSERVER)
            .args(arguments.split_whitespace())
            .env("COLUMNS", "80")
            .stdout(File::create(out)?)
            .stderr(File::create(err)?)
            .spawn()
            .context("observer does not start")?;
        let started = Instant::now();
        while !fs::read_to_string(err)?.contains("observing") && observer.try_wait()?.is_none() {
            if running.is_some() && started.elapsed() > PATIENCE {
                bail!("observer does not attach: {}", fs::read_to_string(err)?);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let mut client = self.server.map(|(_, load)| Client::new(load));
        while observer.try_wait()?.is_none() {
            client.as_mut().map_or(Ok(()), Client::go_on)?;
            thread::sleep(Duration::from_millis(5));
        }
        let (out, err) = (fs::read_to_string(out)?, fs::read_to_string(err)?);
        let status = observer.wait()?;
        if !status.success() {
            bail!("observer ended with {status}: {err}");
        }
        // Standard error begins with the line that everything is attached, and what follows comes at the end.
        let (first, rest) = err.split_once('\n').unwrap_or((&err, ""));
        let words = [first, out.trim_end(), rest.trim_end()];
        let words = words.iter().filter(|words| !words.is_empty());
        let words = words.copied().collect::<Vec<_>>().join("\n");
        Ok(format!("$ sudo observer {arguments}\n{words}\n"))
    }
}
