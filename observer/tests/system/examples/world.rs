//! Where examples are run: a herding server with its client, recordings, and the programs that examples call.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tempfile::TempDir;

use super::extract::Example;
use crate::{Outcome, observer::program, workload::Workload};

/// Longest that an example may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the client comes: most of the machine is the examples'.
const PAUSE: Duration = Duration::from_millis(100);

/// Time in which what does not end shows something.
const WHILE: Duration = Duration::from_millis(700);

/// The world, until it is dropped.
pub struct World {
    /// Files that examples read.
    files: TempDir,
    /// Programs that they call.
    programs: TempDir,
    /// The server's first process.
    pid: u32,
    enough: Arc<AtomicBool>,
    client: Option<JoinHandle<Outcome>>,
}

/// An example that has ended.
pub struct Done {
    /// Where it ran.
    pub directory: TempDir,
    /// Its exit status.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    /// Makes one.
    pub fn new() -> anyhow::Result<Self> {
        // In a network namespace of its own, where the port is free; observer sees all of them.
        let arguments = ["--strategy", "epoll", "--workers", "4", "--port", "8080", "--netns"];
        let mut workload = Workload::start(&[&arguments[..], &["--connections", "20"]].concat())?;
        let enough = Arc::new(AtomicBool::new(false));
        let (pid, until) = (workload.ready.pid, enough.clone());
        let client = thread::spawn(move || {
            while !until.load(Relaxed) {
                workload.round()?;
                thread::sleep(PAUSE);
            }
            workload.quit()
        });
        let (files, programs) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let world = Self { files, programs, pid, enough, client: Some(client) };
        world.make_programs()?;
        for file in ["before.ndjson", "after.ndjson", "incident.ndjson.zst", "FILE"] {
            let arguments = "record --port 8080 --duration 600ms --interval 300ms -o";
            world.prepare(&format!("observer {arguments} {file}"))?;
        }
        world.prepare(
            "observer check --allow-estimates --min-accepted 1 --report before.json -- ./server",
        )?;
        Ok(world)
    }

    fn make_programs(&self) -> Outcome {
        let observer = program().display().to_string();
        let served = |strategy: &str| {
            format!(
                "printf 'go\\nquit\\n' | exec {observer} workload --netns --workers 8 --connections 40 --strategy \
                 {strategy}"
            )
        };
        let serve = served("epoll-exclusive");
        let program = |at: &Path, name: &str, text: &str| -> Outcome {
            let path = at.join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
            Ok(fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?)
        };
        let at = self.programs.path();
        program(at, "observer", &format!("echo $$ > pid; exec {observer} \"$@\""))?;
        // Options of sudo itself are nothing here.
        program(at, "sudo", "while [ \"${1#-}\" != \"$1\" ]; do shift; done; exec \"$@\"")?;
        program(
            at,
            "python3",
            &format!("case \"$*\" in *exclusive*) {serve};; *) {};; esac", served("epoll")),
        )?;
        program(at, "make", &serve)?;
        for name in ["server", "load-test"] {
            program(self.files.path(), name, &serve)?;
        }
        Ok(())
    }

    /// Makes a file that examples read.
    fn prepare(&self, command: &str) -> Outcome {
        let example =
            Example { page: String::new(), line: 0, command: command.to_owned(), status: None };
        let done = self.run(&example)?;
        ensure!(done.code == 0, "{command}: {}", done.stderr);
        for entry in fs::read_dir(done.directory.path())? {
            let (from, to) = (entry?.path(), self.files.path());
            let name = from.file_name().context("a name")?;
            if !to.join(name).exists() && name != "pid" {
                fs::copy(&from, to.join(name))?;
            }
        }
        Ok(())
    }

    /// Why a command cannot be run on this machine.
    pub fn lacks(&self, command: &str) -> Option<String> {
        let is_there = |name: &str| {
            let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output();
            found.is_ok_and(|output| output.status.success())
        };
        let missing = |name: &str| (!is_there(name)).then(|| format!("{name} is not installed"));
        let of_pipe = if command.contains("| jq") { missing("jq") } else { None };
        let of_screen = if command.contains("observer top") { missing("script") } else { None };
        let no_cgroup = || {
            let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok()?;
            let is_there = text.lines().any(|line| line.starts_with("0::"));
            (!is_there).then(|| "no cgroup hierarchy".to_owned())
        };
        let of_group = if command.contains("--cgroup") { no_cgroup() } else { None };
        of_pipe.or(of_screen).or(of_group)
    }

    /// Runs an example in a directory of its own, to its end or until it has shown something.
    pub fn run(&self, example: &Example) -> anyhow::Result<Done> {
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        let command = self.fitted(&example.command);
        for entry in fs::read_dir(self.files.path())? {
            let from = entry?.path();
            let name = from.file_name().context("a name")?;
            let is_made = command.contains(&format!("-o {}", name.display()));
            if !is_made {
                fs::copy(&from, at.join(name))?;
            }
        }
        let path = format!("{}:{}", self.programs.path().display(), std::env::var("PATH")?);
        let is_screen = command.contains("observer top");
        let mut shell = if is_screen {
            let mut script = Command::new("script");
            // A terminal of nobody has no size.
            let sized = format!("stty cols 80 rows 24; {command}");
            script.args(["-qec", &sized, "/dev/null"]).env("TERM", "xterm");
            script
        } else {
            let mut shell = Command::new("sh");
            shell.args(["-c", &command]);
            shell
        };
        let (out, err) = (at.join("stdout"), at.join("stderr"));
        let mut child = shell
            .current_dir(at)
            .env("PATH", &path)
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITHUB_STEP_SUMMARY")
            .process_group(0)
            .stdin(if is_screen { Stdio::piped() } else { Stdio::null() })
            .stdout(fs::File::create(&out)?)
            .stderr(fs::File::create(&err)?)
            .spawn()?;
        let begun = Instant::now();
        let mut interrupted = !is_endless(&command);
        let mut observing = None;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            let said = fs::read_to_string(&err)? + &String::from_utf8_lossy(&fs::read(&out)?);
            // A screen says so too where no listener is.
            let begins = ["observing", "LISTENER", "LIVE"];
            if observing.is_none() && begins.iter().any(|word| said.contains(word)) {
                observing = Some(Instant::now());
            }
            if !interrupted && observing.is_some_and(|since: Instant| since.elapsed() > WHILE) {
                interrupted = true;
                match &mut child.stdin {
                    Some(keys) => std::io::Write::write_all(keys, b"q")?,
                    None => {
                        let pid = fs::read_to_string(at.join("pid"))?.trim().parse()?;
                        kill(Pid::from_raw(pid), Signal::SIGINT)?;
                    }
                }
            }
            if begun.elapsed() > PATIENCE {
                killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL)?;
                child.wait()?;
                bail!("it does not end: {said}");
            }
            thread::sleep(Duration::from_millis(20));
        };
        let code = status.code().with_context(|| format!("it ended with {status}"))?;
        let (stdout, stderr) = (fs::read(out)?, fs::read_to_string(err)?);
        Ok(Done { directory, code, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr })
    }

    /// A command with what it cannot know: process ids, and times that nobody wants to wait for.
    fn fitted(&self, command: &str) -> String {
        let group = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap_or_default();
        let group = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let pid = self.pid.to_string();
        let values = [
            ("--pid", pid.as_str()),
            ("--duration", "600ms"),
            ("--interval", "200ms"),
            ("--comm", "demo-worker"),
            ("--cgroup", group),
            ("--from", "0s"),
            ("--to", "1h"),
            ("--flight-recorder", "flight"),
        ];
        let mut command = values
            .iter()
            .fold(command.to_owned(), |command, (flag, value)| with_value(&command, flag, value));
        // Whether this kernel can count exactly is not what an example is about.
        if !command.contains("--allow-estimates") {
            command = command.replace("observer check", "observer check --allow-estimates");
        }
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.enough.store(true, Relaxed);
        if let Some(client) = self.client.take() {
            let _judged_by_what_was_seen = client.join();
        }
    }
}

/// A command line with another value for each flag of this name.
fn with_value(command: &str, flag: &str, value: &str) -> String {
    let flag = format!(" {flag} ");
    let mut parts = command.split(&flag);
    let mut fitted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([' ', '\'', ')']).unwrap_or(part.len());
        fitted = format!("{fitted}{flag}{value}{}", &part[end..]);
    }
    fitted
}

/// Whether a command goes on until it is interrupted.
fn is_endless(command: &str) -> bool {
    let words: Vec<_> = command.split_whitespace().take_while(|word| *word != "#").collect();
    let after = words.iter().skip_while(|word| **word != "observer").nth(1);
    match after.copied() {
        Some("top" | "export") => true,
        Some("check") => !words.contains(&"--duration") && !words.contains(&"--"),
        None | Some("trace" | "record") => !words.contains(&"--duration"),
        Some(word) if word.starts_with('-') || word == "|" => {
            !words.contains(&"--duration") && !["--version", "--help"].contains(&word)
        }
        Some(_) => false,
    }
}
