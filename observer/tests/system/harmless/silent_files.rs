//! A file that never answers whether it is ready, in an epoll instance beside a listener: whoever looks into
//! that instance waits for ever, for its mutex, and is not even ended by SIGKILL (`ep_show_fdinfo`).

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use tempfile::TempDir;

use super::{
    fuse::{self, FILE},
    reports::Reports,
};
use crate::{
    Need, Outcome, Test,
    observer::only_on_port,
    role::{Actor, as_role, say, wait_for_count},
};

/// The file, as the role is told by the environment.
const PATH: &str = "OBSERVER_TEST_FILE";

/// Longest that a step may take before the file system is let go, which frees whoever waits for it, and the
/// test says that the step hung. No duration is asserted.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that are made while somebody waits for the file.
const CONNECTIONS: u64 = 5;

pub fn tests() -> Vec<Test> {
    let test = |name: &str, run: fn() -> Outcome| {
        Test::new(
            format!("harmless::a_file_that_never_answers::{name}"),
            Need::Also(fuse::missing),
            run,
        )
    };
    vec![
        test("there_before_observer", || beside(true)),
        test("there_later", || beside(false)),
        test("and_sigkill", killed),
    ]
}

/// The file system, and who can get stuck in it. Its end lets the file system go first: nobody waits for it any
/// more then, and whoever is waited for can end.
struct Scene {
    files: Actor,
    stage: Stage,
    /// Whether the file system was let go.
    is_over: bool,
    _directory: TempDir,
}

/// A server with a listener, and an observer.
struct Stage {
    server: Actor,
    port: u16,
    reports: Option<Reports>,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let (directory, files, path) = fuse::start("harmless-fuse")?;
        let mut command = as_role("harmless-silent")?;
        command.env(PATH, format!("{path}/{FILE}"));
        let mut server = Actor::spawn(command)?;
        let port = server.port()?;
        let stage = Stage { server, port, reports: None };
        Ok(Self { files, stage, is_over: false, _directory: directory })
    }

    /// Lets a thread of the server hang in its epoll_wait, with the instance's mutex. That the trap is set is
    /// proven by a process that reads what observer must not.
    fn stick(&mut self) -> Outcome {
        self.stage.server.ask(0)?;
        let epoll: i32 = self.stage.server.line()?.trim().parse()?;
        ensure!(self.files.line()?.trim() == "unanswered", "nobody asked for the file's state");
        let path = format!("/proc/{}/fdinfo/{epoll}", self.stage.server.pid());
        let mut reader = Command::new("cat").arg(path).stdout(Stdio::null()).spawn()?;
        let result = sleeps_for_good(&mut reader);
        // Gone once the file system is.
        thread::spawn(move || reader.wait());
        result
    }

    /// Takes a step. One that hangs is freed after a while, and has failed.
    fn step(&mut self, what: &str, step: impl FnOnce(&mut Stage) -> Outcome) -> Outcome {
        ensure!(!self.is_over, "the file system is gone");
        let files = Pid::from_raw(i32::try_from(self.files.pid())?);
        let (done, is_done) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let hangs = is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
            if hangs {
                // Nobody has waited for it, so that its number is still its own.
                let _gone = kill(files, Signal::SIGKILL);
            }
            hangs
        });
        let result = step(&mut self.stage);
        drop(done);
        self.is_over = watchdog.join().unwrap_or(true);
        ensure!(!self.is_over, "{what} hung until the file system was let go");
        result.with_context(|| what.to_owned())
    }
}

impl Stage {
    /// Starts observer.
    fn start(&mut self) -> Outcome {
        let port = self.port.to_string();
        self.reports = Some(Reports::start(&["--interval", "500ms", "--port", &port])?);
        Ok(())
    }

    /// Waits for so many reports.
    fn wait_for_reports(&self, count: usize) -> Outcome {
        self.reports.as_ref().context("no observer")?.skip(count)
    }

    /// Makes connections, which the server accepts.
    fn connect(&mut self) -> Outcome {
        let connect = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let clients = (0..CONNECTIONS).map(connect).collect::<Result<Vec<_>, _>>()?;
        self.server.ask(CONNECTIONS)?;
        ensure!(self.server.line()?.trim() == CONNECTIONS.to_string(), "it accepted fewer");
        drop(clients);
        Ok(())
    }

    /// Ends observer as Ctrl-C does, and holds its total against what happened.
    fn end(&mut self) -> Outcome {
        let (_, total) = self.reports.take().context("no observer")?.end()?;
        let one = only_on_port(&total, self.port)?;
        ensure!(one["queued"] == CONNECTIONS && one["accepted"] == CONNECTIONS, "{one}");
        let pid = self.server.pid();
        let holders = one["holders"].as_array().context("holders")?;
        ensure!(holders.iter().any(|holder| holder["pid"] == pid), "{pid} is no holder: {one}");
        Ok(())
    }
}

/// Waits until a process is in an uninterruptible sleep and stays there.
fn sleeps_for_good(child: &mut Child) -> Outcome {
    let (mut since, patience) = (None, Instant::now() + PATIENCE);
    while Instant::now() < patience {
        ensure!(child.try_wait()?.is_none(), "the instance could be looked into");
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
        let sleeps = stat.rsplit_once(')').context("no name")?.1.trim_start().starts_with('D');
        let now = Instant::now();
        since = if sleeps { since.or(Some(now)) } else { None };
        if since.is_some_and(|since| since.elapsed() > Duration::from_millis(200)) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("whoever looks into the instance does not wait for it")
}

/// Reports are made as if nothing was, with counts, and Ctrl-C ends it.
fn beside(before: bool) -> Outcome {
    let mut scene = Scene::new()?;
    if before {
        scene.stick()?;
    }
    scene.step("the start", Stage::start)?;
    scene.step("the first reports", |stage| stage.wait_for_reports(2))?;
    if !before {
        scene.stick()?;
    }
    scene.step("connections", Stage::connect)?;
    scene.step("reports of them", |stage| stage.wait_for_reports(4))?;
    scene.step("Ctrl-C", Stage::end)
}

/// SIGKILL ends it at once.
fn killed() -> Outcome {
    let mut scene = Scene::new()?;
    scene.step("the start", Stage::start)?;
    scene.step("the first report", |stage| stage.wait_for_reports(1))?;
    scene.stick()?;
    scene.step("connections", Stage::connect)?;
    // It looks at the server, which has run.
    thread::sleep(Duration::from_secs(2));
    scene.step("SIGKILL", |stage| stage.reports.take().context("no observer")?.kill())
}

/// The role: a server whose epoll instance has its listener. When it is told 0, it adds the file, and says the
/// instance's descriptor; a thread of it waits there from then on. Any other number is how many connections
/// it accepts and closes.
pub fn serve() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    say(listener.local_addr()?.port())?;
    thread::scope(|scope| {
        loop {
            match wait_for_count()? {
                0 => {
                    let file = File::open(env::var(PATH)?)?;
                    // Asks for its state, and is told that it can be read.
                    epoll.add(&file, EpollEvent::new(EpollFlags::EPOLLIN, 1))?;
                    say(epoll.0.as_raw_fd())?;
                    let epoll = &epoll;
                    // Asks again, and waits for the answer (`ep_send_events`).
                    scope.spawn(move || {
                        let mut events = [EpollEvent::empty(); 2];
                        let _freed = epoll.wait(&mut events, EpollTimeout::NONE);
                        drop(file);
                    });
                }
                count => {
                    for _ in 0..count {
                        drop(listener.accept()?);
                    }
                    say(count)?;
                }
            }
        }
    })
}
