//! The two commands of README, as a newcomer types them: in minimal roots of Debian with git, a C compiler and rustup's
//! toolchain and nothing else, by root and by a user without sudo.
//!
//! A root is made anew for each of them, and is gone afterwards. It has this machine's kernel and network; what it fetches
//! comes by this machine's ways.

mod furnish;
mod inside;
mod who;

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use self::{
    furnish::{furnish, unpack},
    inside::Inside,
    who::Who,
};
use crate::{
    arch::Arch,
    archive::sources_of,
    debian_root::{self, Recipe},
    directory,
    process::{self, is_root},
    test::child::{End, Limit, stream},
    workspace::Workspace,
};

/// What a newcomer has beside rustup: git and a C compiler; and apt, which Debian's users have.
const PACKAGES: [&str; 4] = ["ca-certificates", "gcc", "git", "libc6-dev"];

/// What one command may take, before it is ended.
const RUN: Duration = Duration::from_secs(40 * 60);
const TEST: Duration = Duration::from_secs(3 * 60 * 60);
const GRACE: Duration = Duration::from_secs(10);

/// Which part of it all.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// Leave out the virtual machines.
    pub(crate) no_vm: bool,
    /// Only the roots of these names; all where there are none.
    pub(crate) roots: &'a [String],
    /// Only the virtual machines of these kernels; all where there are none.
    pub(crate) kernels: &'a [String],
    /// Arguments of the test harnesses; machines are left out where there are any, and `cargo xtask test` is where the
    /// first is `none`.
    pub(crate) filter: &'a [String],
}

/// The roots' names.
pub(crate) fn names() -> Vec<&'static str> {
    roots().map(|(name, ..)| name).to_vec()
}

/// The roots: name, release, and who is in it.
fn roots() -> [(&'static str, &'static str, Who); 4] {
    [
        ("bookworm-root", "bookworm", Who::Root),
        ("bookworm-user", "bookworm", Who::User),
        ("trixie-root", "trixie", Who::Root),
        ("trixie-user", "trixie", Who::User),
    ]
}

/// Types the commands in every root that is wanted, and says how each ended.
pub(crate) fn bare(workspace: &Workspace, part: &Part<'_>) -> Result<ExitCode> {
    if !is_root() {
        bail!(
            "roots of Debian are made and entered by root: run `cargo xtask test --bare` as root"
        );
    }
    let base = workspace.target().join("bare");
    fs::create_dir_all(base.join("logs")).with_context(|| format!("no {}", base.display()))?;
    let tree = tree(workspace, &base)?;
    let mut verdicts = Vec::new();
    let wanted = |name: &str| part.roots.is_empty() || part.roots.iter().any(|one| one == name);
    for (name, suite, who) in roots().into_iter().filter(|(name, ..)| wanted(name)) {
        let root = base.join(name);
        let done = archive(workspace, &base, suite).and_then(|archive| {
            directory::remove(&root)?;
            unpack(&archive, &root)?;
            furnish(&root, who, &tree)?;
            type_all(&Inside { root: &root, who }, name, &base.join("logs"), part)
        });
        let ended = inside::end_all(&root);
        verdicts.push(done.is_ok() && ended.is_ok());
        for error in [done.err(), ended.err(), directory::remove(&root).err()].iter().flatten() {
            println!("bare: {name}: FAILED: {error:#}");
        }
    }
    fs::remove_file(&tree).context("the copy of the tree cannot be removed")?;
    let passed = verdicts.iter().filter(|good| **good).count();
    println!("{passed} passed, {} failed", verdicts.len() - passed);
    Ok(if passed == verdicts.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The commands, one after the other.
fn type_all(inside: &Inside<'_>, name: &str, logs: &Path, part: &Part<'_>) -> Result<()> {
    let say = |command: &str, begun: Instant, how: &str| {
        println!("bare: {name}: `{command}` {how} after {}", minutes(begun.elapsed()));
    };
    let log = logs.join(format!("{name}.log"));
    File::create(&log).with_context(|| format!("no {}", log.display()))?;
    let failed = |command: &str| format!("`{command}` failed: {} has what it said", log.display());

    let command = "cargo xtask run";
    let begun = Instant::now();
    eprintln!("bare: {name}: {command}");
    let (good, said) = typed(inside.command(command)?, RUN, &log)?;
    match (good, inside.who) {
        (true, Who::Root) => say(command, begun, "ended well"),
        // It cannot load kernel programs, and must say who can, and how.
        (false, Who::User) => {
            let told = told(&said).with_context(|| failed(command))?;
            say(command, begun, "built, and told what root types,");
            let begun = Instant::now();
            let root = Inside { root: inside.root, who: Who::Root };
            if !typed(root.command(&told)?, RUN, &log)?.0 {
                bail!("{}", failed(&told));
            }
            say(&told, begun, "by root ended well");
        }
        _ => bail!("{}", failed(command)),
    }
    for command in tests(part) {
        let begun = Instant::now();
        eprintln!("bare: {name}: {command}");
        let (good, said) = typed(inside.command(&command)?, TEST, &log)?;
        if !good {
            bail!("{}", failed(&command));
        }
        say(&command, begun, "ended well");
        let last = said.lines().rev().find(|line| line.contains(" passed, "));
        println!("bare: {name}: {}", last.context("it said no total")?);
    }
    Ok(())
}

/// The second command, or two in its place where only some machines are wanted; none where it is not wanted.
fn tests(part: &Part<'_>) -> Vec<String> {
    let mut words = vec!["cargo xtask test".to_owned()];
    if part.filter.first().is_some_and(|first| first == NO_TESTS) {
        return Vec::new();
    }
    if part.no_vm || !part.kernels.is_empty() {
        words.push("--no-vm".to_owned());
    }
    let mut filter = String::new();
    if !part.filter.is_empty() {
        filter.push_str(" --");
        part.filter.iter().for_each(|word| filter.push_str(&format!(" {}", process::quoted(word))));
    }
    let mut commands = vec![words.join(" ") + &filter];
    if !part.kernels.is_empty() {
        let kernels = part.kernels.iter().map(|one| format!(" --kernel {}", process::quoted(one)));
        commands.push(format!("cargo xtask vm{}{filter}", kernels.collect::<String>()));
    }
    commands
}

/// In place of a filter: no test at all.
const NO_TESTS: &str = "none";

/// What a user is told that root should type.
fn told(said: &str) -> Option<String> {
    let mut lines = said.lines().skip_while(|line| !line.ends_with("as root, type"));
    lines.next()?;
    Some(lines.next()?.trim().to_owned())
}

/// Runs a command to its end, or to its time's; whether it ended well, and what it said.
fn typed(mut command: Command, limit: Duration, log: &Path) -> Result<(bool, String)> {
    let mut file = File::options().append(true).open(log).context("the log was lost")?;
    let begin = file.metadata().context("the log was lost")?.len();
    command.stderr(file.try_clone().context("the log was lost")?);
    let mut written = Ok(());
    let end = stream(command, Limit { run: limit, grace: GRACE }, |line| {
        if written.is_ok() {
            written = writeln!(file, "{line}");
        }
    })?;
    written.context("the log cannot be written")?;
    let good = match end {
        End::Status(status) => status.success(),
        End::TimedOut => bail!("it was ended after {}: {}", minutes(limit), log.display()),
    };
    let all = fs::read(log).context("the log cannot be read")?;
    let begin = usize::try_from(begin).unwrap_or(usize::MAX).min(all.len());
    Ok((good, String::from_utf8_lossy(&all[begin..]).into_owned()))
}

/// An archive of a suite's root, made once and kept.
fn archive(workspace: &Workspace, base: &Path, suite: &str) -> Result<PathBuf> {
    let kept = base.join(format!("{suite}.tar"));
    if kept.is_file() {
        return Ok(kept);
    }
    let arch = Arch::here().context("observer is built on x86_64 and on aarch64")?;
    eprintln!("bare: making a root of {suite}");
    let sources =
        [sources_of(suite, arch)?, sources_of(&format!("{suite}-security"), arch)?].join("\n");
    let recipe = Recipe { suite, variant: "minbase", packages: &PACKAGES, sources: &sources };
    // It appears under its name when it is whole.
    let partial = base.join(format!(".partial-{suite}.tar"));
    debian_root::make(workspace, &recipe, &partial)?;
    fs::rename(&partial, &kept).context("the root cannot be kept")?;
    Ok(kept)
}

/// An archive of the tracked files as they are now.
fn tree(workspace: &Workspace, base: &Path) -> Result<PathBuf> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        process::ask(git.args(arguments).current_dir(workspace.root()))
    };
    // A commit of what differs from the last one, which changes nothing; nothing where nothing does.
    let changed = git(&["stash", "create"]).context("there is no git to ask for the files")?;
    let commit = if changed.is_empty() { "HEAD" } else { &changed };
    let tree = base.join("tree.tar");
    let output = format!("--output={}", tree.display());
    git(&["archive", &output, commit]).context("git cannot copy the files")?;
    Ok(tree)
}

fn minutes(time: Duration) -> String {
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_second_command_is_what_was_asked_for() {
        let tests = |no_vm, kernels: &str, filter: &str| {
            let (kernels, filter) = (words(kernels), words(filter));
            super::tests(&Part { no_vm, roots: &[], kernels: &kernels, filter: &filter })
        };
        assert_eq!(tests(false, "", ""), ["cargo xtask test"]);
        assert_eq!(tests(true, "", ""), ["cargo xtask test --no-vm"]);
        assert_eq!(tests(false, "", "truth:: *"), ["cargo xtask test -- truth:: '*'"]);
        let some = ["cargo xtask test --no-vm", "cargo xtask vm --kernel 6.1 --kernel 6.12"];
        assert_eq!(tests(false, "6.1 6.12", ""), some);
        let named =
            ["cargo xtask test --no-vm -- truth::", "cargo xtask vm --kernel 6.1 -- truth::"];
        assert_eq!(tests(false, "6.1", "truth::"), named);
        assert!(tests(false, "6.1", "none").is_empty());
    }

    #[test]
    fn what_root_types_is_read_from_what_a_user_is_told() {
        let said = "Compiling\nerror: sudo is not here; as root, type\n    /a/observer demo\n";
        assert_eq!(told(said).as_deref(), Some("/a/observer demo"));
        assert_eq!(told("error: as root, type"), None);
        assert_eq!(told("error: no"), None);
    }
}
