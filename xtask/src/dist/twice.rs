//! A second build, from a copy in another directory: what differs.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{
    args::DistArgs,
    files::{listed, read},
    make::make,
    source::Source,
};
use crate::{directory, process, workspace::Workspace};

/// Where the copy is, below the target directory: of another length than the first one, which shows paths that only
/// moved something else. There the build script finds the tools of this checkout.
const COPY: &str = "dist/a-second-build-of-the-same-commit";

/// Builds once more and says of each file whether it is the same; `false` where one is not.
pub(super) fn compare(
    workspace: &Workspace,
    args: &DistArgs,
    source: &Source,
    first: &Path,
) -> Result<bool> {
    if source.complaint().is_some() {
        bail!("a second build needs a commit and no modified files: commit them first");
    }
    let copy = workspace.target().join(COPY);
    directory::remove(&copy)?;
    fs::create_dir_all(&copy).with_context(|| format!("{} cannot be made", copy.display()))?;
    let archive = copy.with_extension("tar");
    let mut git = Command::new("git");
    git.arg("archive").arg("--output").arg(&archive).arg(&source.commit);
    git.current_dir(workspace.root());
    process::quietly(git)?;
    let mut unpack = Command::new("tar");
    unpack.arg("-xf").arg(&archive).arg("-C").arg(&copy);
    process::quietly(unpack)?;
    fs::remove_file(&archive).context("the copy's archive cannot be removed")?;
    let other = workspace.elsewhere(&copy);
    let second = copy.join("target/dist/out");
    eprintln!("dist: building once more, in {}", copy.display());
    make(&other, args, source, &second)?;
    let (one, two) = (contents(first)?, contents(&second)?);
    let differences = differences(&one, &two);
    for (name, _) in &one {
        let same = !differences.contains(name);
        println!("dist: {name}: {}", if same { "the same twice" } else { "NOT THE SAME" });
    }
    if differences.is_empty() {
        fs::remove_dir_all(&copy).context("the second build cannot be removed")?;
    }
    Ok(differences.is_empty())
}

type Files = Vec<(String, Vec<u8>)>;

fn contents(dir: &Path) -> Result<Files> {
    listed(dir)?.into_iter().map(|(name, _)| Ok((name.clone(), read(&dir.join(&name))?))).collect()
}

/// Names of files that only one has, or that are not the same in both.
fn differences(one: &Files, two: &Files) -> Vec<String> {
    let lacks = |all: &Files, file: &(String, Vec<u8>)| !all.contains(file);
    let mut names: Vec<_> = one.iter().filter(|file| lacks(two, file)).collect();
    names.extend(two.iter().filter(|file| lacks(one, file)));
    let mut names: Vec<_> = names.into_iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn another_byte_and_another_file_are_differences() {
        let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
        let one = vec![file("a", b"1"), file("b", b"2")];
        assert!(differences(&one, &one).is_empty());
        assert_eq!(differences(&one, &vec![file("a", b"1"), file("b", b"3")]), ["b"]);
        assert_eq!(differences(&one, &vec![file("a", b"1"), file("c", b"2")]), ["b", "c"]);
    }
}
