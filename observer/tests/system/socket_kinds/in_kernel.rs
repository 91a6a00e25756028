//! Connections that the kernel accepts for itself: those of RDS over TCP, whose module listens in every network
//! namespace. Only on a machine that has nobody else.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpStream},
    os::fd::AsRawFd as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, on_port},
    role::netns,
};

/// Where RDS listens (`RDS_TCP_PORT`).
const PORT: u16 = 16_385;
const CONNECTIONS: u64 = 10;
/// How long the kernel may take to accept one.
const PATIENCE: Duration = Duration::from_secs(30);
/// In the order to load them.
const MODULES: [&str; 2] = ["rds", "rds_tcp"];

/// Tests that leave the machine otherwise than they found it, and come last.
pub fn tests() -> Vec<Test> {
    vec![Test::new("socket_kinds::accepted_by_the_kernel_itself", Need::Also(no_modules), accepted)]
}

/// A module's file, where the machine carries it.
fn file(name: &str) -> Option<String> {
    let files = ["ko", "ko.xz"].map(|end| format!("/modules/{name}.{end}"));
    files.into_iter().find(|path| fs::exists(path).is_ok_and(|exists| exists))
}

fn no_modules() -> Option<String> {
    if env::var_os("OBSERVER_TEST_OWN_MACHINE").is_none() {
        return Some("a module would listen on this machine".to_owned());
    }
    let lacking = MODULES.iter().find(|name| file(name).is_none())?;
    Some(format!("this machine does not carry the module {lacking}"))
}

/// Loads the modules, for as long as the machine lives: to unload one waits for what it has at hand.
fn load() -> Outcome {
    for name in MODULES {
        let path = file(name).context("it was there")?;
        // The kernel unpacks it (`MODULE_INIT_COMPRESSED_FILE`).
        let flags = if path.ends_with(".xz") { 4 } else { 0 };
        let module = fs::File::open(&path)?;
        // SAFETY: a descriptor that is open, and a string that ends.
        let result = unsafe {
            libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), c"".as_ptr(), flags)
        };
        ensure!(
            result == 0 || Errno::last() == Errno::EEXIST,
            "{path} cannot be loaded: {}",
            Errno::last()
        );
    }
    Ok(())
}

/// Connections in the listener's queue, as the kernel tells: behind the local address, the remote one and
/// the state (10, which is LISTEN), what was sent, and what is to be received.
fn waiting() -> anyhow::Result<u64> {
    let port = format!(":{PORT:04X}");
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let text = fs::read_to_string(table)?;
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        if let Some(line) = lines.find(|line| line[1].ends_with(&port) && line[3] == "0A") {
            let (_, queue) = line[4].split_once(':').context("no queues")?;
            return Ok(u64::from_str_radix(queue, 16)?);
        }
    }
    anyhow::bail!("nobody listens on port {PORT}")
}

fn accepted() -> Outcome {
    load()?;
    let observer = Observer::json(&["--port", &PORT.to_string(), "--duration", "1h"])?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?);
        // One by one: where the module refuses a connection, it leaves those behind it for the next one's
        // arrival (`rds_tcp_accept_worker`).
        let since = Instant::now();
        while waiting()? > 0 {
            ensure!(since.elapsed() < PATIENCE, "the kernel does not accept");
            thread::sleep(Duration::from_millis(10));
        }
    }
    let report = observer.total()?;
    let own = netns()?;
    let mut found = on_port(&report, PORT);
    found.retain(|one| one["netns"] == own);
    ensure!(found.len() == 1, "{} listeners: {report}", found.len());
    let shown = (number(&found[0]["queued"])?, number(&found[0]["accepted"])?);
    let accepts = &report["providers"]["accepts"];
    // No tracepoint sees them, which is said.
    let seen = if accepts["via"] == "tracepoint" { 0 } else { CONNECTIONS };
    ensure!(shown == (CONNECTIONS, seen), "queued and accepted are {shown:?}: {}", found[0]);
    ensure!(seen != 0 || accepts["exact"] == false, "{accepts}");
    drop(clients);
    Ok(())
}
