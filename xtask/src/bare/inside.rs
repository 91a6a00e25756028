//! Typing a command in a root, as one of its users.

use std::{
    env, fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::who::{Who, toolchain};

/// A root, and who is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inside<'a> {
    pub(super) root: &'a Path,
    pub(super) who: Who,
}

/// Marks the environment of all that is started in a root, whose path is its value.
const MARK: &str = "OBSERVER_BARE_ROOT";

/// Variables that say how this machine reaches the network.
const NETWORK: [&str; 12] = [
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Makes the root that of the file system, in mounts that end with what was started: $1 is the root, $2 rustup's
/// toolchain and $3 its place, $4 the user, $5 the checkout, $6 the command.
const ENTER: &str = "
set -e
mount --rbind \"$1\" \"$1\"
mount -t proc proc \"$1/proc\"
mount --rbind /sys \"$1/sys\"
mount --rbind /dev \"$1/dev\"
mount -t tmpfs tmpfs \"$1/run\"
mount --bind -o ro \"$2\" \"$1/$3\"
cd \"$1\"
pivot_root . .
umount --lazy .
cd \"/$5\"
exec setpriv --reuid \"$4\" --regid \"$4\" --init-groups sh -c \"$6\"";

impl Inside<'_> {
    /// A command line, typed in the checkout.
    pub(super) fn command(&self, line: &str) -> Result<Command> {
        let home = self.who.home();
        let (toolchain, name) = toolchain()?;
        let place = format!("{home}/.rustup/toolchains/{name}");
        let checkout = format!("{home}/observer");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]);
        command.arg(self.root).arg(toolchain).arg(place);
        command.args([self.who.name(), &checkout, line]);
        let network: Vec<_> =
            NETWORK.iter().filter_map(|name| Some((name, env::var_os(name)?))).collect();
        command.env_clear().envs(network).env(MARK, self.root);
        command.env("HOME", format!("/{home}")).env("USER", self.who.name());
        command.env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
        let path = format!(
            "/{home}/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        );
        command.env("PATH", path);
        Ok(command)
    }
}

/// Ends what is still there of all that was started in a root.
pub(super) fn end_all(root: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = marked(root);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("processes {left:?} do not end");
        }
        for pid in left {
            // One that has ended meanwhile is no error.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The processes that have the mark of a root.
fn marked(root: &Path) -> Vec<i32> {
    let mark = format!("{MARK}={}", root.display());
    let has_mark = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(has_mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_in_a_root_is_ended_and_nothing_else() {
        let name = |name: &str| format!("/observer-mark-{}-{name}", std::process::id());
        let start = |root: &str| {
            let mut sleep = Command::new("sleep");
            sleep.arg("60").env(MARK, root).spawn().expect("sleep is there")
        };
        let (mut ours, mut other) = (start(&name("a")), start(&name("ab")));
        let root = name("a");
        let ended = thread::spawn(move || end_all(Path::new(&root)));
        assert!(!ours.wait().expect("it was started").success());
        assert!(ended.join().expect("no panic").is_ok());
        assert!(other.try_wait().expect("it was started").is_none(), "it still runs");
        other.kill().expect("it runs");
        other.wait().expect("it was started");
    }
}
