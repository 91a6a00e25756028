//! The steps of set-up, done.

use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, bail};

use super::{
    facts::{Facts, LINKED},
    nginx::reason,
    plan::{Step, by_hand, indented},
    services::Services,
    toolchain::{self, Place},
};
use crate::{process, unfetched::is_unfetched, workspace::Workspace};

/// bpf-linker's version, and the LLVM that it shares with Debian's rustc.
const LINKER_VERSION: &str = "0.13.0";
const LLVM_FEATURE: &str = "llvm-22";

/// Does one step.
pub(crate) fn perform(
    workspace: &Workspace,
    facts: &Facts,
    step: &Step,
    apt: &mut Apt,
) -> Result<()> {
    match step {
        Step::Packages(packages) => apt.install(packages).with_context(|| otherwise(facts)),
        Step::Unpack => toolchain::unpack(workspace).with_context(|| otherwise(facts)),
        Step::Linker(place) => build_linker(workspace, *place),
        Step::Link(place) => link(workspace, *place),
    }
}

/// What is said before the reason why Debian's packages could not be had.
fn otherwise(facts: &Facts) -> String {
    format!(
        "Debian's BPF toolchain could not be had; otherwise, type\n{}\nThe reason",
        indented(&by_hand(facts))
    )
}

fn build_linker(workspace: &Workspace, place: Place) -> Result<()> {
    let root = place.linker_root(workspace);
    eprintln!("setup: building bpf-linker {LINKER_VERSION} into {} (a minute)", root.display());
    let mut cargo = workspace.cargo();
    cargo.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", LLVM_FEATURE, "--root"]).arg(&root);
    // Its own target directory is a temporary one: nobody builds it twice.
    cargo.env_remove("CARGO_TARGET_DIR");
    place.build_against(workspace, &mut cargo);
    process::quietly(cargo)?;
    place.keep_linker(workspace)
}

/// Makes Debian's compiler known to rustup, which is how aya-build calls compilers. A link to /usr outlives
/// `cargo clean`; `rustup toolchain uninstall` takes only the link away.
fn link(workspace: &Workspace, place: Place) -> Result<()> {
    eprintln!("setup: linking Debian's rustc as rustup's toolchain {LINKED}");
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "link", LINKED]).arg(place.toolchain(workspace));
    process::quietly(rustup)
}

/// What tests want and set-up could not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The package, or what was to be built.
    pub(crate) package: &'static str,
    /// Why, in one line.
    pub(crate) reason: String,
    /// Whether it could not be fetched, rather than installed.
    pub(crate) unfetched: bool,
}

/// apt-get, whose lists are brought up to date once at most.
#[derive(Debug, Default)]
pub(crate) struct Apt {
    updated: bool,
    /// Whether a list may be missing or old.
    stale: bool,
}

impl Apt {
    /// Installs packages, all or none: without questions, without starting services, and without
    /// removing anything that is here.
    pub(crate) fn install(&mut self, packages: &[&str]) -> Result<()> {
        let (status, output) = self.run(packages)?;
        if !status.success() {
            eprint!("{output}");
            bail!("apt-get cannot install {} ({status})", packages.join(" "));
        }
        Ok(())
    }

    /// Installs packages one by one, so that one that conflicts with what is here does not keep the
    /// others away. Returns those that could not be installed.
    pub(crate) fn install_each(&mut self, packages: &[&'static str]) -> Vec<Missing> {
        let mut missing = Vec::new();
        for package in packages {
            let (reason, unfetched) = match self.run(&[package]) {
                Ok((status, _)) if status.success() => continue,
                Ok((_, output)) => (reason(&output).to_owned(), unfetched(self.stale, &output)),
                Err(error) => (format!("{error:#}"), false),
            };
            missing.push(Missing { package, reason, unfetched });
        }
        missing
    }

    /// Brings the lists up to date, unless that was done, or tried.
    pub(crate) fn update(&mut self) {
        if self.updated {
            return;
        }
        // One source out of several may fail; whether it matters shows in the installation.
        let update = apt_get(&["--option", "APT::Update::Error-Mode=any", "update"]);
        if let Err(error) = process::quietly(update) {
            eprintln!("setup: {error:#}");
            self.stale = true;
        }
        self.updated = true;
    }

    fn run(&mut self, packages: &[&str]) -> Result<(ExitStatus, String)> {
        eprintln!("setup: apt-get installs {}", packages.join(" "));
        self.update();
        let mut install = apt_get(&["install", "--yes", "--no-install-recommends", "--no-remove"]);
        install.args(packages).env("LC_ALL", "C");
        let services = Services::hold()?;
        let (status, output) = process::capture(install)?;
        drop(services);
        if status.success() && packages.contains(&"nginx") {
            // The tests start nginx themselves, so it need not come up with the machine either.
            // Without systemd there is nothing to disable, and nothing to tell.
            let _: Option<String> =
                process::ask(Command::new("systemctl").args(["--quiet", "disable", "nginx"]));
        }
        Ok((status, output))
    }
}

/// Whether an installation failed because something could not be fetched: a package, or the list that
/// has it.
fn unfetched(stale: bool, output: &str) -> bool {
    let unknown = ["Unable to locate package", "has no installation candidate"];
    is_unfetched(output) || stale && unknown.iter().any(|words| output.contains(words))
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["--quiet", "--option", "DPkg::Lock::Timeout=120"]).args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::unfetched;

    #[test]
    fn an_unknown_package_is_unfetched_only_where_lists_are_missing() {
        let unknown = "E: Unable to locate package nginx\n";
        assert!(unfetched(true, unknown));
        assert!(!unfetched(false, unknown));
        let conflict = "E: Packages need to be removed but remove is disabled.\n";
        assert!(!unfetched(true, conflict));
        assert!(unfetched(false, "E: Failed to fetch http://a.example/b.deb\n"));
    }
}
