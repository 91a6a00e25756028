//! What a root is given: rustup, this machine's way to the network, a user, and the tree.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::who::{Who, toolchain};
use crate::process;

/// What rustup runs as.
const PROXIES: [&str; 7] =
    ["cargo", "cargo-clippy", "cargo-fmt", "clippy-driver", "rustc", "rustdoc", "rustfmt"];

/// Files that say how this machine reaches the network.
const NETWORK: [&str; 3] = ["/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"];

/// Gives a root what a newcomer has, with the archive `tree` unpacked in the home directory.
pub(super) fn furnish(root: &Path, who: Who, tree: &Path) -> Result<()> {
    let mut user = Command::new("chroot");
    user.arg(root).args(["useradd", "--create-home", "--shell", "/bin/bash", Who::User.name()]);
    process::quietly(user)?;
    for path in NETWORK {
        copy(Path::new(path), &root.join(&path[1..]))?;
    }
    apt(root)?;
    let home = root.join(who.home());
    rustup(&home)?;
    let checkout = home.join("observer");
    unpack(tree, &checkout)?;
    // What is copied as root is root's, and archives keep the ids of others.
    let mut own = Command::new("chroot");
    let owner = format!("{0}:{0}", who.name());
    own.arg(root).args(["chown", "--recursive", &owner]).arg(Path::new("/").join(who.home()));
    process::quietly(own)
}

/// Unpacks an archive into a directory, which is made where it is not there.
pub(super) fn unpack(archive: &Path, root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("no {}", root.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(root);
    process::quietly(tar)
}

fn rustup(home: &Path) -> Result<()> {
    let program = process::which("rustup").context("rustup is not here")?;
    let (cargo, rustup) = (home.join(".cargo"), home.join(".rustup"));
    let (_, toolchain) = toolchain()?;
    for dir in [cargo.join("bin"), rustup.join("toolchains").join(&toolchain)] {
        fs::create_dir_all(&dir).with_context(|| format!("no {}", dir.display()))?;
    }
    copy(&program, &cargo.join("bin/rustup"))?;
    for name in PROXIES {
        symlink("rustup", cargo.join("bin").join(name)).context("rustup cannot be copied")?;
    }
    let settings = format!(
        "version = \"12\"\ndefault_toolchain = \"{toolchain}\"\nprofile = \"minimal\"\nauto_self_update = \"disable\"\n"
    );
    fs::write(rustup.join("settings.toml"), settings)
        .with_context(|| format!("rustup cannot be told of {toolchain}"))?;
    let own = env::var_os("CARGO_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let Some(config) = own.map(|own| own.join("config.toml")).filter(|file| file.is_file()) else {
        return Ok(());
    };
    copy(&config, &cargo.join("config.toml"))
}

/// apt's settings that say how it reaches the network, and none that call what is not there.
fn apt(root: &Path) -> Result<()> {
    for entry in fs::read_dir("/etc/apt/apt.conf.d").into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains("Acquire::") && !text.contains("Invoke") {
            copy(&entry.path(), &root.join("etc/apt/apt.conf.d").join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    // A link may lead out of the root.
    if to.is_symlink() {
        fs::remove_file(to).with_context(|| format!("{} is in the way", to.display()))?;
    }
    fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
    Ok(())
}
