//! Processes that misbehave in a certain way: the test program itself, started again with a role.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{fs::MetadataExt, process::CommandExt},
    },
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    mount::{MsFlags, mount},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    sys::resource::{Resource, setrlimit},
};

use crate::observer::program;

pub const ROLE: &str = "OBSERVER_TEST_ROLE";

/// Plays the role that the environment names; `None` where there is none.
pub fn play() -> Option<ExitCode> {
    let role = env::var(ROLE).ok()?;
    let result = match role.as_str() {
        "listen" => listen(),
        "listen-late" => listen_late(),
        "listens-apart" => crate::lifecycle::listens_apart(),
        "listeners" => crate::listeners::play(),
        "child-listens" => child_listens(),
        "no-descriptors" => no_descriptors(),
        "reopen" => reopen(),
        "two-kinds" => two_kinds(),
        "backlog" => crate::backlog::play(),
        "overflow" => crate::overflow::play(),
        "waits-moved" => crate::waits::play(),
        "noise" => noise(),
        "nap" => nap(),
        "example" => crate::events::play_example(),
        "without-btf" => without_btf(),
        other if other.starts_with("check-") => crate::check::play(other),
        other if other.starts_with("fair-") => crate::fairness::serve(other),
        other if other.starts_with("overflow-") => {
            crate::overflow::play_other(other).unwrap_or_else(|| bail!("no such role"))
        }
        other if other.starts_with("found-") => crate::findings::play(other),
        "pid-namespace" => crate::pid_namespace::play(),
        other if other.starts_with("trace-") => crate::trace::play(other),
        other if other.starts_with("threads-") => crate::threads::play(other),
        other if other.starts_with("bounds-") => crate::bounds::play(other),
        other if other.starts_with("top-") => crate::top::play(other),
        other if other.starts_with("capabilities-") => crate::capabilities::play(other),
        other if other.starts_with("deploy-") => crate::deploy::play(other),
        other if other.starts_with("cost-") => crate::cost::play(other),
        other if other.starts_with("export-") => crate::export::play(other),
        other if other.starts_with("load-") => crate::load::play(other),
        other if other.starts_with("harmless-") => crate::harmless::play(other),
        other => crate::socket_kinds::play(other),
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}: {error:?}");
            ExitCode::FAILURE
        }
    })
}

/// This program in a role.
pub fn as_role(role: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.env(ROLE, role);
    Ok(command)
}

/// A process in a role, which answers each line with a line.
pub struct Actor {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Actor {
    /// Starts one.
    pub fn start(role: &str) -> anyhow::Result<Self> {
        Self::spawn(as_role(role)?)
    }

    /// Starts one with what the command has beside its role.
    pub fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, input, output })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads the next line: a port.
    pub fn port(&mut self) -> anyhow::Result<u16> {
        let line = self.line()?;
        line.trim().parse().with_context(|| format!("not a port: {line:?}"))
    }

    /// Reads the next line.
    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    /// Lets it go on, with a count.
    pub fn ask(&mut self, count: u64) -> anyhow::Result<()> {
        Ok(writeln!(self.input, "{count}")?)
    }

    /// Whether a line of it can be read now, or its end.
    pub fn has_answered(&self) -> anyhow::Result<bool> {
        let output = self.output.get_ref().as_fd();
        let mut descriptors = [PollFd::new(output, PollFlags::POLLIN)];
        Ok(!self.output.buffer().is_empty() || poll(&mut descriptors, PollTimeout::ZERO)? > 0)
    }

    /// Lets it go on.
    pub fn next(&mut self) -> anyhow::Result<()> {
        Ok(writeln!(self.input, "next")?)
    }

    /// Ends it.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}

/// Connects, waits for the server's close, and closes with a reset, which leaves no TIME_WAIT.
pub fn connect(port: u16) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    let _end = stream.read(&mut [0])?;
    Ok(())
}

/// Says a port, or another number or text, in a line.
pub fn say(port: impl std::fmt::Display) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{port}")?;
    Ok(stdout.flush()?)
}

/// Waits until it is told to go on.
pub fn wait_for_line() -> anyhow::Result<()> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("no more lines");
    }
    Ok(())
}

/// Waits until it is told to go on, with a count.
pub fn wait_for_count() -> anyhow::Result<u64> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("no more lines");
    }
    line.trim().parse().with_context(|| format!("not a count: {line:?}"))
}

/// Inode number of this process's network namespace.
pub fn netns() -> anyhow::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/net")?.ino())
}

/// Gives this process a network namespace of its own, with loopback.
pub fn own_netns() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    crate::socket_kinds::loopback_up()
}

/// Accepts for ever, one at a time.
fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    loop {
        drop(listener.accept()?);
    }
}

/// Listens at once.
fn listen() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(listener.local_addr()?.port())?;
    serve(&listener)
}

/// Listens when told to.
fn listen_late() -> anyhow::Result<()> {
    wait_for_line()?;
    listen()
}

/// Starts a child that listens when told to, and does nothing itself.
fn child_listens() -> anyhow::Result<()> {
    let mut child = {
        wait_for_line()?;
        as_role("listen")?.spawn()?
    };
    child.wait()?;
    Ok(())
}

/// A server that runs out of descriptors: four more fit, then accept says EMFILE for each try. It
/// tries once for each connection, and frees them all when told to.
fn no_descriptors() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let limit = u64::try_from(listener.as_raw_fd())? + 1;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    say(listener.local_addr()?.port())?;
    // Seven connections wake it up, and each accept fails; then the port is said again.
    let mut failures = 0;
    while failures < 7 {
        let mut descriptors = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut descriptors, PollTimeout::NONE)?;
        match listener.accept() {
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => failures += 1,
            other => bail!("accept did not fail with EMFILE: {other:?}"),
        }
    }
    say(listener.local_addr()?.port())?;
    wait_for_line()
}

/// Processes of short life, one after the other, which only wait for their time to pass.
fn noise() -> anyhow::Result<()> {
    loop {
        Command::new(env::current_exe()?).env(ROLE, "nap").status()?;
    }
}

/// A few timeouts of a call that also waits for descriptors, then the end.
fn nap() -> anyhow::Result<()> {
    for _ in 0..20 {
        poll(&mut [], 1_u8)?;
    }
    Ok(())
}

/// A server of a TCP and a Unix socket, which waits for the first and then accepts from both, the
/// Unix one first. The Unix connection is its own.
fn two_kinds() -> anyhow::Result<()> {
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("socket");
    let unix = std::os::unix::net::UnixListener::bind(&path)?;
    let _client = std::os::unix::net::UnixStream::connect(&path)?;
    let port = tcp.local_addr()?.port();
    say(port)?;
    let mut descriptors = [PollFd::new(tcp.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::NONE)?;
    drop(unix.accept()?);
    drop(tcp.accept()?);
    say(port)?;
    wait_for_line()
}

/// Listens on one port, closes, and listens on the next, a hundred times; the sock's memory is used
/// again each time. Says how often it has. In a network namespace of its own, where all listeners are
/// these; it says that first.
fn reopen() -> anyhow::Result<()> {
    own_netns()?;
    say(netns()?)?;
    wait_for_line()?;
    for _ in 0..100 {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let client = TcpStream::connect(("127.0.0.1", port))?;
        drop(listener.accept()?);
        drop(client);
    }
    say(100_u16)?;
    wait_for_line()
}

/// Becomes an observer for whom the kernel's type information is covered by an empty directory.
fn without_btf() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted here must not show anywhere else.
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    mount(Some("none"), "/sys/kernel/btf", Some("tmpfs"), MsFlags::empty(), nothing)?;
    Err(Command::new(program()).args(["--duration", "1s"]).exec().into())
}
