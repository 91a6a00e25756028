//! Which commit is built, and which files tell that another one is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the command is made of, below the workspace's root. Where one of these is not as in the commit, the command is
/// not the commit's; documents and tests make no difference.
pub const MADE_OF: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml",
    "observer-common",
    "observer-ebpf",
    "observer/Cargo.toml",
    "observer/build",
    "observer/build.rs",
    "observer/src",
];

/// Has the commit where the source is an archive that git made.
const ARCHIVED: &str = "observer/build/archived.txt";

/// What is said where nobody knows.
pub const UNKNOWN: &str = "unknown";

/// What a commit's id ends with where files are not as in the commit.
pub const DIRTY: &str = "-dirty";

/// The commit of a checkout, or what stands for it, and the files and directories whose change may change it.
pub fn of(root: &Path) -> (String, Vec<PathBuf>) {
    match head(root) {
        Some((head, differs)) => {
            let mut watched = moves(root);
            if differs {
                // Only another commit changes it, or who undoes all by hand. Each further change would build the
                // library anew where only a face was changed.
                return (head + DIRTY, watched);
            }
            watched.extend(MADE_OF.iter().map(|path| root.join(path)).filter(|path| path.exists()));
            (head, watched)
        }
        None => (archived(root), Vec::new()),
    }
}

/// The commit that is checked out, and whether anything that the command is made of differs from it.
fn head(root: &Path) -> Option<(String, bool)> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    // An archive that was unpacked within another repository is no part of that.
    if fs::canonicalize(top).ok()? != fs::canonicalize(root).ok()? {
        return None;
    }
    let head = git(root, &["rev-parse", "--verify", "HEAD"])?;
    let mut status = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    status.extend(MADE_OF);
    Some((head, !git(root, &status)?.is_empty()))
}

/// The files that change when another commit is checked out or made. One that is not there cannot be watched: Cargo
/// would build anew each time.
fn moves(root: &Path) -> Vec<PathBuf> {
    let inside = |path: &str| Some(root.join(git(root, &["rev-parse", "--git-path", path])?));
    let head = inside("HEAD");
    let log = inside("logs/HEAD").filter(|log| log.exists());
    if log.is_some() {
        return [head, log].into_iter().flatten().collect();
    }
    // Without a log it is the branch's file, or where that appears with the next commit.
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]).and_then(|name| inside(&name));
    let branch =
        branch.and_then(|file| file.ancestors().find(|one| one.exists()).map(Path::to_owned));
    let packed = inside("packed-refs").filter(|packed| packed.exists());
    [head, branch, packed].into_iter().flatten().collect()
}

/// The commit that git wrote into an archive.
fn archived(root: &Path) -> String {
    let text = fs::read_to_string(root.join(ARCHIVED)).unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let is_id = first.len() >= 40 && first.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_id { first } else { UNKNOWN }.to_owned()
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(root).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
}
