//! A file system in user space that answers nothing any more from some request on (uapi/linux/fuse.h). It has one file,
//! and takes others that are made and removed.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
};

use tempfile::TempDir;

use crate::{
    Outcome, Skip,
    role::{Actor, as_role, say},
};

/// Where it is mounted, as the role is told by the environment.
const DIRECTORY: &str = "OBSERVER_TEST_DIRECTORY";

/// The device whose requests the file system answers.
pub const DEVICE: &str = "/dev/fuse";

/// Its only file.
pub const FILE: &str = "silent";

/// Requests (`enum fuse_opcode`).
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const UNLINK: u32 = 10;
const OPEN: u32 = 14;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const CREATE: u32 = 35;
const INTERRUPT: u32 = 36;
const POLL: u32 = 40;
const BATCH_FORGET: u32 = 42;

/// The version of the protocol that is spoken, in which `fuse_init_out` has 64 bytes.
const MAJOR: u32 = 7;
const MINOR: u32 = 31;

/// Nodes: the root's number is the kernel's, those of the file and of one that is made our own.
const ROOT: u64 = 1;
const NODE: u64 = 2;
const NEW_NODE: u64 = 3;

/// `fuse_in_header`: length, request, its number, node, and who asks.
const HEADER: usize = 40;

/// The kernel wants to be able to hand over this much at least, and what a write may have.
const MOST: usize = 1 << 16;
const MOST_WRITTEN: u32 = 1 << 12;

/// What is not answered.
pub struct Trap {
    request: u32,
    /// How many are answered before.
    answered: u32,
    /// Whether who waits is let go when a signal ends it, as by a disk that is mounted over a network. Else only the end of
    /// the file system ends it.
    lets_go: bool,
    /// Requests that were not answered and may be let go, by their numbers.
    kept: Vec<u64>,
}

impl Trap {
    /// Whether the file can be read, from the second question on.
    pub fn readiness() -> Self {
        Self { request: POLL, answered: 1, lets_go: false, kept: Vec::new() }
    }

    /// What is in the directory.
    pub fn listing() -> Self {
        Self { request: OPENDIR, answered: 0, lets_go: true, kept: Vec::new() }
    }

    /// Whether this request stays without an answer.
    fn keeps(&mut self, opcode: u32, unique: u64) -> bool {
        if opcode != self.request {
            return false;
        }
        let keeps = self.answered == 0;
        self.answered = self.answered.saturating_sub(1);
        if keeps && self.lets_go {
            self.kept.push(unique);
        }
        keeps
    }
}

/// Why no such file system can be mounted.
pub fn missing() -> Option<String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let known = known.lines().any(|line| line.split_whitespace().last() == Some("fuse"));
    (!known || File::open(DEVICE).is_err()).then(|| "this machine has no FUSE".to_owned())
}

/// Starts a role that mounts it: the directory, who serves it, and the path that leads there from outside, because it is
/// mounted where only its own process sees it.
pub fn start(role: &str) -> anyhow::Result<(TempDir, Actor, String)> {
    let directory = tempfile::tempdir()?;
    let mut command = as_role(role)?;
    command.env(DIRECTORY, directory.path());
    let mut files = Actor::spawn(command)?;
    if files.line()?.trim() != "mounted" {
        return Err(Skip("no FUSE file system can be mounted here".to_owned()).into());
    }
    let path = format!("/proc/{}/root{}", files.pid(), directory.path().display());
    Ok((directory, files, path))
}

/// The role: mounts it where nobody else sees it, says so, and serves it until its standard input ends. Says
/// so too when it leaves somebody without an answer.
pub fn play(mut trap: Trap) -> Outcome {
    let directory = env::var(DIRECTORY)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let device = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("observer-test"), directory.as_str(), Some("fuse"), flags, Some(options.as_str()))?;
    say("mounted")?;
    let stdin = std::io::stdin();
    loop {
        let readable = PollFlags::POLLIN;
        let mut wanted =
            [PollFd::new(device.as_fd(), readable), PollFd::new(stdin.as_fd(), readable)];
        poll(&mut wanted, PollTimeout::NONE)?;
        if wanted[1].any().unwrap_or(true) {
            return Ok(());
        }
        serve(&device, &mut trap)?;
    }
}

/// Answers a request, unless it is one that the trap keeps.
fn serve(mut device: &File, trap: &mut Trap) -> Outcome {
    let mut request = vec![0; MOST];
    let length = match device.read(&mut request) {
        Ok(length) => length,
        // The request was interrupted before it was read.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    ensure!(length >= HEADER, "a request of {length} bytes");
    let word = |at: usize| -> anyhow::Result<u32> {
        let bytes = request.get(at..at + 4).context("a short request")?;
        Ok(u32::from_ne_bytes(bytes.try_into()?))
    };
    let long = |at: usize| -> anyhow::Result<u64> {
        let bytes = request.get(at..at + 8).context("a short request")?;
        Ok(u64::from_ne_bytes(bytes.try_into()?))
    };
    let (opcode, unique, node) = (word(4)?, long(8)?, long(16)?);
    if trap.keeps(opcode, unique) {
        return say("unanswered");
    }
    let body = request.get(HEADER..length).context("a short request")?;
    let mut unique = unique;
    let answer = match opcode {
        FORGET | BATCH_FORGET => return Ok(()),
        INTERRUPT => {
            // `fuse_interrupt_in`: the number of the request that nobody waits for any more.
            unique = long(HEADER)?;
            let kept = trap.kept.len();
            trap.kept.retain(|one| *one != unique);
            if trap.kept.len() == kept {
                return Ok(());
            }
            Err(libc::EINTR)
        }
        INIT => Ok(init()),
        LOOKUP if body == [FILE.as_bytes(), &[0]].concat() => Ok(entry(NODE)),
        LOOKUP => Err(libc::ENOENT),
        CREATE => Ok([entry(NEW_NODE), longs(&[NEW_NODE, 0])].concat()),
        GETATTR => Ok([longs(&[u64::from(u32::MAX), 0]), attributes(node)].concat()),
        OPEN => Ok(longs(&[NODE, 0])),
        RELEASE | FLUSH | UNLINK => Ok(Vec::new()),
        POLL => Ok(words(&[u32::try_from(libc::POLLIN)?, 0])),
        _ => Err(libc::ENOSYS),
    };
    let (error, body) = match answer {
        Ok(body) => (0, body),
        Err(error) => (-error, Vec::new()),
    };
    // `fuse_out_header`.
    let length = u32::try_from(16 + body.len())?;
    let header = [length.to_ne_bytes(), error.to_ne_bytes()].concat();
    let answer = [header, longs(&[unique]), body].concat();
    match device.write(&answer) {
        Ok(written) if written == answer.len() => Ok(()),
        // Who asked does not wait any more.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => bail!("an answer to {opcode} was not taken: {other:?}"),
    }
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|one| one.to_ne_bytes()).collect()
}

fn longs(all: &[u64]) -> Vec<u8> {
    all.iter().flat_map(|one| one.to_ne_bytes()).collect()
}

/// `fuse_init_out`: version, read-ahead, flags (none), numbers of requests (the kernel's own), what a write may
/// have, and zeroes.
fn init() -> Vec<u8> {
    let mut answer = words(&[MAJOR, MINOR, 0, 0, 0, MOST_WRITTEN, 1]);
    answer.resize(64, 0);
    answer
}

/// `fuse_entry_out`: node, generation, how long name and attributes are good for, attributes.
fn entry(node: u64) -> Vec<u8> {
    let good_for = u64::from(u32::MAX);
    [longs(&[node, 0, good_for, good_for, 0]), attributes(node)].concat()
}

/// `fuse_attr`: number, size, blocks and times; parts of the times, mode, links, owner, and what is zero.
fn attributes(node: u64) -> Vec<u8> {
    let mode = if node == ROOT { libc::S_IFDIR | 0o755 } else { libc::S_IFREG | 0o444 };
    [longs(&[node, 0, 0, 0, 0, 0]), words(&[0, 0, 0, mode, 1, 0, 0, 0, 0, 0])].concat()
}
