//! A process with listeners, in a network namespace of its own.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::{
        fd::AsRawFd as _,
        unix::{fs::MetadataExt as _, fs::PermissionsExt as _, process::CommandExt as _},
    },
    process::{Child, Command, Output, Stdio},
    thread,
};

use anyhow::{Context, anyhow, bail, ensure};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sched::{CloneFlags, setns, unshare},
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    unistd::{Gid, Uid, setgid, setgroups, setuid},
};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::{observer::program, role::as_role, schema::parse_listeners};

/// The user id of nobody.
pub const NOBODY: u32 = 65_534;

const SPECS: &str = "OBSERVER_TEST_LISTENERS";

/// The process.
pub struct ListenHost {
    child: Child,
    /// Its process id.
    pub pid: u32,
    /// Inode number of its network namespace.
    pub netns: u64,
    /// The ports of its listeners, in the order that they were asked for.
    pub ports: Vec<u16>,
}

impl ListenHost {
    /// Starts it with these listeners, each as an address followed by options.
    pub fn start(specs: &[&str]) -> anyhow::Result<Self> {
        let mut command = as_role("listeners")?;
        command.env(SPECS, specs.join(","));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let pid = child.id();
        let netns = fs::metadata(format!("/proc/{pid}/ns/net"))?.ino();
        let host =
            Self { child, pid, netns, ports: serde_json::from_str(&line).unwrap_or_default() };
        ensure!(!host.ports.is_empty(), "the listeners were not made: {line:?}");
        Ok(host)
    }

    /// Its name.
    pub fn comm(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/comm", self.pid))?.trim_end().to_owned())
    }

    /// What a program says when it runs in this namespace as this user.
    pub fn run(&self, uid: u32, mut command: Command) -> anyhow::Result<Output> {
        let file = File::open(format!("/proc/{}/ns/net", self.pid))?;
        // A thread can be in another namespace than its process, and so is what it starts.
        let inside = thread::spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET)?;
            if uid != 0 {
                command.uid(uid).gid(uid);
            }
            anyhow::Ok(command.stdin(Stdio::null()).output()?)
        });
        inside.join().map_err(|_| anyhow!("the thread ended early"))?
    }

    /// What `observer listeners` says as root.
    pub fn observer(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        self.observer_as(0, arguments)
    }

    /// The same as another user, from within the namespace.
    pub fn observer_as(&self, uid: u32, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments = [&["listeners", "--format", "json"], arguments].concat();
        let still = parse_listeners(&self.said(uid, 80, &arguments)?)?;
        ensure!(still["schema_version"] == 1 && still["tool"]["name"] == "observer", "{still}");
        Ok(still)
    }

    /// The table.
    pub fn table_as(&self, uid: u32, columns: usize, arguments: &[&str]) -> anyhow::Result<String> {
        self.said(uid, columns, &[&["listeners"], arguments].concat())
    }

    fn said(&self, uid: u32, columns: usize, arguments: &[&str]) -> anyhow::Result<String> {
        // Other users may not be able to reach the directory that it was built in.
        let place = tempfile::tempdir()?;
        let mut path = program();
        if uid != 0 {
            fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755))?;
            let copy = place.path().join("observer");
            fs::copy(&path, &copy)?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
            path = copy;
        }
        let mut command = Command::new(path);
        command.args(arguments).env("COLUMNS", columns.to_string()).current_dir("/");
        let Output { status, stdout, stderr } = self.run(uid, command)?;
        ensure!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
        ensure!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
        Ok(String::from_utf8(stdout)?)
    }

    /// How many connections of each port `ss` shows in SYN_RECV.
    pub fn syn_recv(&self) -> anyhow::Result<BTreeMap<u16, usize>> {
        let mut command = Command::new("ss");
        command.args(["-tnH", "state", "syn-recv"]);
        let mut counts = BTreeMap::new();
        for line in String::from_utf8(self.run(0, command)?.stdout)?.lines() {
            let local = line.split_whitespace().nth(2).context("no local address")?;
            let (_, port) = local.rsplit_once(':').context("no port")?;
            *counts.entry(port.parse()?).or_insert(0) += 1;
        }
        Ok(counts)
    }

    /// Lets it end.
    pub fn end(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the listeners ended with {status}");
        Ok(())
    }
}

impl Drop for ListenHost {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}

/// The role: makes a namespace and the listeners, says their ports, and stays until its standard
/// input ends.
pub fn play() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(up.success(), "the loopback interface stays down");
    let specs = env::var(SPECS)?;
    let (mut listeners, mut clients) = (Vec::new(), Vec::new());
    for spec in specs.split(',') {
        if let Some(uid) = spec.strip_prefix("uid=") {
            // The group as well: who looks into a process needs both to be its own.
            setgroups(&[])?;
            setgid(Gid::from_raw(uid.parse()?))?;
            setuid(Uid::from_raw(uid.parse()?))?;
            // Who changes its user is hidden from that user otherwise.
            nix::sys::prctl::set_dumpable(true)?;
            continue;
        }
        listeners.push(listen(spec)?);
    }
    // Clients come when every listener is there: an address of its own takes what is for it.
    for (listener, spec) in
        listeners.iter().zip(specs.split(',').filter(|one| !one.starts_with("uid=")))
    {
        connect(&listener.0, spec, &mut clients)?;
    }
    let ports: Vec<u16> = listeners.iter().map(|(_, port, _)| *port).collect();
    println!("{}", serde_json::to_string(&ports)?);
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    // Threads in accept end with the process.
    std::process::exit(0)
}

type Listening = (Socket, u16, Option<Epoll>);

fn listen(spec: &str) -> anyhow::Result<Listening> {
    let mut words = spec.split(' ');
    let address: SocketAddr = words.next().context("no address")?.parse()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    let (mut backlog, mut epoll) = (128, None);
    if address.is_ipv6() {
        socket.set_only_v6(spec.contains("v6only"))?;
    }
    let options: Vec<(&str, &str)> =
        words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    for (name, value) in &options {
        match *name {
            "backlog" => backlog = value.parse()?,
            "reuseport" => socket.set_reuse_port(true)?,
            "defer" => number_option(&socket, libc::TCP_DEFER_ACCEPT, value.parse()?)?,
            "fastopen" => number_option(&socket, libc::TCP_FASTOPEN, value.parse()?)?,
            "interface" => socket.bind_device(Some(value.as_bytes()))?,
            "v6only" | "fill" | "fill4" | "try" | "share" | "accept" | "epoll" | "exclusive"
            | "watched" => {}
            other => bail!("no option {other}"),
        }
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    for (name, _) in &options {
        match *name {
            // `cat` ends when the pipe does that it has its standard input from.
            "share" => {
                fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
                Command::new("cat").stdout(Stdio::null()).spawn()?;
                fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            }
            "accept" => {
                for _ in 0..2 {
                    accept_for_ever(socket.as_raw_fd());
                }
            }
            "watched" => epoll = Some(watch(&socket, EpollFlags::EPOLLIN)?),
            "epoll" | "exclusive" => {
                let flags = match *name {
                    "epoll" => EpollFlags::EPOLLIN,
                    _ => EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE,
                };
                let instance = watch(&socket, flags)?;
                wait_for_ever(instance.0.as_raw_fd());
                epoll = Some(instance);
            }
            _ => {}
        }
    }
    let port = socket.local_addr()?.as_socket().context("no address")?.port();
    Ok((socket, port, epoll))
}

fn watch(socket: &Socket, flags: EpollFlags) -> anyhow::Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(socket, EpollEvent::new(flags, 0))?;
    Ok(epoll)
}

/// A thread that sleeps in accept on this very descriptor, not on a copy of it.
fn accept_for_ever(descriptor: i32) {
    for_ever(&[libc::SYS_accept], move || while nix::sys::socket::accept(descriptor).is_ok() {});
}

/// The same on this descriptor of an epoll instance.
fn wait_for_ever(descriptor: i32) {
    let calls = [
        libc::SYS_epoll_pwait,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait,
    ];
    for_ever(&calls, move || {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: there is room for one event.
        while unsafe { libc::epoll_wait(descriptor, &raw mut event, 1, -1) } >= 0 {}
    });
}

/// A thread that sleeps in one of these calls.
fn for_ever(calls: &[i64], sleep: impl FnOnce() + Send + 'static) {
    let (sender, asleep) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let _told = sender.send(nix::unistd::gettid());
        sleep();
    });
    // It is there when the kernel says that it sleeps.
    if let Ok(tid) = asleep.recv() {
        let state = || fs::read_to_string(format!("/proc/self/task/{tid}/syscall"));
        let sleeps = |call: String| calls.iter().any(|one| call.starts_with(&one.to_string()));
        while state().is_ok_and(|call| !sleeps(call)) {
            thread::yield_now();
        }
    }
}

fn number_option(socket: &Socket, option: i32, value: i32) -> anyhow::Result<()> {
    let size = libc::socklen_t::try_from(size_of_val(&value))?;
    // SAFETY: the kernel reads `size` bytes of `value`, which lives until after the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}

fn connect(listener: &Socket, spec: &str, clients: &mut Vec<Socket>) -> anyhow::Result<()> {
    let mut to = listener.local_addr()?.as_socket().context("no address")?;
    if to.ip().is_unspecified() {
        to.set_ip(if to.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    for (name, value) in spec.split(' ').filter_map(|word| word.split_once('=')) {
        match name {
            "fill" | "fill4" => {
                if name == "fill4" {
                    to.set_ip(Ipv4Addr::LOCALHOST.into());
                }
                for _ in 0..value.parse()? {
                    clients.push(TcpStream::connect(to)?.into());
                }
            }
            // One that is refused tries again by itself; the first SYN is sent within the call.
            "try" => {
                for _ in 0..value.parse()? {
                    let client = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
                    client.set_nonblocking(true)?;
                    let _in_progress = client.connect(&to.into());
                    clients.push(client);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
