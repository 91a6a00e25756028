//! Debian's BPF toolchain, unpacked under the target directory where its packages cannot be installed: without root, and
//! where others are in their way.
//!
//! What is unpacked finds its libraries through small commands that are called in its place: those that make the
//! directory that rustup links, and one for bpf-linker, which is built against the unpacked LLVM.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::needed::{TOOLCHAIN_PACKAGES, bpf_target};
use crate::{archive::Suite, directory, workspace::Workspace};

/// What rustup calls by way of our commands.
const PROGRAMS: [&str; 2] = ["cargo", "rustc"];

/// LLVM's place, below the root of the file system or of what was unpacked.
const LLVM: &str = "usr/lib/llvm-22";

/// Where the compiler is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Installed.
    System,
    /// Unpacked under the target directory.
    Tools,
}

impl Place {
    /// The directory that rustup links.
    pub(super) fn toolchain(self, workspace: &Workspace) -> PathBuf {
        match self {
            Self::System => "/usr".into(),
            Self::Tools => kept(workspace).join("toolchain"),
        }
    }

    /// Where Cargo installs bpf-linker.
    pub(super) fn linker_root(self, workspace: &Workspace) -> PathBuf {
        match self {
            Self::System => workspace.tools(),
            Self::Tools => kept(workspace).join("linker"),
        }
    }

    /// Makes Cargo build bpf-linker against this LLVM.
    pub(super) fn build_against(self, workspace: &Workspace, cargo: &mut Command) {
        match self {
            Self::System => {
                cargo.env("LLVM_PREFIX", Path::new("/").join(LLVM));
            }
            Self::Tools => {
                let libraries = libraries(&kept(workspace));
                cargo.env("LLVM_PREFIX", kept(workspace).join(LLVM));
                cargo.env("LD_LIBRARY_PATH", &libraries).env("LIBRARY_PATH", &libraries);
            }
        }
    }

    /// Puts a command that runs bpf-linker with its libraries where it is looked for.
    pub(super) fn keep_linker(self, workspace: &Workspace) -> Result<()> {
        if self == Self::System {
            return Ok(());
        }
        let linker = workspace.linker();
        // Another one may run, which cannot be written to.
        if linker.is_file() {
            fs::remove_file(&linker)
                .with_context(|| format!("{} is in the way", linker.display()))?;
        }
        write_command(&linker, &kept(workspace), "linker/bin/bpf-linker")
    }
}

fn kept(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("debian-rust")
}

/// Where an unpacked system has its libraries.
fn libraries(root: &Path) -> PathBuf {
    root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH))
}

/// Whether it was unpacked.
pub(super) fn is_unpacked(workspace: &Workspace) -> bool {
    kept(workspace).is_dir()
}

/// Fetches the packages with what they need and is not installed here, and unpacks them.
pub(super) fn unpack(workspace: &Workspace) -> Result<()> {
    let kept = kept(workspace);
    eprintln!(
        "setup: fetching Debian's BPF toolchain (300 MB) and unpacking it into {} (1.5 GB)",
        kept.display()
    );
    // It appears under its name when it is whole.
    let partial = kept.with_file_name(".partial-debian-rust");
    directory::remove(&partial)?;
    fs::create_dir_all(&partial)
        .with_context(|| format!("{} cannot be made", partial.display()))?;
    let done = Suite::of_this_machine(&workspace.target().join("apt"))
        .and_then(|suite| suite.unpack_with_dependencies(&TOOLCHAIN_PACKAGES, &partial))
        .and_then(|()| complete(&partial))
        // Paths are in it.
        .and_then(|()| write_commands(&partial, &kept))
        .and_then(|()| fs::rename(&partial, &kept).context("the BPF toolchain cannot be kept"));
    directory::remove(&partial)?;
    done
}

/// Whether all that is called is there: apt does not fetch a package that is installed here.
fn complete(root: &Path) -> Result<()> {
    let core = format!("usr/lib/rustlib/{}/lib", bpf_target());
    let config = format!("{LLVM}/bin/llvm-config");
    for part in ["usr/bin/cargo", "usr/bin/rustc", &core, &config] {
        if !root.join(part).exists() {
            bail!("the packages have no {part}: a part of them seems to be installed already");
        }
    }
    Ok(())
}

/// Writes the commands that rustup runs as this toolchain, for the place where all will be.
fn write_commands(root: &Path, place: &Path) -> Result<()> {
    for program in PROGRAMS {
        let path = root.join("toolchain/bin").join(program);
        write_command(&path, place, &format!("usr/bin/{program}"))?;
    }
    // rustup takes a directory for a toolchain that has a compiler and its libraries.
    std::os::unix::fs::symlink("../usr/lib", root.join("toolchain/lib"))
        .context("the toolchain's libraries cannot be linked")
}

fn write_command(path: &Path, place: &Path, program: &str) -> Result<()> {
    let text = command(place, program)?;
    let write = || -> std::io::Result<()> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    };
    write().with_context(|| format!("{} is not written", path.display()))
}

/// A command that runs an unpacked program with its libraries.
fn command(place: &Path, program: &str) -> Result<String> {
    let place = place.to_str().filter(|place| !place.contains('\''));
    let place = place.context("the path of the target directory cannot be quoted")?;
    let libraries = libraries(Path::new(place));
    Ok(format!(
        "#!/bin/sh\n\
         export LD_LIBRARY_PATH='{}'\"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\n\
         exec '{place}/{program}' \"$@\"\n",
        libraries.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_toolchain_is_not_taken_for_it() {
        let root = std::env::temp_dir().join(format!("observer-toolchain-{}", std::process::id()));
        for dir in ["usr/bin", &format!("usr/lib/rustlib/{}/lib", bpf_target())] {
            fs::create_dir_all(root.join(dir)).expect("a directory");
        }
        for file in ["usr/bin/cargo", "usr/bin/rustc"] {
            fs::write(root.join(file), "").expect("a file");
        }
        let error = complete(&root).expect_err("LLVM is not there").to_string();
        assert!(error.contains("llvm-config"), "{error}");
        fs::create_dir_all(root.join(LLVM).join("bin/llvm-config")).expect("a directory");
        assert!(complete(&root).is_ok());
        fs::remove_dir_all(&root).expect("it was made");
    }

    #[test]
    fn a_command_runs_the_unpacked_program_with_its_libraries() {
        let root = std::env::temp_dir().join(format!("observer command {}", std::process::id()));
        fs::create_dir_all(root.join("usr/bin")).expect("a directory");
        let program = root.join("usr/bin/rustc");
        fs::write(&program, "#!/bin/sh\necho \"$1 $LD_LIBRARY_PATH\"\n").expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let text = command(&root, "usr/bin/rustc").expect("a path that can be quoted");
        let run = |path: Option<&str>| {
            let mut sh = Command::new("sh");
            sh.args(["-c", &text, "sh", "a b"]).env_remove("LD_LIBRARY_PATH");
            sh.envs(path.map(|path| ("LD_LIBRARY_PATH", path)));
            String::from_utf8_lossy(&sh.output().expect("sh runs").stdout).trim().to_owned()
        };
        let own = libraries(&root).display().to_string();
        assert_eq!(run(None), format!("a b {own}"));
        assert_eq!(run(Some("/other")), format!("a b {own}:/other"));
        fs::remove_dir_all(&root).expect("it was made");
    }
}
