//! Accepts that fail for want of descriptors, however they are called.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpStream},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use aya::programs::loaded_links;
use io_uring::{IoUring, opcode, types::Fd};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    resource::{Resource, setrlimit},
};
use serde_json::json;

use super::{
    ring::{no_ring, push},
    server::listen,
};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, provider},
    role::{Actor, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
};

/// Failures after which a server gives up.
const FAILURES: u64 = 300;
/// The same by io_uring.
const RING_FAILURES: u64 = 20;

pub fn tests() -> Vec<Test> {
    vec![
        Test::together(
            "socket_kinds::emfile_of_a_spinning_epoll_server",
            Need::Kernel,
            epoll_emfile,
        ),
        Test::together("socket_kinds::emfile_of_io_uring", Need::Also(no_ring), ring_emfile),
        Test::together(
            "socket_kinds::flags_that_accept4_does_not_know",
            Need::Kernel,
            unknown_flags,
        ),
        #[cfg(target_arch = "x86_64")]
        Test::together(
            "socket_kinds::calls_with_the_numbers_of_32_bits",
            Need::Also(super::i386::not_possible),
            numbers_of_32_bits,
        ),
        Test::new(
            "socket_kinds::a_dead_task_s_accept_is_not_waited_for",
            Need::Also(not_by_fentry),
            dead_task,
        ),
        Test::new(
            "socket_kinds::what_kprobes_missed_is_asked_for",
            Need::Also(not_by_kprobe),
            missed_is_asked_for,
        ),
    ]
}

fn epoll_emfile() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-epoll-emfile")?;
    let port = actor.port()?;
    in_the_window(move || {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let failures: u64 = actor.line()?.trim().parse()?;
        in_the_report(move |report| {
            drop(client);
            let one = report.only_on_port(port)?;
            ensure!(failures == FAILURES, "the server counted {failures}");
            ensure!(one["accept_errors"]["EMFILE"] == failures, "{}", one["accept_errors"]);
            ensure!(one["accept_errors"].as_object().is_some_and(|all| all.len() == 1), "{one}");
            ensure!(one["queued"] == 1 && one["accepted"] == 0, "{one}");
            let wakeups = &one["wakeups"];
            ensure!(wakeups["total"] == 1 && wakeups["failed"] == 1, "{wakeups}");
            drop(actor);
            Ok(())
        })
    })
}

/// Leaves this process no descriptor more than `last`.
fn no_more_than(last: &impl AsRawFd) -> Outcome {
    let limit = u64::try_from(last.as_raw_fd())? + 1;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?)
}

/// The role: a level-triggered epoll server that spins for want of descriptors, until it gives up.
pub fn epoll() -> Outcome {
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    socket.set_nonblocking(true)?;
    epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    no_more_than(&socket)?;
    say(address.port())?;
    let mut failures = 0;
    while failures < FAILURES {
        epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
        match socket.accept() {
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => failures += 1,
            other => bail!("accept did not fail with EMFILE: {other:?}"),
        }
    }
    say(failures)?;
    wait_for_line()
}

fn ring_emfile() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-ring-emfile")?;
    let port = actor.port()?;
    in_the_window(move || {
        actor.next()?;
        let failures: u64 = actor.line()?.trim().parse()?;
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(failures == RING_FAILURES, "the server counted {failures}");
            let shown = one["accept_errors"]["EMFILE"].as_u64().unwrap_or(0);
            let others = one["accept_errors"].as_object().context("accept_errors")?;
            ensure!(others.keys().all(|name| name == "EMFILE"), "{others:?}");
            ensure!(one["accepted"] == 0, "{one}");
            // Linux before 5.12 has no function to hook.
            let seen = report["providers"]["accepts"]["via"] == "tracepoint" || has_io_accept()?;
            ensure!(shown == if seen { failures } else { 0 }, "EMFILE {shown}: {one}");
            drop(actor);
            Ok(())
        })
    })
}

/// Such a call ends before it asks for a descriptor; what the task does with others later is none of its.
fn unknown_flags() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-unknown-flags")?;
    let port = actor.port()?;
    in_the_window(move || {
        actor.next()?;
        ensure!(actor.line()?.trim() == "done", "the calls did not fail as they should");
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(one["accept_errors"] == json!({ "EINVAL": 1 }), "{}", one["accept_errors"]);
            drop(actor);
            Ok(())
        })
    })
}

/// 43 and 288 are times() and keyctl() there, and accept() and accept4() of 64-bit programs.
#[cfg(target_arch = "x86_64")]
fn numbers_of_32_bits() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-32-bit-numbers")?;
    let port = actor.port()?;
    in_the_window(move || {
        actor.next()?;
        ensure!(actor.line()?.trim() == "done", "the calls did not return as they should");
        in_the_report(move |report| {
            let one = report.only_on_port(port)?;
            ensure!(one["accepted"] == 0, "{one}");
            ensure!(one["accept_errors"] == json!({}), "{}", one["accept_errors"]);
            drop(actor);
            Ok(())
        })
    })
}

/// The role: calls by the numbers of 32-bit programs, with a listener where those of 64 bits have their first
/// argument.
#[cfg(target_arch = "x86_64")]
pub fn by_other_numbers() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    say(address.port())?;
    wait_for_line()?;
    for number in [43_i64, 288] {
        // SAFETY: neither call is given memory: times(NULL) writes nothing, and keyctl(0, 0) looks for a key of
        // the number 0. The kernel does not keep the upper registers.
        unsafe {
            std::arch::asm!(
                "xchg {nothing}, rbx",
                "int 0x80",
                "xchg {nothing}, rbx",
                nothing = inout(reg) 0_i64 => _,
                inout("rdi") i64::from(socket.as_raw_fd()) => _,
                inout("rax") number => _,
                inout("rcx") 0_i64 => _,
                inout("rdx") 0_i64 => _,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
    }
    say("done")?;
    wait_for_line()
}

/// The role: an accept call with a flag that there is not, and then a file that there is not.
pub fn without_known_flags() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    say(address.port())?;
    wait_for_line()?;
    // SAFETY: no address is asked for.
    let result =
        unsafe { libc::accept4(socket.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), 1) };
    let error = std::io::Error::last_os_error();
    ensure!(result == -1 && error.raw_os_error() == Some(libc::EINVAL), "{result}, {error}");
    // It has a descriptor before the kernel finds that out.
    ensure!(std::fs::File::open("/nowhere").is_err(), "/nowhere is there");
    say("done")?;
    wait_for_line()
}

fn has_io_accept() -> anyhow::Result<bool> {
    let symbols = std::fs::read_to_string("/proc/kallsyms")?;
    Ok(symbols.lines().any(|line| line.split_whitespace().nth(2) == Some("io_accept")))
}

/// The role: accept requests of io_uring that get no descriptor.
pub fn ring() -> Outcome {
    let mut ring = IoUring::new(8)?;
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    no_more_than(&socket)?;
    say(address.port())?;
    wait_for_line()?;
    let mut failures = 0;
    for _ in 0..RING_FAILURES {
        let fd = Fd(socket.as_raw_fd());
        let accept = opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut());
        push(&mut ring, &accept.build())?;
        ring.submit_and_wait(1)?;
        let result = ring.completion().next().context("no completion")?.result();
        ensure!(result == -libc::EMFILE, "accept did not fail with EMFILE: {result}");
        failures += 1;
    }
    say(failures)?;
    wait_for_line()
}

fn not_by_fentry() -> Option<String> {
    (provider().as_deref() != Some("fentry"))
        .then(|| "only fentry follows blocked accepts by a probe of its own".to_owned())
}

/// Waits for something that comes; the test hangs where it does not, and says so.
fn wait_until(otherwise: &str, done: impl Fn() -> bool) -> Outcome {
    let patience = Instant::now() + Duration::from_secs(60);
    while !done() {
        ensure!(Instant::now() < patience, "{otherwise}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn links() -> BTreeSet<u32> {
    loaded_links().filter_map(Result::ok).map(|link| link.id()).collect()
}

/// The probe that follows an accept call of before the window goes when its task dies.
fn dead_task() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?.to_string();
    let accept4 = format!("{} ", libc::SYS_accept4);
    wait_until("the server does not block in accept", || {
        let path = format!("/proc/{}/syscall", actor.pid());
        std::fs::read_to_string(path).is_ok_and(|text| text.starts_with(&accept4))
    })?;
    let before = links();
    let observer = Observer::json(&["--port", &port, "--duration", "1h"])?;
    let ours: BTreeSet<u32> = links().difference(&before).copied().collect();
    ensure!(!ours.is_empty(), "observer has no links");
    actor.kill()?;
    wait_until("all of its links stay", || links().intersection(&ours).count() == ours.len() - 1)?;
    let report = observer.total()?;
    // Nothing happened on it, and it is gone.
    let [one] = report["listeners"].as_array().map_or(&[][..], Vec::as_slice) else {
        bail!("not one listener: {report}");
    };
    ensure!(one["closed"] == true && one["accepted"] == 0, "{one}");
    Ok(())
}

fn not_by_kprobe() -> Option<String> {
    (provider().as_deref() != Some("kprobe")).then(|| "only kprobes miss hits".to_owned())
}

/// Kernels tell what a kprobe missed since 6.7, where each of observer's links must then tell it; that
/// a hit was missed cannot be brought about at will.
fn missed_is_asked_for() -> Outcome {
    let observer = Observer::json(&["-vv", "--duration", "100ms"])?;
    let said = observer.wait()?.stderr;
    let mut told = said.lines().filter_map(|line| {
        line.strip_prefix("debug: ")?.strip_suffix(" links tell what they missed")?.parse().ok()
    });
    // A kernel that tells nothing at all of its programs is not asked for links.
    let told: usize = told.next().unwrap_or(0);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().context(release.clone())?, numbers.next().context(release)?);
    // Five functions at least are probed for accepts alone.
    ensure!(if version >= (6, 7) { told >= 5 } else { told == 0 }, "{told} links on {version:?}");
    Ok(())
}
