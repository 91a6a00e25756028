//! Servers that wait in every way there is: each connection that finds one asleep wakes it once, and how
//! it waits is told.
//!
//! Each is a process of its own, which serves until it is ended.

use std::{
    fs,
    mem::zeroed,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr::null_mut,
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use io_uring::{IoUring, opcode, types::Fd};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        select::{FdSet, select},
    },
    unistd::gettid,
};
use serde_json::Value;
use socket2::Socket;
use std::os::fd::AsFd;

use super::{
    i386,
    ring::{connection, no_multishot, push},
    server::{connect, inode, listen, listener},
};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, run},
    role::{Actor, say},
    schema::parse_listeners,
    shared_run::{Play, in_the_report, in_the_window},
};

/// Connections to each server.
const CONNECTIONS: u64 = 5;
/// How long a task may take to go to sleep.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn tests() -> Vec<Test> {
    macro_rules! waits {
        ($($name:literal $need:expr, $way:literal, $wait:expr;)*) => {
            vec![$(Test::together(concat!("socket_kinds::waits_by_", $name), $need, || waits($way, $wait))),*]
        };
    }
    let mut tests = waits! {
        "accept" Need::Kernel, "accept", Some("accept");
        "poll" Need::Kernel, "poll", Some("poll");
        "select" Need::Kernel, "select", Some("select");
        "epoll" Need::Kernel, "epoll", Some("epoll");
        "epoll_exclusive" Need::Kernel, "epoll-exclusive", Some("epoll-exclusive");
        "io_uring" Need::Also(no_multishot), "ring", Some("io_uring");
        "an_io_uring_thread" Need::Also(no_multishot), "sqpoll", Some("io_uring");
        "accept_beside_an_epoll_instance" Need::Kernel, "beside-epoll", Some("accept");
        "aio" Need::Kernel, "aio", None;
        "a_signal" Need::Kernel, "signal", None;
        "accept_of_32_bits" Need::Also(i386::not_possible), "i386-1", Some("accept");
        "poll_of_32_bits" Need::Also(i386::not_possible), "i386-2", Some("poll");
        "epoll_of_32_bits" Need::Also(i386::not_possible), "i386-3", Some("epoll");
    };
    tests.push(Test::new(
        "socket_kinds::a_waiter_of_an_unknown_kind_is_said",
        Need::Kernel,
        unknown,
    ));
    tests
}

/// A server that waits in some way.
struct Server {
    actor: Actor,
    address: SocketAddr,
    inode: u64,
    /// The task that waits.
    tid: u32,
}

impl Server {
    fn start(way: &str) -> anyhow::Result<Self> {
        let mut actor = Actor::start(&format!("kinds-wait-{way}"))?;
        let line = actor.line()?;
        let mut words = line.split_whitespace();
        let mut next = || words.next().with_context(|| format!("{way} said {line:?}"));
        let address = (Ipv4Addr::LOCALHOST, next()?.parse()?).into();
        let (inode, tid) = (next()?.parse()?, next()?.parse()?);
        Ok(Self { actor, address, inode, tid })
    }

    /// Connects so often, each time when the task sleeps.
    fn round(&self) -> Outcome {
        for _ in 0..CONNECTIONS {
            self.falls_asleep()?;
            connect(self.address)?;
        }
        self.falls_asleep()
    }

    /// Waits until the task sleeps, and has for a while.
    fn falls_asleep(&self) -> Outcome {
        let since = Instant::now();
        let path = format!("/proc/{}/task/{}/stat", self.actor.pid(), self.tid);
        let mut asleep = 0;
        while asleep < 3 {
            ensure!(since.elapsed() < PATIENCE, "task {} does not come to sleep", self.tid);
            sleep(Duration::from_millis(5));
            let stat = fs::read_to_string(&path)?;
            let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
            asleep = if state == Some('S') { asleep + 1 } else { 0 };
        }
        Ok(())
    }

    /// How often the report says that the task was woken; nobody else was.
    fn wakeups(&self, one: &Value) -> anyhow::Result<u64> {
        let rows = one["workers"].as_array().context("workers")?;
        ensure!(rows.iter().all(|row| row["tid"] == self.tid), "strangers: {one}");
        rows.iter().map(|row| number(&row["wakeups"]["total"])).sum()
    }
}

fn waits(way: &'static str, wait: Option<&'static str>) -> anyhow::Result<Play> {
    let server = Server::start(way)?;
    in_the_window(move || {
        server.round()?;
        in_the_report(move |report| {
            let one = listener(report, server.inode)?;
            let woken = server.wakeups(one)?;
            ensure!(woken == CONNECTIONS, "{woken} wakeups by {CONNECTIONS} connections: {one}");
            let holders = one["holders"].as_array().context("holders")?;
            let expected = wait.map_or(Value::Null, Value::from);
            ensure!(!holders.is_empty(), "nobody holds it: {one}");
            ensure!(holders.iter().all(|one| one["wait"] == expected), "not {expected}: {one}");
            // Nor does what a look at the waiting task finds say otherwise.
            let seen = seen_with(server.inode)?;
            let holders = &listener(&seen, server.inode)?["holders"];
            // What a ring's requests are for it cannot see.
            let expected =
                if way.contains("ring") || way == "sqpoll" { Value::Null } else { expected };
            let agrees = |one: &Value| one["wait"] == expected;
            ensure!(holders.as_array().is_some_and(|all| all.iter().all(agrees)), "{holders}");
            Ok(())
        })
    })
}

/// What `observer listeners` tells of all listeners of a time when this one was there. The servers of other plays are
/// there as well, and one look is enough for all of them: it takes seconds on an emulated machine.
fn seen_with(inode: u64) -> anyhow::Result<Value> {
    static SEEN: Mutex<Option<Value>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = seen.as_ref().filter(|value| listener(value, inode).is_ok()) {
        return Ok(value.clone());
    }
    let output = run(&["listeners", "--format", "json"])?;
    Ok(seen.insert(parse_listeners(str::from_utf8(&output.stdout)?)?).clone())
}

/// A signal wakes a server out of a read: the wakeups are not counted, and that is said; or they are.
fn unknown() -> Outcome {
    let server = Server::start("signalfd")?;
    let observer = Observer::json(&["--pid", &server.actor.pid().to_string()])?;
    server.round()?;
    let report = observer.total()?;
    let wakeups = &report["providers"]["wakeups"];
    let seen = number(&listener(&report, server.inode)?["wakeups"]["total"])?;
    let uncounted = wakeups["uncounted"].as_u64().unwrap_or(0);
    ensure!(
        seen + uncounted == CONNECTIONS,
        "{seen} wakeups by {CONNECTIONS} connections: {report}"
    );
    ensure!(uncounted == 0 || wakeups["exact"] == false, "{wakeups}");
    Ok(())
}

/// The roles.
pub fn serve(way: &str) -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    let listener = inode(&socket)?;
    let ready = |task: i64| say(format!("{} {listener} {task}", address.port()));
    let own = i64::from(gettid().as_raw());
    match way {
        "accept" => {
            ready(own)?;
            loop {
                drop(socket.accept()?);
            }
        }
        "beside-epoll" => {
            let _epoll = watched(&socket, EpollFlags::EPOLLIN)?;
            ready(own)?;
            loop {
                drop(socket.accept()?);
            }
        }
        "poll" => {
            ready(own)?;
            serve_after(&socket, || {
                poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)
            })
        }
        "select" => {
            ready(own)?;
            serve_after(&socket, || {
                let mut set = FdSet::new();
                set.insert(socket.as_fd());
                select(None, &mut set, None, None, None)
            })
        }
        "epoll" | "epoll-exclusive" => {
            let flags = match way {
                "epoll" => EpollFlags::empty(),
                _ => EpollFlags::EPOLLEXCLUSIVE,
            };
            let epoll = watched(&socket, EpollFlags::EPOLLIN | flags)?;
            ready(own)?;
            serve_after(&socket, || epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE))
        }
        "ring" => {
            let mut ring = IoUring::new(8)?;
            push(&mut ring, &opcode::AcceptMulti::new(Fd(socket.as_raw_fd())).build())?;
            ready(own)?;
            loop {
                ring.submit_and_wait(1)?;
                drop(connection(&mut ring)?);
            }
        }
        "sqpoll" => by_kernel_thread(&socket, ready),
        "aio" => {
            ready(own)?;
            by_aio(&socket)
        }
        "signal" => {
            let set = signals_of(&socket)?;
            ready(own)?;
            // SAFETY: the set is there, and nothing else is asked for.
            serve_after(&socket, || Errno::result(unsafe { libc::sigwaitinfo(&set, null_mut()) }))
        }
        "signalfd" => {
            let set = signals_of(&socket)?;
            // SAFETY: the set is there; the descriptor is new.
            let signals = Errno::result(unsafe { libc::signalfd(-1, &set, 0) })?;
            ready(own)?;
            let mut buffer = [0_u8; 128];
            serve_after(&socket, || {
                // SAFETY: the buffer is of one signal's size.
                Errno::result(unsafe { libc::read(signals, buffer.as_mut_ptr().cast(), 128) })
            })
        }
        "i386-1" | "i386-2" | "i386-3" => {
            ready(own)?;
            i386::become_server(&socket, way[5..].parse()?)
        }
        other => bail!("no way {other}"),
    }
}

/// Waits, and accepts what there is, for ever.
fn serve_after<T>(socket: &Socket, mut wait: impl FnMut() -> nix::Result<T>) -> Outcome {
    socket.set_nonblocking(true)?;
    loop {
        wait()?;
        accept_all(socket)?;
    }
}

fn accept_all(socket: &Socket) -> Outcome {
    loop {
        match socket.accept() {
            Ok(connection) => drop(connection),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn watched(socket: &Socket, flags: EpollFlags) -> anyhow::Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(socket, EpollEvent::new(flags, 0))?;
    Ok(epoll)
}

/// A thread of the kernel puts accept requests through (`IORING_SETUP_SQPOLL`), and this one looks for what
/// came of them now and then.
fn by_kernel_thread(socket: &Socket, ready: impl Fn(i64) -> Outcome) -> Outcome {
    let mut ring = IoUring::builder().setup_sqpoll(1).build(8)?;
    push(&mut ring, &opcode::AcceptMulti::new(Fd(socket.as_raw_fd())).build())?;
    ring.submit()?;
    ready(kernel_thread()?)?;
    loop {
        sleep(Duration::from_millis(1));
        while let Some(completion) = ring.completion().next() {
            ensure!(completion.result() >= 0, "accept says {}", completion.result());
            // SAFETY: the kernel has just made this descriptor for this process.
            drop(unsafe { OwnedFd::from_raw_fd(completion.result()) });
        }
    }
}

/// The thread that the kernel made for the ring, by the name that it gives itself.
fn kernel_thread() -> anyhow::Result<i64> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        for task in fs::read_dir("/proc/self/task")? {
            let task = task?;
            if fs::read_to_string(task.path().join("comm"))?.starts_with("iou-sqp-") {
                let tid = task.file_name();
                return Ok(tid.to_str().context("a number")?.parse()?);
            }
        }
        sleep(Duration::from_millis(1));
    }
    bail!("the ring has no thread")
}

/// The listener sends a signal for each connection, which is blocked.
fn signals_of(socket: &Socket) -> anyhow::Result<libc::sigset_t> {
    let signal = libc::SIGRTMIN();
    let descriptor: RawFd = socket.as_raw_fd();
    // SAFETY: the set is made here, and the descriptor is open.
    unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        Errno::result(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, null_mut()))?;
        /// `F_SETSIG` (uapi asm-generic/fcntl.h).
        const F_SETSIG: i32 = 10;
        Errno::result(libc::fcntl(descriptor, F_SETSIG, signal))?;
        Errno::result(libc::fcntl(descriptor, libc::F_SETOWN, libc::getpid()))?;
        let flags = Errno::result(libc::fcntl(descriptor, libc::F_GETFL))?;
        Errno::result(libc::fcntl(
            descriptor,
            libc::F_SETFL,
            flags | libc::O_ASYNC | libc::O_NONBLOCK,
        ))?;
        Ok(set)
    }
}

/// `struct iocb` (uapi/linux/aio_abi.h) of a request that waits for a file to become ready.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    events: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_descriptor: u32,
}

/// `IOCB_CMD_POLL`.
const IOCB_CMD_POLL: u16 = 5;

fn by_aio(socket: &Socket) -> Outcome {
    let mut context: u64 = 0;
    // SAFETY: the context is written by the kernel.
    Errno::result(unsafe { libc::syscall(libc::SYS_io_setup, 8, &raw mut context) })?;
    let mut request = Request {
        opcode: IOCB_CMD_POLL,
        descriptor: u32::try_from(socket.as_raw_fd())?,
        events: 1,
        ..Request::default()
    };
    serve_after(socket, || {
        let mut requests = [&raw mut request];
        let mut event = [0_u64; 4];
        // SAFETY: the request outlives its completion, and there is room for one event.
        unsafe {
            Errno::result(libc::syscall(libc::SYS_io_submit, context, 1, requests.as_mut_ptr()))?;
            let no_time = null_mut::<libc::timespec>();
            let event = event.as_mut_ptr();
            Errno::result(libc::syscall(libc::SYS_io_getevents, context, 1, 1, event, no_time))
        }
    })
}
