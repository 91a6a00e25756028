//! A check through the real sudo, of a user who is not root: whose command it is, and whose files.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

use super::{
    one_line,
    terminal::{COMMAND, DRIVER, has_its_terminal},
};
use crate::{
    Need, Outcome, Test,
    observer::{program, provider},
};

/// Who calls sudo: a user that is nobody's, with a group of its own and another.
const UID: u32 = 47_321;
const GID: u32 = 47_322;
const OTHER_GID: u32 = 47_323;
const NAME: &str = "observer-gate";

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("check_command::sudo_runs_it_as_its_caller", Need::Also(lacks_sudo), caller),
        Test::new(
            "check_command::sudo_leaves_it_its_terminal",
            Need::Also(lacks_terminal),
            terminal,
        ),
    ]
}

fn lacks_sudo() -> Option<String> {
    let there = |name: &str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let lacks = ["sudo", "setpriv", "unshare"].into_iter().find(|name| !there(name));
    lacks.map(|name| format!("no {name} (Debian: sudo, util-linux)"))
}

fn lacks_terminal() -> Option<String> {
    lacks_sudo().or_else(super::terminal::lacks)
}

/// Files of a host on which this user may call sudo for observer. They are there for one process alone, in a mount
/// namespace of its own.
struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    fn new() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let home = directory.path().join("home");
        fs::create_dir(&home)?;
        for path in [directory.path(), &home] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        chown(&home, Some(UID), Some(GID))?;
        let add = |file: &str, line: String| -> Outcome {
            let mut text = fs::read_to_string(format!("/etc/{file}"))?;
            text.push_str(&line);
            Ok(fs::write(directory.path().join(file), text)?)
        };
        add("passwd", format!("{NAME}:x:{UID}:{GID}::{}:/bin/sh\n", home.display()))?;
        add("group", format!("{NAME}:x:{GID}:\n{NAME}-too:x:{OTHER_GID}:{NAME}\n"))?;
        add("shadow", format!("{NAME}:*:20000:0:99999:7:::\n"))?;
        let sudoers = directory.path().join("sudoers");
        let rule = format!("Defaults env_reset\n{NAME} ALL=(root) NOPASSWD:SETENV: ALL\n");
        fs::write(&sudoers, rule)?;
        fs::set_permissions(&sudoers, fs::Permissions::from_mode(0o440))?;
        Ok(Self { directory })
    }

    fn home(&self) -> std::path::PathBuf {
        self.directory.path().join("home")
    }

    /// Something that this user does.
    fn command(&self) -> Command {
        let files = ["passwd", "group", "shadow", "sudoers"];
        let mounts = files.map(|file| {
            format!("mount --bind '{}/{file}' /etc/{file} && ", self.directory.path().display())
        });
        let script = format!(
            "{} exec setpriv --reuid {UID} --regid {GID} --init-groups \"$@\"",
            mounts.concat()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).current_dir(self.home());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("HOME", self.home()).env("KEPT", "kept");
        command
    }
}

/// The arguments of a check that passes whatever happens.
fn check(more: &[&str]) -> Vec<String> {
    let mut all = vec![program().display().to_string(), "check".to_owned()];
    all.extend(["--allow-estimates", "--min-accepted", "0"].map(str::to_owned));
    all.extend(
        provider().map(|provider| ["--provider".to_owned(), provider]).into_iter().flatten(),
    );
    all.extend(more.iter().map(|word| (*word).to_owned()));
    all
}

/// What a process says that ignores the two signals which are glibc's own: whatever glibc's `posix_spawn` starts does
/// (`__spawni_child`), and hands that on.
const OF_GLIBC: &str = "SigIgn: 0000000180000000";

fn caller() -> Outcome {
    let host = Host::new()?;
    // Root's, which this user may not write.
    let kept = host.directory.path().join("kept.xml");
    fs::write(&kept, "before")?;
    let script = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME $SHELL $KEPT; pwd; umask; \
                  grep -E 'NoNewPrivs|CapEff|SigBlk|SigIgn' /proc/self/status; echo made > made; cat";
    let files = ["--report", "report.json", "--junit", "../kept.xml"];
    let words = check(&[&files[..], &["--", "/bin/sh", "-c", script]].concat());
    let mut command = host.command();
    command.args(["sudo", "-n", "--preserve-env=KEPT"]).args(words);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut child.stdin.take().context("input")?, b"input\n")?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {said}", output.status);
    ensure!(said.contains(&format!(" as {NAME} (uid {UID}): ")), "{said}");
    let home = host.home().display().to_string();
    let expected = format!(
        "{UID} {GID} {GID} {OTHER_GID} {home} {NAME} {NAME} /bin/sh kept {home} 0022 SigBlk: 0000000000000000 \
         SigIgn: 0000000000000000 CapEff: 0000000000000000 NoNewPrivs: 0 input"
    );
    let told = one_line(&String::from_utf8_lossy(&output.stdout));
    let told = told.replace(OF_GLIBC, "SigIgn: 0000000000000000");
    ensure!(told == one_line(&expected), "{told}\n{expected}");
    // What is made belongs to who asked for it, and what was root's stays so.
    let owner = |path: &Path| -> anyhow::Result<(u32, u32)> {
        let data = fs::metadata(path)?;
        Ok((data.uid(), data.gid()))
    };
    for name in ["made", "report.json"] {
        ensure!(owner(&host.home().join(name))? == (UID, GID), "{name} is another's");
    }
    ensure!(owner(&kept)? == (0, 0), "root's file is another's");
    ensure!(fs::read_to_string(&kept)?.starts_with("<?xml"), "it was not written");
    // The exit status is the command's through all of them.
    let output = host
        .command()
        .args(["sudo", "-n"])
        .args(check(&["--", "/bin/sh", "-c", "exit 7"]))
        .output()?;
    ensure!(output.status.code() == Some(7), "{output:?}");
    Ok(())
}

fn terminal() -> Outcome {
    let host = Host::new()?;
    let mut command = host.command();
    command.args(["python3", "-c", DRIVER, "/usr/bin/sudo", "-n"]);
    has_its_terminal(&command.args(check(&["--", "/bin/sh", "-c", COMMAND])).output()?)
}
