//! What to do about the facts: pure, so that it can be tested by taking one fact away at a time.

use super::{
    facts::{CHOICE, Core, ENVIRONMENTS_PACKAGE, Facts, LINKED, LINT_PACKAGE},
    goal::Goal,
    nginx,
    toolchain::Place,
};

/// Which toolchain compiles the kernel programs. observer's build script follows the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// One that the user names.
    Chosen(String),
    /// Debian's, through rustup, with the linker that set-up built.
    Linked,
    /// The compiler on PATH, without rustup.
    Current,
    /// rustup's nightly with rust-src, with the linker on PATH.
    Nightly,
}

/// One thing that set-up does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Install Debian packages.
    Packages(Vec<&'static str>),
    /// Unpack those packages under the target directory.
    Unpack,
    /// Build bpf-linker into the target directory, against the LLVM that is there.
    Linker(Place),
    /// Make Debian's compiler, which is there, known to rustup.
    Link(Place),
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// All is there.
    Ready(Way),
    /// These steps are missing and can be done.
    Do(Vec<Step>),
    /// The user must act: the reason, and what to type.
    Tell(String, Vec<String>),
}

/// Decides how the kernel programs will be compiled, preferring what is already complete.
pub(crate) fn plan(facts: &Facts) -> Plan {
    let any_linker = facts.own_linker || facts.path_linker.is_some();
    if let Some((name, core)) = &facts.chosen {
        return match (core, any_linker) {
            (Core::Missing, _) => Plan::Tell(
                format!("{CHOICE} names the toolchain {name}, which has no `core` for BPF"),
                vec![format!("unset {CHOICE}"), facts.typed.clone()],
            ),
            (_, false) => Plan::Tell(
                format!("{CHOICE} names the toolchain {name}, but there is no bpf-linker"),
                vec![install_linker(), facts.typed.clone()],
            ),
            (_, true) => Plan::Ready(Way::Chosen(name.clone())),
        };
    }
    // Debian's compiler and nightly may differ in their LLVM, so each goes with the linker that
    // was made for it.
    if facts.linked == Core::Compiled && facts.own_linker {
        return Plan::Ready(Way::Linked);
    }
    if facts.nightly == Core::Source && facts.path_linker.is_some() && facts.mismatch.is_none() {
        return Plan::Ready(Way::Nightly);
    }
    if !facts.rustup && facts.current == Core::Compiled && any_linker {
        return Plan::Ready(Way::Current);
    }
    if facts.debian { debian(facts) } else { elsewhere(facts) }
}

fn debian(facts: &Facts) -> Plan {
    let mut steps = Vec::new();
    let mut place = Place::System;
    if !facts.missing_packages.is_empty() {
        if facts.root && facts.in_the_way.is_empty() {
            steps.push(Step::Packages(facts.missing_packages.clone()));
        } else if facts.rustup {
            place = Place::Tools;
            if !facts.unpacked {
                steps.push(Step::Unpack);
            }
        } else {
            return without_rustup(facts);
        }
    }
    if !facts.own_linker {
        steps.push(Step::Linker(place));
    }
    if facts.rustup && facts.linked != Core::Compiled {
        steps.push(Step::Link(place));
    }
    if steps.is_empty() {
        // Without rustup, and with another compiler before Debian's.
        return Plan::Tell(
            "the rustc on PATH has no `core` for BPF, though Debian's is installed".to_owned(),
            vec![format!("PATH=/usr/bin:$PATH {}", facts.typed)],
        );
    }
    Plan::Do(steps)
}

/// Where Debian's packages cannot be installed by us, and nothing could call what is unpacked.
fn without_rustup(facts: &Facts) -> Plan {
    let reason = if facts.root {
        format!(
            "the kernel programs are compiled by Debian's rustc-web, which cannot be installed beside {}; with rustup \
             it need not be",
            facts.in_the_way.join(" and ")
        )
    } else {
        "the kernel programs are compiled by Debian's packages, which only root installs; with rustup they need not \
         be installed"
            .to_owned()
    };
    let mut commands = install_rustup();
    commands.push(facts.typed.clone());
    if !facts.root && facts.in_the_way.is_empty() {
        commands.push("# or, with root's rights instead of rustup".to_owned());
        commands.push(sudo_install(&facts.missing_packages));
        commands.push(facts.typed.clone());
    }
    Plan::Tell(reason, commands)
}

fn elsewhere(facts: &Facts) -> Plan {
    let reason = match &facts.mismatch {
        None => {
            "compiling the kernel programs needs Rust's nightly with its sources, and bpf-linker"
                .to_owned()
        }
        Some(said) => format!(
            "the bpf-linker on PATH cannot read what rustup's nightly compiles, whose LLVM is newer ({said})"
        ),
    };
    let mut commands = nightly_commands(facts);
    commands.push(facts.typed.clone());
    Plan::Tell(reason, commands)
}

/// What to type where Debian's packages could not be had although they should: by root, and the way without them.
pub(crate) fn by_hand(facts: &Facts) -> Vec<String> {
    let mut commands = Vec::new();
    if !facts.root && facts.in_the_way.is_empty() {
        commands.push(sudo_install(&facts.missing_packages));
        commands.push(facts.typed.clone());
        commands.push("# or, without Debian's packages".to_owned());
    }
    commands.extend(nightly_commands(facts));
    commands.push(facts.typed.clone());
    commands
}

/// What to type for the way that works on any distribution.
fn nightly_commands(facts: &Facts) -> Vec<String> {
    let mut commands = Vec::new();
    if !facts.rustup {
        commands.extend(install_rustup());
    }
    if facts.nightly != Core::Source {
        commands.push("rustup toolchain install nightly --component rust-src".to_owned());
    }
    if facts.path_linker.is_none() {
        commands.push(install_linker());
    } else if facts.mismatch.is_some() {
        commands.push(format!("{} --force", install_linker()));
    }
    commands
}

fn install_rustup() -> Vec<String> {
    let commands = ["curl --proto '=https' -sSf https://sh.rustup.rs | sh", ". ~/.cargo/env"];
    commands.map(str::to_owned).to_vec()
}

fn install_linker() -> String {
    "cargo install cargo-binstall && cargo binstall --no-confirm bpf-linker".to_owned()
}

/// What to type to install packages where we are not root.
pub(crate) fn sudo_install(packages: &[&str]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// What a command is better off with, beside the toolchain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    /// Packages to install.
    pub(crate) install: Vec<&'static str>,
    /// Whether to build an nginx that polls, with the packages installed.
    pub(crate) nginx: bool,
    /// Whether to fetch the parser of trace files, with the packages installed.
    pub(crate) trace_engine: bool,
    /// Whether to install Python packages under target/tools, with the packages installed.
    pub(crate) python: bool,
    /// Packages of servers and tools to unpack.
    pub(crate) servers: Vec<&'static str>,
    /// What stays missing and what follows from it, for the user to read.
    pub(crate) without: Vec<String>,
}

/// Decides what else a command wants; none of it is needed to go on.
pub(crate) fn extras(facts: &Facts, goal: Goal, way: &Way) -> Extras {
    let installable = facts.debian && facts.root;
    let mut extras = Extras::default();
    match goal {
        Goal::Check if *way == Way::Linked && !facts.lints && installable => {
            extras.install.push(LINT_PACKAGE);
        }
        Goal::Test if installable => {
            extras.install.extend(facts.missing_commands.iter().map(|(_, package)| package));
        }
        Goal::Test => {
            extras.without.extend(facts.missing_commands.iter().map(|(command, package)| {
                format!("no {command} (package {package}): the tests that call it are skipped")
            }))
        }
        Goal::Build | Goal::Check => {}
    }
    if goal == Goal::Test && !facts.polling_nginx {
        polling_nginx(facts, &mut extras);
    }
    if goal == Goal::Test && !facts.python_packages {
        python_packages(facts, &mut extras);
    }
    if goal == Goal::Test {
        extras.trace_engine = !facts.trace_engine;
        if facts.debian {
            extras.servers.clone_from(&facts.missing_servers);
        } else if !facts.missing_servers.is_empty() {
            let missing = facts.missing_servers.join(", ");
            extras.without.push(format!(
                "no {missing}: their tests are skipped; they are unpacked on Debian only"
            ));
        }
    }
    // Some packages bring more than one command.
    extras.install.sort_unstable();
    extras.install.dedup();
    extras
}

fn polling_nginx(facts: &Facts, extras: &mut Extras) {
    let missing = &facts.missing_nginx_commands;
    let what = if !facts.debian {
        format!("it is built on Debian only; elsewhere {} names one", nginx::CHOICE)
    } else if missing.is_empty() || facts.root {
        extras.install.extend(missing.iter().map(|(_, package)| package));
        extras.nginx = true;
        return;
    } else {
        let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        format!("building it needs {}: {}", packages.join(" and "), sudo_install(&packages))
    };
    extras.without.push(format!("no nginx with the poll module, so its tests are skipped: {what}"));
}

fn python_packages(facts: &Facts, extras: &mut Extras) {
    if facts.python_environments {
        extras.python = true;
    } else if facts.debian && facts.root {
        extras.install.push(ENVIRONMENTS_PACKAGE);
        extras.python = true;
    } else {
        let cure = if facts.debian {
            sudo_install(&[ENVIRONMENTS_PACKAGE])
        } else {
            "install Python's venv".to_owned()
        };
        extras.without.push(format!(
            "python3 makes no environments, so tests against the schemas of Kubernetes are skipped: {cure}"
        ));
    }
}

/// One line about what was found.
pub(crate) fn describe(way: &Way) -> String {
    match way {
        Way::Chosen(name) => format!("kernel programs are compiled by {name}, as {CHOICE} says"),
        Way::Linked => format!("kernel programs are compiled by Debian's rustc ({LINKED})"),
        Way::Current => "kernel programs are compiled by the rustc on PATH".to_owned(),
        Way::Nightly => "kernel programs are compiled by rustup's nightly".to_owned(),
    }
}

/// Commands as a person is shown them, a line each.
pub(crate) fn indented(commands: &[String]) -> String {
    commands.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
