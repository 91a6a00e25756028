//! What root made in a checkout that is somebody else's, such as by `sudo cargo xtask test`: it is given to who owns the
//! checkout, who could neither build nor clean up otherwise.

use std::{
    env, fs, io,
    os::unix::fs::{MetadataExt as _, lchown},
    path::{Path, PathBuf},
};

use crate::{process::is_root, workspace::Workspace};

/// Gives away what root owns in the target directory and in the homes of Cargo and rustup, where the directory above
/// each is somebody else's. Does nothing where we are not root.
pub(crate) fn give_back(workspace: &Workspace) {
    if !is_root() {
        return;
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    let of_home = |variable: &str, name: &str| {
        env::var_os(variable).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(name)))
    };
    let directories = [
        Some(workspace.target().to_owned()),
        of_home("CARGO_HOME", ".cargo"),
        of_home("RUSTUP_HOME", ".rustup"),
    ];
    for directory in directories.iter().flatten() {
        if let Err(error) = give(directory) {
            eprintln!("xtask: root's files in {} stay root's: {error}", directory.display());
        }
    }
}

fn give(directory: &Path) -> io::Result<()> {
    let above = directory.parent().map(fs::metadata);
    let Some(Ok(above)) = above else { return Ok(()) };
    if above.uid() == ROOT || !directory.is_dir() {
        return Ok(());
    }
    owned(directory, ROOT)?
        .iter()
        .try_for_each(|path| lchown(path, Some(above.uid()), Some(above.gid())))
}

const ROOT: u32 = 0;

/// The paths at and below `path` that a user owns. Links are not followed.
fn owned(path: &Path, user: u32) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        // What goes while we look is nobody's.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
        if metadata.uid() == user {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_user_owns_is_found_and_links_are_not_followed() {
        let root = env::temp_dir().join(format!("observer-ownership-{}", std::process::id()));
        let below = root.join("a/b");
        fs::create_dir_all(&below).expect("a directory");
        fs::write(below.join("file"), "").expect("a file");
        symlink("/", root.join("link")).expect("a link");
        let us = fs::metadata(&root).expect("it was made").uid();
        let mut found = owned(&root, us).expect("it can be read");
        found.sort();
        let names = ["", "a", "a/b", "a/b/file", "link"];
        assert_eq!(
            found,
            names.map(|name| if name.is_empty() { root.clone() } else { root.join(name) })
        );
        assert_eq!(owned(&root, us + 1).expect("it can be read"), [] as [PathBuf; 0]);
        fs::remove_dir_all(&root).expect("it was made");
    }
}
