//! The guest's init: prepares the machine, runs what the job says, tells it on the console and
//! powers off.

use std::{
    fs,
    io::{self, Read, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        socket::{AddressFamily, SockFlag, SockType, socket},
        wait::{WaitStatus, waitpid},
    },
    unistd::sync,
};

use super::{
    job::{self, Job},
    protocol::Line,
};

/// What init mounts, and where.
const MOUNTS: [(&str, &str); 8] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    // Where the tests' own counters ask for a tracepoint's number, and classic tools for theirs.
    ("tracefs", "/sys/kernel/tracing"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("tmpfs", "/dev/shm"),
];

/// The console's own name: what is called /dev/console is no terminal of a session.
#[cfg(not(target_arch = "aarch64"))]
const CONSOLE: &str = "/dev/ttyS0";
/// The console's own name: what is called /dev/console is no terminal of a session.
#[cfg(target_arch = "aarch64")]
const CONSOLE: &str = "/dev/ttyAMA0";

/// How long the last lines of the tests may take to come.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs as the guest's first process; does not return there.
///
/// # Errors
///
/// When it is not the first process.
pub(crate) fn run() -> Result<std::process::ExitCode> {
    if std::process::id() != 1 {
        bail!("`guest` is what runs in a virtual machine: use `cargo xtask vm`");
    }
    if let Err(error) = work() {
        say(&Line::Trouble(format!("{error:#}").replace('\n', " ")));
    }
    say(&Line::Bye);
    sync();
    // Whatever it says, returning would be a kernel panic, which the host notices.
    let failed = reboot(RebootMode::RB_POWER_OFF).err();
    bail!("the machine does not power off: {failed:?}")
}

fn work() -> Result<()> {
    let text = fs::read_to_string(format!("/{}", job::PATH)).context("there is no job")?;
    let job = Job::from_text(&text);
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("{place} cannot be made"))?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("{kind} cannot be mounted on {place}"))?;
    }
    loopback_up().context("the loopback interface cannot be set up")?;
    for module in &job.modules {
        load(module).with_context(|| format!("{module} cannot be loaded"))?;
    }
    let version = fs::read_to_string("/proc/version").unwrap_or_default();
    say(&Line::Kernel(version.trim().to_owned()));
    if job.shell {
        return shell();
    }
    if !job.doctor.is_empty() {
        let doctor = Command::new("/bin/observer").arg("doctor").args(&job.doctor).output();
        let doctor = doctor.context("observer does not start")?;
        for line in String::from_utf8_lossy(&doctor.stdout).lines() {
            say(&Line::Doctor(line.to_owned()));
        }
    }
    tests(&job)
}

/// Runs the system tests, and passes on each line that they print.
fn tests(job: &Job) -> Result<()> {
    let mut child = Command::new("/bin/system")
        .args(&job.arguments)
        .env("OBSERVER_PROGRAM", "/bin/observer")
        .env("PATH", "/bin")
        .envs(job.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the tests do not start")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let stderr = child.stderr.take().context("no standard error")?;
    let out = thread::spawn(move || pass_on(stdout, Line::Out, true));
    let err = thread::spawn(move || pass_on(stderr, Line::Err, false));
    let status = wait_for(&child)?;
    // Its standard output nobody inherits.
    out.join().map_err(|_| anyhow::anyhow!("the tests' output was lost"))?;
    // A process that a test left behind may keep its standard error open, so that its end is not
    // waited for without limit. What was written before is passed on within this time.
    let until = Instant::now() + LAST_WORDS;
    while !err.is_finished() && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    say(&Line::Ended(status.code().unwrap_or(-1)));
    Ok(())
}

fn shell() -> Result<()> {
    let busybox = || Command::new("/bin/busybox");
    let mut install = busybox();
    install.args(["--install", "-s", "/bin"]);
    wait_for(&install.spawn().context("there is no shell in this guest")?)?;
    println!("observer is /bin/observer, its tests are /bin/system; `exit` powers off.");
    // A session with the console as its terminal, so that Ctrl-C works.
    let console = fs::OpenOptions::new().read(true).write(true).open(CONSOLE)?;
    let mut command = busybox();
    command.args(["setsid", "-c", "sh", "-i"]).env("PATH", "/bin").env("PS1", "guest # ");
    command.env("OBSERVER_PROGRAM", "/bin/observer").env("HOME", "/tmp").current_dir("/tmp");
    command.stdin(console.try_clone()?).stdout(console.try_clone()?).stderr(console);
    wait_for(&command.spawn().context("the shell does not start")?)?;
    Ok(())
}

/// Waits for a child, and for all others that end before it: what tests leave behind falls to the
/// first process, and a zombie is still found under /proc.
fn wait_for(child: &Child) -> Result<ExitStatus> {
    loop {
        match waitpid(None, None).context("nothing to wait for")? {
            WaitStatus::Exited(pid, code) if is(child, pid) => {
                return Ok(ExitStatus::from_raw(code << 8));
            }
            WaitStatus::Signaled(pid, signal, _) if is(child, pid) => {
                return Ok(ExitStatus::from_raw(signal as i32));
            }
            _ => {}
        }
    }
}

fn is(child: &Child, pid: nix::unistd::Pid) -> bool {
    u32::try_from(pid.as_raw()).is_ok_and(|pid| pid == child.id())
}

/// Says each line that comes, and that a test begins as soon as its name is there.
fn pass_on(mut from: impl Read, line: impl Fn(String) -> Line, tests: bool) {
    let mut pending = Vec::new();
    let mut told = false;
    let mut buffer = [0; 4096];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        for byte in &buffer[..size] {
            if *byte == b'\n' {
                say(&line(String::from_utf8_lossy(&pending).into_owned()));
                pending.clear();
                told = false;
            } else {
                pending.push(*byte);
            }
        }
        if tests
            && !told
            && let Some(name) = begins(&pending)
        {
            say(&Line::Begins(name));
            told = true;
        }
    }
    if !pending.is_empty() {
        say(&line(String::from_utf8_lossy(&pending).into_owned()));
    }
}

/// The test's name in `test NAME ... `, which the harness prints before it runs it.
fn begins(pending: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(pending).ok()?;
    let name = text.strip_prefix("test ")?.strip_suffix(" ... ")?;
    Some(name.trim().to_owned())
}

/// One write for each line, so that two writers do not mix theirs.
fn say(line: &Line) {
    let mut stdout = io::stdout().lock();
    // Without a console there is nobody to tell.
    let _: io::Result<()> =
        stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush());
}

/// Loads a module file; the kernel unpacks it by itself.
fn load(file: &str) -> Result<()> {
    /// `MODULE_INIT_COMPRESSED_FILE` of include/uapi/linux/module.h, which nix does not name.
    const COMPRESSED: ModuleInitFlags = ModuleInitFlags::from_bits_retain(4);
    let flags = if file.ends_with(".ko") { ModuleInitFlags::empty() } else { COMPRESSED };
    let module = fs::File::open(format!("/{file}"))?;
    Ok(finit_module(&module, c"", flags)?)
}

/// What `ip link set lo up` does.
fn loopback_up() -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all zeroes are a value of this plain C struct.
    let mut request: nix::libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = nix::libc::c_char::try_from(from)?;
    }
    request.ifr_ifru.ifru_flags = nix::libc::c_short::try_from(nix::libc::IFF_UP)?;
    // SAFETY: the kernel reads an ifreq for this request, and `request` is one and lives.
    let result = unsafe {
        nix::libc::ioctl(socket.as_fd().as_raw_fd(), nix::libc::SIOCSIFFLAGS, &raw const request)
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::begins;

    #[test]
    fn a_test_is_named_when_it_begins() {
        assert_eq!(begins(b"test truth::epoll ... "), Some("truth::epoll".to_owned()));
        for other in [&b"test truth::ep"[..], b"test truth::epoll ... o", b"running 2 tests"] {
            assert_eq!(begins(other), None);
        }
    }
}
