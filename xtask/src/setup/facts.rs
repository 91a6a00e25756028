//! What this machine has for building the kernel programs and for the tests.

use std::{
    collections::HashSet,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::needed::{TOOLCHAIN_PACKAGES, bpf_target};
use super::{llvm, nginx, python, servers, toolchain, trace_engine};
use crate::{
    process::{self, quoted},
    workspace::Workspace,
};

/// The name under which rustup knows Debian's compiler.
pub(crate) const LINKED: &str = "observer-bpf";

/// Names a toolchain to use instead of any that would be found.
pub(crate) const CHOICE: &str = "OBSERVER_BPF_TOOLCHAIN";

/// Debian's packages beside which those cannot be installed: its older compilers, and its rustup.
pub(crate) const IN_THE_WAY: [&str; 3] = ["cargo", "rustc", "rustup"];

/// Debian's package of the lints for the same compiler.
pub(crate) const LINT_PACKAGE: &str = "rust-web-clippy";

/// Commands that tests call, and the Debian packages that bring them.
pub(crate) const TEST_COMMANDS: [(&str, &str); 15] = [
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    // For its module.
    ("markdown-it", "python3-markdown-it"),
    ("nginx", "nginx"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("ps", "procps"),
    ("python3", "python3"),
    ("ss", "iproute2"),
    ("strace", "strace"),
    ("sudo", "sudo"),
    ("tmux", "tmux"),
    ("unshare", "util-linux"),
];

/// What an nginx that polls is built with, and the Debian packages that bring it.
pub(crate) const NGINX_COMMANDS: [(&str, &str); 2] = [("cc", "gcc"), ("make", "make")];

/// Debian's package without which its Python makes no environments.
pub(crate) const ENVIRONMENTS_PACKAGE: &str = "python3-venv";

/// How a toolchain has `core` for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// Not at all, or there is no such toolchain.
    Missing,
    /// Compiled, as Debian ships it.
    Compiled,
    /// As the source that `-Z build-std` compiles.
    Source,
}

/// The facts that the plan is made of.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// What the user typed, to be typed again.
    pub(crate) typed: String,
    /// Debian itself: its derivatives do not carry these packages.
    pub(crate) debian: bool,
    /// Whether we may install packages.
    pub(crate) root: bool,
    /// Whether rustup is here.
    pub(crate) rustup: bool,
    /// The toolchain that the user names in the environment.
    pub(crate) chosen: Option<(String, Core)>,
    /// rustup's `observer-bpf`.
    pub(crate) linked: Core,
    /// rustup's `nightly`.
    pub(crate) nightly: Core,
    /// The compiler on PATH; it counts only where there is no rustup.
    pub(crate) current: Core,
    /// Whether the bpf-linker under target/tools works.
    pub(crate) own_linker: bool,
    /// The bpf-linker on PATH.
    pub(crate) path_linker: Option<PathBuf>,
    /// What that one says against reading what `nightly` compiles, where both are here.
    pub(crate) mismatch: Option<String>,
    /// Those of [`TOOLCHAIN_PACKAGES`] that are not installed.
    pub(crate) missing_packages: Vec<&'static str>,
    /// Those of [`IN_THE_WAY`] that are installed.
    pub(crate) in_the_way: Vec<&'static str>,
    /// Whether [`TOOLCHAIN_PACKAGES`] are unpacked under target/tools.
    pub(crate) unpacked: bool,
    /// Whether [`LINT_PACKAGE`] is installed.
    pub(crate) lints: bool,
    /// Those of [`TEST_COMMANDS`] that are not here.
    pub(crate) missing_commands: Vec<(&'static str, &'static str)>,
    /// Whether there is an nginx that polls: under target/tools, or one that the user names.
    pub(crate) polling_nginx: bool,
    /// Whether the parser of trace files is here: under target/tools, or one that the user names.
    pub(crate) trace_engine: bool,
    /// Whether the Python packages that tests call are under target/tools.
    pub(crate) python_packages: bool,
    /// Whether Python can make the environment that they are installed into.
    pub(crate) python_environments: bool,
    /// Those packages of [`servers::SERVERS`] that are neither installed nor unpacked.
    pub(crate) missing_servers: Vec<&'static str>,
    /// Those of [`NGINX_COMMANDS`] that are not here.
    pub(crate) missing_nginx_commands: Vec<(&'static str, &'static str)>,
}

impl Facts {
    /// Looks at this machine; changes nothing and touches no network.
    pub(crate) fn gather(workspace: &Workspace) -> Self {
        let debian = fs::read_to_string("/etc/os-release")
            .is_ok_and(|text| text.lines().any(|line| line == "ID=debian"))
            && process::which("apt-get").is_some();
        let rustup = process::which("rustup").is_some();
        let of_rustup =
            |name: &str| if rustup { core_of(rustup_run(name, "rustc")) } else { Core::Missing };
        let installed = if debian { installed_packages() } else { HashSet::new() };
        let nightly = of_rustup("nightly");
        let path_linker = process::which("bpf-linker");
        Self {
            typed: typed(env::args_os()),
            debian,
            root: process::is_root(),
            rustup,
            chosen: env::var(CHOICE).ok().map(|name| {
                let core = of_rustup(&name);
                (name, core)
            }),
            linked: of_rustup(LINKED),
            nightly,
            current: if rustup { Core::Missing } else { core_of(Command::new("rustc")) },
            own_linker: process::ask(Command::new(workspace.linker()).arg("--version")).is_some(),
            mismatch: path_linker
                .as_ref()
                .filter(|_| nightly == Core::Source)
                .and_then(|linker| llvm::mismatch(rustup_run("nightly", "rustc"), linker)),
            path_linker,
            missing_packages: TOOLCHAIN_PACKAGES
                .into_iter()
                .filter(|package| !installed.contains(*package))
                .collect(),
            in_the_way: IN_THE_WAY.into_iter().filter(|one| installed.contains(*one)).collect(),
            unpacked: toolchain::is_unpacked(workspace),
            lints: installed.contains(LINT_PACKAGE),
            missing_commands: missing(&TEST_COMMANDS),
            polling_nginx: env::var_os(nginx::CHOICE).is_some() || nginx::is_built(workspace),
            trace_engine: env::var_os(trace_engine::CHOICE).is_some()
                || trace_engine::is_kept(workspace),
            python_packages: python::is_made(workspace),
            python_environments: python::makes_environments(),
            missing_servers: servers::SERVERS
                .iter()
                .filter(|(program, package)| {
                    !command_exists(program) && !servers::is_kept(workspace, package)
                })
                .map(|(_, package)| *package)
                .collect(),
            missing_nginx_commands: missing(&NGINX_COMMANDS),
        }
    }
}

/// The command line as it was typed.
fn typed(arguments: impl Iterator<Item = OsString>) -> String {
    let words = arguments.skip(1).map(|word| quoted(&word.to_string_lossy()));
    ["cargo", "xtask"].map(str::to_owned).into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// A program of one of rustup's toolchains, which is never downloaded for that.
pub(crate) fn rustup_run(toolchain: &str, program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.env("RUSTUP_AUTO_INSTALL", "0").args(["run", toolchain, program]);
    command
}

fn core_of(mut rustc: Command) -> Core {
    let Some(sysroot) = process::ask(rustc.args(["--print", "sysroot"])) else {
        return Core::Missing;
    };
    let rustlib = Path::new(&sysroot).join("lib/rustlib");
    if rustlib.join(bpf_target()).join("lib").is_dir() {
        Core::Compiled
    } else if rustlib.join("src/rust/library/core/src/lib.rs").is_file() {
        Core::Source
    } else {
        Core::Missing
    }
}

fn installed_packages() -> HashSet<String> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"]);
    query.args(TOOLCHAIN_PACKAGES).args(IN_THE_WAY).arg(LINT_PACKAGE);
    // It fails as soon as one package is unknown, and tells of the others all the same.
    let Ok(output) = query.output() else { return HashSet::new() };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect()
}

fn missing(commands: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    commands.iter().copied().filter(|(command, _)| !command_exists(command)).collect()
}

fn command_exists(command: &str) -> bool {
    // Daemons are not on every user's PATH.
    process::which(command).is_some()
        || ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(command).is_file())
}
