//! What the bench measures with: processes of this very program, started with `bench-role`. Each
//! prints one line of JSON when it has something to tell.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use nix::{
    errno::Errno,
    libc,
    sched::{CpuSet, sched_setaffinity},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, accept4, bind, getsockname,
            listen, setsockopt, socket, sockopt,
        },
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pause, pipe, read, write},
};
use serde_json::json;

use super::inside;

/// One of them.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Connect, accept, close, over and over
    Load(LoadArgs),
    /// Two processes that wake each other by pipes
    Ping {
        #[arg(long)]
        rounds: u64,
    },
    /// Listeners that are there, and workers that wait for the first
    Hold {
        #[arg(long)]
        listeners: usize,
        #[arg(long, default_value_t = 0)]
        workers: u32,
        /// Connections that come to the first each second
        #[arg(long, default_value_t = 0)]
        rate: u32,
    },
    /// Everything that is measured in a virtual machine
    Inside(inside::InsideArgs),
}

/// Options of the loop.
#[derive(Debug, Args)]
struct LoadArgs {
    #[arg(long)]
    workers: u32,
    /// Workers wait with EPOLLEXCLUSIVE
    #[arg(long)]
    exclusive: bool,
    /// Other listeners beside the one
    #[arg(long, default_value_t = 0)]
    others: usize,
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
    #[arg(long, default_value_t = u64::MAX)]
    connections: u64,
    /// End after so many milliseconds
    #[arg(long, default_value_t = u64::MAX)]
    millis: u64,
    /// The client runs only when no worker does, so that every connection finds all of them asleep
    #[arg(long)]
    patient: bool,
    /// Client and workers run on this CPU, ahead of everything else there and the workers ahead of the
    /// client: every connection finds all of them asleep, and what else the machine does waits
    #[arg(long, conflicts_with = "patient")]
    ahead_on: Option<usize>,
}

/// The priority of a client that is ahead.
const AHEAD: i32 = 1;

/// Plays a role to its end.
pub(crate) fn run(args: &RoleArgs) -> Result<ExitCode> {
    match &args.role {
        Role::Load(args) => load(args)?,
        Role::Ping { rounds } => ping(*rounds)?,
        Role::Hold { listeners, workers, rate } => hold(*listeners, *workers, *rate)?,
        Role::Inside(args) => return inside::run(args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Processes that end with this one, or before.
struct Children(Vec<Pid>);

impl Children {
    /// Forks; this program has one thread only.
    fn fork(&mut self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        // SAFETY: a role starts no thread, so that no lock is held by a thread that is not there.
        match unsafe { fork() }.context("a worker cannot be forked")? {
            ForkResult::Parent { child } => self.0.push(child),
            ForkResult::Child => {
                let _unless_it_cannot = prctl::set_pdeathsig(Signal::SIGKILL);
                let failed = work().err();
                eprintln!("a worker stopped: {failed:?}");
                // SAFETY: ends this process without what the parent would do at its end.
                unsafe { libc::_exit(1) }
            }
        }
        Ok(())
    }

    /// How often they went to sleep, by the kernel's count.
    fn sleeps(&self) -> Result<u64> {
        let of = |pid: &Pid| -> Result<u64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            Ok(line.context("the kernel does not count switches")?.trim().parse()?)
        };
        self.0.iter().map(of).sum()
    }

    /// Nanoseconds on a CPU, of them and of this process.
    fn on_cpu(&self) -> Result<u64> {
        self.0.iter().chain([&Pid::this()]).map(|pid| on_cpu(*pid)).sum()
    }
}

/// Nanoseconds that a process of one thread was on a CPU (the first number of its schedstat).
fn on_cpu(pid: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    Ok(text.split_whitespace().next().context("the kernel does not tell times")?.parse()?)
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &self.0 {
            let _ended_before: nix::Result<()> = kill(*child, Signal::SIGKILL);
            let _gone = waitpid(*child, None);
        }
    }
}

fn listener() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    bind(
        socket.as_raw_fd(),
        &SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)),
    )?;
    listen(&socket, Backlog::new(511)?)?;
    Ok(socket)
}

fn address(socket: &OwnedFd) -> Result<SocketAddr> {
    let name: SockaddrIn = getsockname(socket.as_raw_fd())?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, name.port())))
}

fn serve(listener: BorrowedFd<'_>, exclusive: bool) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut flags = EpollFlags::EPOLLIN;
    if exclusive {
        flags |= EpollFlags::EPOLLEXCLUSIVE;
    }
    epoll.add(listener, EpollEvent::new(flags, 0))?;
    let mut events = [EpollEvent::empty()];
    loop {
        match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => bail!("epoll_wait: {errno}"),
        }
        match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: accept4 has just made this descriptor.
            Ok(connection) => drop(unsafe { OwnedFd::from_raw_fd(connection) }),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(errno) => bail!("accept4: {errno}"),
        }
    }
}

/// Connects, waits for the worker's close, and closes without leaving a TIME_WAIT behind.
fn connect(to: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(to).context("connect")?;
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream.as_fd(), sockopt::Linger, &at_once)?;
    if stream.read(&mut [0])? != 0 {
        bail!("something else answers on {to}");
    }
    Ok(())
}

fn say(value: &serde_json::Value) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{value}")?;
    Ok(stdout.flush()?)
}

/// SCHED_IDLE: it runs when nobody else wants to.
fn be_patient() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live, and 0 is this process.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    Errno::result(result).context("SCHED_IDLE")?;
    Ok(())
}

/// SCHED_FIFO: it runs when it can, and others when it waits.
fn be_ahead(priority: i32) -> Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameters live, and 0 is this process.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    Errno::result(result).context("SCHED_FIFO")?;
    Ok(())
}

/// Runs on this CPU only.
fn stay_on(cpu: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &one).with_context(|| format!("staying on CPU {cpu}"))
}

fn load(args: &LoadArgs) -> Result<()> {
    let _others = listeners(args.others)?;
    let listener = listener()?;
    let to = address(&listener)?;
    if let Some(cpu) = args.ahead_on {
        stay_on(cpu)?;
        be_ahead(AHEAD)?;
    }
    let mut children = Children(Vec::new());
    for _ in 0..args.workers {
        children.fork(|| {
            if args.ahead_on.is_some() {
                be_ahead(AHEAD + 1)?;
            }
            serve(listener.as_fd(), args.exclusive)
        })?;
    }
    if args.patient {
        be_patient()?;
    }
    // The workers settle in their wait calls.
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..args.warm_up {
        connect(to)?;
    }
    let (sleeps, on_cpu) = (children.sleeps()?, children.on_cpu()?);
    let limit = Duration::from_millis(args.millis);
    let mut connections = 0;
    let began = Instant::now();
    while connections < args.connections {
        connect(to)?;
        connections += 1;
        if args.millis != u64::MAX && connections % 64 == 0 && began.elapsed() >= limit {
            break;
        }
    }
    let took = began.elapsed();
    let (wakeups, on_cpu) = (children.sleeps()? - sleeps, children.on_cpu()? - on_cpu);
    let took = u64::try_from(took.as_nanos())?;
    say(&json!({"count": connections, "nanoseconds": took, "wakeups": wakeups, "cpu": on_cpu}))
}

fn ping(rounds: u64) -> Result<()> {
    let (our_end, their_out) = pipe()?;
    let (their_end, our_out) = pipe()?;
    let mut children = Children(Vec::new());
    children.fork(|| {
        loop {
            read(&their_end, &mut [0])?;
            write(&their_out, &[0])?;
        }
    })?;
    let once = || -> Result<()> {
        write(&our_out, &[0])?;
        read(&our_end, &mut [0])?;
        Ok(())
    };
    // Each write then runs the child until it sleeps again, and each round is one wakeup: between
    // equals, who runs first after a wakeup is the scheduler's choice, and some rounds need none.
    be_patient()?;
    for _ in 0..rounds / 4 {
        once()?;
    }
    let sleeps = children.sleeps()?;
    let began = Instant::now();
    for _ in 0..rounds {
        once()?;
    }
    let took = began.elapsed();
    let wakeups = children.sleeps()? - sleeps;
    say(
        &json!({"count": rounds, "nanoseconds": u64::try_from(took.as_nanos())?, "wakeups": wakeups}),
    )
}

/// Listeners, as many as this process may hold.
fn listeners(count: usize) -> Result<Vec<OwnedFd>> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    (0..count).map(|_| listener()).collect()
}

fn hold(count: usize, workers: u32, rate: u32) -> Result<()> {
    let listeners = listeners(count)?;
    let first = listeners.first().context("no listener")?;
    let to = address(first)?;
    let mut children = Children(Vec::new());
    for _ in 0..workers {
        children.fork(|| serve(first.as_fd(), false))?;
    }
    say(&json!({"address": to.to_string()}))?;
    if rate > 0 {
        return come(to, rate);
    }
    pause();
    Ok(())
}

/// Connections at even distances, until this process is ended.
fn come(to: SocketAddr, rate: u32) -> Result<()> {
    let distance = Duration::from_secs(1) / rate;
    let mut next = Instant::now();
    loop {
        connect(to)?;
        next += distance;
        let now = Instant::now();
        if now > next + Duration::from_secs(1) {
            bail!("this machine is too slow for {rate} connections a second");
        }
        std::thread::sleep(next.saturating_duration_since(now));
    }
}
