//! The steps of set-up, done.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{
    facts::{Facts, LINKED},
    indented,
    plan::{Step, nightly_commands},
    services::Services,
};
use crate::{process, workspace::Workspace};

/// bpf-linker's version, and the LLVM that it shares with Debian's rustc.
const LINKER_VERSION: &str = "0.13.0";
const LLVM_FEATURE: &str = "llvm-22";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// Does one step.
pub(crate) fn perform(
    workspace: &Workspace,
    facts: &Facts,
    step: &Step,
    apt: &mut Apt,
) -> Result<()> {
    match step {
        Step::Packages(packages) => apt.install(packages).with_context(|| {
            format!(
                "Debian's BPF toolchain could not be installed; the other way is\n{}\nfor",
                indented(&nightly_commands(facts))
            )
        }),
        Step::Linker => build_linker(workspace),
        Step::Link => link(),
    }
}

fn build_linker(workspace: &Workspace) -> Result<()> {
    let root = workspace.tools();
    eprintln!("setup: building bpf-linker {LINKER_VERSION} into {} (a minute)", root.display());
    let mut cargo = workspace.cargo();
    cargo.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", LLVM_FEATURE, "--root"]).arg(&root);
    // Its own target directory is a temporary one: nobody builds it twice.
    cargo.env("LLVM_PREFIX", LLVM_PREFIX).env_remove("CARGO_TARGET_DIR");
    process::quietly(cargo)
}

/// Makes Debian's compiler known to rustup, which is how aya-build calls compilers. The link is
/// to /usr and thus outlives `cargo clean`; `rustup toolchain uninstall` takes only it away.
fn link() -> Result<()> {
    eprintln!("setup: linking Debian's rustc as rustup's toolchain {LINKED}");
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "link", LINKED, "/usr"]);
    process::quietly(rustup)
}

/// apt-get, whose lists are brought up to date once at most.
#[derive(Debug, Default)]
pub(crate) struct Apt {
    updated: bool,
}

impl Apt {
    /// Installs packages: without questions, without starting services, and without removing
    /// anything that is here.
    pub(crate) fn install(&mut self, packages: &[&str]) -> Result<()> {
        eprintln!("setup: apt-get installs {}", packages.join(" "));
        if !self.updated {
            // One source out of several may fail; whether it matters shows in the installation.
            if let Err(error) = process::quietly(apt_get(&["update"])) {
                eprintln!("setup: {error:#}");
            }
            self.updated = true;
        }
        let mut install = apt_get(&["install", "--yes", "--no-install-recommends", "--no-remove"]);
        install.args(packages);
        let services = Services::hold()?;
        process::quietly(install)?;
        drop(services);
        if packages.contains(&"nginx") {
            // The tests start nginx themselves, so it need not come up with the machine either.
            // Without systemd there is nothing to disable, and nothing to tell.
            let _: Option<String> =
                process::ask(Command::new("systemctl").args(["--quiet", "disable", "nginx"]));
        }
        Ok(())
    }
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["--quiet", "--option", "DPkg::Lock::Timeout=120"]).args(args);
    command
}
