//! `--version`: the commit that was built, told from real repositories.

#[path = "../../../build/commit.rs"]
mod commit;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use super::place;
use crate::{Need, Outcome, Skip, Test, observer};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("deploy::version_names_this_commit_and_the_kernel_object", Need::Nothing, this),
        Test::new(
            "deploy::version_is_dirty_where_what_it_is_made_of_differs",
            Need::Nothing,
            dirty,
        ),
        Test::new("deploy::version_another_commit_changes_what_is_watched", Need::Nothing, watched),
        Test::new("deploy::version_a_worktree_has_its_own_commit", Need::Nothing, worktree),
        Test::new("deploy::version_an_archive_names_its_commit", Need::Nothing, archive),
    ]
}

/// A repository with one commit, of one file of each that counts and of one that does not.
struct Repository {
    directory: tempfile::TempDir,
}

impl Repository {
    fn new() -> anyhow::Result<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            return Err(Skip("there is no git".to_owned()).into());
        }
        let new = Self { directory: tempfile::tempdir()? };
        for file in commit::MADE_OF.iter().chain(&["README.md"]) {
            let file = new.path(&if file.contains('.') {
                (*file).to_owned()
            } else {
                format!("{file}/x.rs")
            });
            fs::create_dir_all(file.parent().context("a directory")?)?;
            fs::write(file, "1")?;
        }
        fs::write(new.path("observer/build/archived.txt"), "$Format:%H$\n")?;
        fs::write(new.path(".gitattributes"), "/observer/build/archived.txt export-subst\n")?;
        new.git(&["init", "--quiet"])?;
        new.commit()?;
        Ok(new)
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root().join(file)
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.root()).args(["-c", "user.name=x", "-c", "user.email=x@localhost"]);
        let output = git.args(arguments).output()?;
        ensure!(output.status.success(), "git {arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn commit(&self) -> anyhow::Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", "x"])?;
        self.git(&["rev-parse", "HEAD"])
    }
}

fn this() -> Outcome {
    let output = Command::new(observer::program()).arg("--version").output()?;
    let said = String::from_utf8(output.stdout)?;
    let lines: Vec<_> = said.lines().collect();
    let [version, commit, object] = lines[..] else { anyhow::bail!("{said}") };
    ensure!(version == format!("observer {}", env!("CARGO_PKG_VERSION")), "{said}");
    ensure!(commit == format!("commit: {}", commit::of(&place(".")?).0), "{said}");
    let hash = object.strip_prefix("kernel object: sha256:").context("no hash")?;
    ensure!(hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{said}");
    Ok(())
}

fn dirty() -> Outcome {
    let repository = Repository::new()?;
    let head = repository.git(&["rev-parse", "HEAD"])?;
    let is = |expected: &str, why: &str| -> Outcome {
        let (found, _) = commit::of(repository.root());
        ensure!(found == expected, "{why}: {found}, and not {expected}");
        Ok(())
    };
    is(&head, "clean")?;
    fs::write(repository.path("README.md"), "2")?;
    fs::write(repository.path("observer/other"), "not made of it")?;
    is(&head, "a document differs")?;
    let watches = || commit::of(repository.root()).1.contains(&repository.path("observer/src"));
    ensure!(watches(), "a first change is not seen");
    for file in ["Cargo.lock", "observer/src/x.rs", "observer-ebpf/x.rs", "observer/src/new.rs"] {
        fs::write(repository.path(file), "2")?;
        is(&format!("{head}-dirty"), file)?;
        ensure!(!watches(), "each further change builds all anew");
        repository.git(&["add", "--all"])?;
        is(&format!("{head}-dirty"), "added and not committed")?;
        repository.git(&["reset", "--quiet", "--hard"])?;
    }
    is(&head, "clean again")
}

fn watched() -> Outcome {
    for log in [true, false] {
        let repository = Repository::new()?;
        if !log {
            repository.git(&["config", "core.logAllRefUpdates", "false"])?;
            fs::remove_dir_all(repository.path(".git/logs"))?;
        }
        // As after a clone: the branch's own file is not there.
        repository.git(&["pack-refs", "--all"])?;
        let (_, watched) = commit::of(repository.root());
        ensure!(watched.iter().all(|path| path.exists()), "{watched:?}");
        ensure!(watched.contains(&repository.path("observer/src")), "{watched:?}");
        // A moment at least: times of files are as fine as the file system has them.
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let of_git = watched.iter().filter(|path| path.starts_with(repository.path(".git")));
        let of_git: Vec<_> = of_git.collect();
        for path in &of_git {
            fs::File::open(path)?.set_modified(old)?;
        }
        fs::write(repository.path("README.md"), "2")?;
        repository.commit()?;
        let newer = |path: &&&PathBuf| {
            fs::metadata(path).and_then(|one| one.modified()).is_ok_and(|time| time > old)
        };
        ensure!(of_git.iter().any(|path| newer(&path)), "{of_git:?} tell of no commit");
        // Looking at it is no change.
        for path in &of_git {
            fs::File::open(path)?.set_modified(old)?;
        }
        commit::of(repository.root());
        ensure!(!of_git.iter().any(|path| newer(&path)), "{of_git:?} changed by being looked at");
    }
    Ok(())
}

fn worktree() -> Outcome {
    let repository = Repository::new()?;
    let place = tempfile::tempdir()?;
    let tree = place.path().join("tree");
    let shown = tree.to_str().context("a path")?;
    repository.git(&["worktree", "add", "--quiet", "-b", "other", shown])?;
    fs::write(repository.path("README.md"), "2")?;
    let first = repository.git(&["rev-parse", "HEAD"])?;
    let second = repository.commit()?;
    ensure!(commit::of(repository.root()).0 == second, "the main one");
    let (found, watched) = commit::of(&tree);
    ensure!(found == first, "{found}");
    ensure!(watched.iter().all(|path| path.exists()), "{watched:?}");
    let own = fs::canonicalize(repository.path(".git/worktrees/tree/HEAD"))?;
    ensure!(watched.contains(&own), "{watched:?}");
    Ok(())
}

fn archive() -> Outcome {
    let repository = Repository::new()?;
    let head = repository.git(&["rev-parse", "HEAD"])?;
    // Within a repository of something else.
    let place = repository.path("unpacked");
    fs::create_dir(&place)?;
    let archive = repository.path("archive.tar");
    repository.git(&["archive", "--output", archive.to_str().context("a path")?, "HEAD"])?;
    let tar = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&place).status()?;
    ensure!(tar.success(), "tar: {tar}");
    ensure!(commit::of(&place) == (head, Vec::new()), "{:?}", commit::of(&place));
    // What was copied and not archived does not know it.
    fs::write(place.join("observer/build/archived.txt"), "$Format:%H$\n")?;
    ensure!(commit::of(&place).0 == commit::UNKNOWN, "{:?}", commit::of(&place));
    Ok(())
}
