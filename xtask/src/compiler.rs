//! What compiles observer as one static file, for this machine's architecture or for the other one.
//!
//! For its own the machine's compilers do. For another one a standard library is needed that the very same rustc
//! made, a C compiler (of zstd) and a static C library. Debian has all of them: the library beside the rustc-web that
//! compiles the kernel programs already, and the others as its cross compiler. They are unpacked under target/tools,
//! not installed: a foreign architecture would be added to the machine's packages otherwise.

mod cross;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use self::cross::Cross;
use crate::{arch::Arch, process, workspace::Workspace};

/// A compiler of static programs.
#[derive(Debug)]
pub(crate) struct Compiler {
    arch: Arch,
    cross: Option<Cross>,
}

impl Compiler {
    /// The one for an architecture, which may have to be fetched.
    ///
    /// # Errors
    ///
    /// Says what is missing.
    pub(crate) fn obtain(workspace: &Workspace, arch: Arch) -> Result<Self> {
        let cross = match (Arch::here(), arch) {
            (Some(here), there) if here == there => None,
            (Some(Arch::X86_64), Arch::Aarch64) => Some(Cross::obtain(workspace)?),
            _ => bail!("observer is built for {arch} on {arch}, or for aarch64 on x86_64"),
        };
        Ok(Self { arch, cross })
    }

    /// Cargo, set up for it. `flags` are more flags for what is compiled for the target.
    pub(crate) fn cargo(&self, workspace: &Workspace, flags: &[String]) -> Command {
        let mut rustflags = vec!["-Ctarget-feature=+crt-static".to_owned()];
        let mut cargo = match &self.cross {
            None => workspace.cargo(),
            Some(cross) => {
                let mut cargo = workspace.command("rustup");
                cargo.env("RUSTUP_AUTO_INSTALL", "0").args(["run", cross.toolchain(), "cargo"]);
                // Of rustup's own toolchain, which this command was started by.
                for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
                    cargo.env_remove(name);
                }
                cargo.env(self.arch.variable("LINKER"), cross.linker());
                let target = self.arch.target().replace('-', "_");
                cargo.env(format!("CC_{target}"), cross.linker());
                cargo.env(format!("AR_{target}"), cross.archiver());
                rustflags.push(format!("--sysroot={}", cross.sysroot().display()));
                cargo
            }
        };
        rustflags.extend_from_slice(flags);
        // Of this target alone: build scripts and macros, which run here, cannot be static.
        cargo.env(self.arch.variable("RUSTFLAGS"), rustflags.join(" "));
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo
    }

    /// What compiles and what is linked in, one line each, as names and versions.
    pub(crate) fn parts(&self, workspace: &Workspace) -> Vec<(&'static str, String)> {
        let first = |mut command: Command, arguments: &[&str]| {
            let said = process::ask(command.args(arguments)).unwrap_or_default();
            said.lines().next().unwrap_or("unknown").to_owned()
        };
        match &self.cross {
            None => vec![
                ("rustc", first(rustc(workspace), &["--version"])),
                ("cc", first(Command::new("cc"), &["--version"])),
                ("C library", first(Command::new("ldd"), &["--version"])),
            ],
            Some(cross) => vec![
                ("rustc", first(cross.rustc(), &["--version"])),
                ("cc", first(Command::new(cross.linker()), &["--version"])),
                ("C library", cross.library().to_owned()),
            ],
        }
    }

    /// Where its rustc has the source of the standard library, if it has it, and what binaries call that place.
    pub(crate) fn library_source(&self, workspace: &Workspace) -> Option<(PathBuf, OsString)> {
        if self.cross.is_some() {
            return None;
        }
        let sysroot = process::ask(rustc(workspace).args(["--print", "sysroot"]))?;
        let verbose = process::ask(rustc(workspace).arg("-vV"))?;
        let commit = verbose.lines().find_map(|line| line.strip_prefix("commit-hash: "))?;
        let source = Path::new(&sysroot).join("lib/rustlib/src/rust");
        Some((source, format!("/rustc/{commit}").into()))
    }

    /// The file in which its standard library names whose work it is, with the texts of their licences: a page of
    /// rustup's compilers, a text in Debian's package.
    pub(crate) fn library_notices(&self, workspace: &Workspace) -> Result<PathBuf> {
        let root = match &self.cross {
            Some(cross) => cross.sysroot(),
            None => process::ask(rustc(workspace).args(["--print", "sysroot"]))
                .context("rustc does not tell where it is")?
                .into(),
        };
        let names = ["rust/COPYRIGHT-library.html", "libstd-rust-web-dev/copyright"];
        let files = names.map(|name| root.join("share/doc").join(name));
        files.iter().find(|file| file.is_file()).cloned().with_context(|| {
            format!(
                "rustc's library comes without its licences: there is no {}",
                files[0].display()
            )
        })
    }
}

/// The rustc that Cargo uses which runs this command.
fn rustc(workspace: &Workspace) -> Command {
    workspace.command(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}
