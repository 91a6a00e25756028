//! What is built from: version, commit and time.

use std::{env, fs, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{process, setup::Ready, workspace::Workspace};

/// The time that stands for all times, by convention of reproducible builds.
pub(super) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Names the commit where there is no git to ask, such as in an unpacked archive.
pub(super) const COMMIT: &str = "OBSERVER_COMMIT";

/// Names the page of the repository that a release is from, if it has one.
const HOMEPAGE: &str = "OBSERVER_HOMEPAGE";

/// Commit and time, where the source is an archive that git made.
const ARCHIVED: &str = "observer/build/archived.txt";

/// What is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) version: String,
    /// The commit's id, with `-dirty` where files differ from it; `unknown` where nobody says.
    pub(super) commit: String,
    /// Seconds since 1970 of the commit, or as the environment says.
    pub(super) time: u64,
    /// What compiles the kernel programs, as it says itself.
    pub(super) kernel_side: String,
    /// The repository's page.
    pub(super) homepage: Option<String>,
}

impl Source {
    /// Asks git, and the environment before it.
    pub(super) fn of(workspace: &Workspace, ready: &Ready) -> Result<Self> {
        // An archive may be unpacked within a repository of something else.
        let top = ask_git(workspace, &["rev-parse", "--show-toplevel"]);
        let root = fs::canonicalize(workspace.root()).context("the workspace has no place")?;
        let is_here = top.is_some_and(|top| fs::canonicalize(top).is_ok_and(|top| top == root));
        let git = |arguments: &[&str]| is_here.then(|| ask_git(workspace, arguments)).flatten();
        let archived = fs::read_to_string(root.join(ARCHIVED)).unwrap_or_default();
        let mut archived =
            archived.lines().filter(|line| !line.starts_with('$')).map(str::to_owned);
        let clean = git(&["status", "--porcelain"]).map(|said| said.is_empty());
        let commit =
            commit(env::var(COMMIT).ok().or(archived.next()), git(&["rev-parse", "HEAD"]), clean);
        let time = env::var(EPOCH).ok().or(archived.next());
        let time = time.or_else(|| git(&["log", "-1", "--format=%ct"]));
        let time = match time {
            Some(time) => {
                time.parse().with_context(|| format!("{EPOCH} is no number of seconds: {time}"))?
            }
            None => bail!("there is no git to ask when this was made: set {EPOCH}, in seconds"),
        };
        let kernel_side = process::ask(ready.command("rustc").arg("--version"));
        let kernel_side = kernel_side.unwrap_or_else(|| UNKNOWN.to_owned());
        let homepage = env::var(HOMEPAGE).ok().filter(|page| !page.is_empty());
        if homepage.as_ref().is_some_and(|page| !page.starts_with("https://")) {
            bail!("{HOMEPAGE} is no page: it has to begin with https://");
        }
        Ok(Self { version: version(workspace)?, commit, time, kernel_side, homepage })
    }

    /// What is wrong with giving it away, in one sentence.
    pub(super) fn complaint(&self) -> Option<String> {
        (self.commit == UNKNOWN || self.commit.ends_with(DIRTY)).then(|| {
            format!("this is no release: the commit is {}, and --version says so", self.commit)
        })
    }
}

fn ask_git(workspace: &Workspace, arguments: &[&str]) -> Option<String> {
    process::ask(Command::new("git").args(arguments).current_dir(workspace.root()))
}

const UNKNOWN: &str = "unknown";
const DIRTY: &str = "-dirty";

fn commit(given: Option<String>, head: Option<String>, clean: Option<bool>) -> String {
    match (given, head, clean) {
        (Some(given), ..) => given,
        (None, Some(head), Some(true)) => head,
        (None, Some(head), _) => head + DIRTY,
        (None, None, _) => UNKNOWN.to_owned(),
    }
}

/// The workspace's version.
fn version(workspace: &Workspace) -> Result<String> {
    let manifest = fs::read_to_string(workspace.root().join("Cargo.toml"))
        .context("the workspace's Cargo.toml cannot be read")?;
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    let version = version.context("the workspace's Cargo.toml names no version")?;
    Ok(version.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_not_known_to_be_clean_is_no_commit() {
        let head = || Some("abc".to_owned());
        assert_eq!(commit(None, head(), Some(true)), "abc");
        assert_eq!(commit(None, head(), Some(false)), "abc-dirty");
        assert_eq!(commit(None, head(), None), "abc-dirty");
        assert_eq!(commit(None, None, None), "unknown");
        assert_eq!(commit(Some("def".to_owned()), head(), Some(false)), "def");
    }

    #[test]
    fn what_is_no_commit_is_complained_of() {
        let source = |commit: &str| Source {
            version: "1.0.0".into(),
            commit: commit.into(),
            time: 1,
            kernel_side: String::new(),
            homepage: None,
        };
        assert_eq!(source("abc").complaint(), None);
        for no_commit in ["unknown", "abc-dirty"] {
            assert!(source(no_commit).complaint().is_some_and(|said| said.contains(no_commit)));
        }
    }
}
