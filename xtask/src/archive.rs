//! Debian's package archive through a private apt root: no root rights, nothing of the machine's
//! own apt state is touched, and signatures are checked.

mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use self::sources::{Source, for_suite, from_deb822, from_lines};
use crate::{arch::Arch, process};

/// What our apt does otherwise than the machine's: it fetches package lists and nothing else, and
/// runs none of the hooks that the machine has for its own state. The machine's own release is not the one
/// to prefer.
const CONFIG: &str = "\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Default-Release;
Acquire::Languages \"none\";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled \"false\";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled \"false\";
Acquire::IndexTargets::deb::DEP-11-icons-large::DefaultEnabled \"false\";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";
Acquire::IndexTargets::deb::CNF::DefaultEnabled \"false\";
Acquire::Retries \"2\";
APT::Sandbox::User \"\";
";

/// One suite of the archive.
#[derive(Debug)]
pub(crate) struct Suite {
    root: PathBuf,
    name: String,
}

impl Suite {
    /// Makes a private root under `base` and fetches the suite's package list for an architecture.
    pub(crate) fn open(base: &Path, name: &str, arch: Arch) -> Result<Self> {
        must_have_apt()?;
        let sources = sources_of(name, arch)?;
        let root = match arch {
            Arch::X86_64 => base.join(name),
            Arch::Aarch64 => base.join(format!("{name}-{}", arch.debian())),
        };
        make_root(&root, arch)?;
        write(&root, "sources/observer.sources", &sources)?;
        write(&root, "state/status", "")?;
        let suite = Self { root, name: name.to_owned() };
        // Else a list that cannot be fetched is a warning, and the suite looks empty.
        suite.update(true)?;
        Ok(suite)
    }

    /// Makes a private root under `base` for this machine's own release: with all of its sources, and with the list of
    /// what is installed here, so that only what is missing here is fetched.
    pub(crate) fn of_this_machine(base: &Path) -> Result<Self> {
        must_have_apt()?;
        let arch = Arch::here().context("its packages are for x86_64 and for aarch64")?;
        let root = base.join("this-machine");
        make_root(&root, arch)?;
        for path in source_files() {
            // What we may not read, apt may not either.
            if let (Some(name), Ok(text)) = (path.file_name(), fs::read_to_string(&path)) {
                fs::write(root.join("sources").join(name), text)
                    .context("apt's sources cannot be copied")?;
            }
        }
        let status = fs::read_to_string("/var/lib/dpkg/status")
            .context("dpkg's list of what is installed cannot be read")?;
        write(&root, "state/status", &status)?;
        let suite = Self { root, name: "this machine's sources".to_owned() };
        // A source of somebody else's may fail; whether it matters shows in the download.
        suite.update(false)?;
        Ok(suite)
    }

    fn update(&self, strict: bool) -> Result<()> {
        let mut update = self.apt("apt-get");
        update.arg("--quiet");
        if strict {
            update.args(["--option", "APT::Update::Error-Mode=any"]);
        }
        update.arg("update");
        let (status, output) = process::capture(update)?;
        if !status.success() {
            bail!("apt-get cannot fetch the package list of {}: {}", self.name, said(&output));
        }
        Ok(())
    }

    /// The names of its packages that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut command = self.apt("apt-cache");
        command.args(["pkgnames", prefix]);
        let (status, output) = process::capture(command)?;
        if !status.success() {
            bail!("apt-cache does not tell the packages of {}: {output}", self.name);
        }
        Ok(output.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// The version of a package that would be fetched.
    pub(crate) fn version(&self, package: &str) -> Result<String> {
        let mut command = self.apt("apt-cache");
        command.args(["--no-all-versions", "show", package]);
        let (_, output) = process::capture(command)?;
        let version = output.lines().find_map(|line| line.strip_prefix("Version: "));
        let version = version.with_context(|| format!("{} has no {package}", self.name))?;
        Ok(version.trim().to_owned())
    }

    /// Fetches packages, each a name or `NAME=VERSION`, and unpacks them, all into `into`.
    pub(crate) fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let debs = self.root.join("debs");
        // A file of an earlier run may be half a file.
        if debs.exists() {
            fs::remove_dir_all(&debs).context("an earlier download cannot be removed")?;
        }
        fs::create_dir_all(&debs).context("no directory for downloads")?;
        let mut download = self.apt("apt-get");
        download.args(["--quiet", "download"]).args(packages).current_dir(&debs);
        self.fetch(download, &packages.join(" "))?;
        extract(&debs, into)?;
        fs::remove_dir_all(&debs).context("the downloads cannot be removed")
    }

    /// Fetches packages with all that they depend on, and unpacks them into `into`.
    ///
    /// A suite's list of installed packages is empty, so that the C library is among them; this machine's is not.
    pub(crate) fn unpack_with_dependencies(&self, packages: &[&str], into: &Path) -> Result<()> {
        let mut install = self.apt("apt-get");
        install.args(["--quiet", "--yes", "--download-only", "--no-install-recommends", "install"]);
        install.args(packages);
        self.fetch(install, &packages.join(" "))?;
        let debs = self.root.join("cache/archives");
        extract(&debs, into)?;
        fs::remove_dir_all(&debs).context("the downloads cannot be removed")
    }

    /// Runs a command that fetches these packages.
    fn fetch(&self, command: Command, packages: &str) -> Result<()> {
        let (status, output) = process::capture(command)?;
        if !status.success() {
            bail!("apt-get cannot fetch {packages} from {}: {}", self.name, said(&output));
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.root.join("apt.conf")).env("LC_ALL", "C");
        command
    }
}

fn must_have_apt() -> Result<()> {
    match ["apt-get", "dpkg-deb"].iter().find(|one| process::which(one).is_none()) {
        None => Ok(()),
        Some(program) => bail!("it comes from Debian's archive, and there is no {program} here"),
    }
}

/// Directories and settings of a private root, without its sources and its list of installed packages.
fn make_root(root: &Path, arch: Arch) -> Result<()> {
    for dir in ["parts", "sources", "state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(root.join(dir))
            .with_context(|| format!("{} cannot be made", root.join(dir).display()))?;
    }
    copy_config(root)?;
    write(root, "parts/zz-observer", CONFIG)?;
    let quoted = |dir: &str| format!("\"{}\"", root.join(dir).display());
    let settings = format!(
        "Dir::Etc::parts {};\nDir::Etc::sourcelist \"/dev/null\";\n\
         Dir::Etc::sourceparts {};\nDir::State {};\nDir::State::status {};\n\
         Dir::Cache {};\nAPT::Architecture \"{arch}\";\n\
         APT::Architectures {{ \"{arch}\"; }};\n",
        quoted("parts"),
        quoted("sources"),
        quoted("state"),
        quoted("state/status"),
        quoted("cache"),
        arch = arch.debian(),
    );
    write(root, "apt.conf", &settings)
}

fn write(root: &Path, file: &str, text: &str) -> Result<()> {
    fs::write(root.join(file), text)
        .with_context(|| format!("{} cannot be written", root.join(file).display()))
}

/// apt's own reason.
fn said(output: &str) -> &str {
    output.lines().find(|line| line.starts_with("E:")).unwrap_or("it says no reason")
}

/// Sources of one suite for an architecture, in the deb822 format.
pub(crate) fn sources_of(suite: &str, arch: Arch) -> Result<String> {
    for_suite(&machine_sources(), suite, arch.debian()).with_context(|| {
        format!("no apt source of this machine leads to Debian's archive, which has {suite}")
    })
}

/// Unpacks every package in `debs` into `into`.
fn extract(debs: &Path, into: &Path) -> Result<()> {
    for entry in fs::read_dir(debs).context("the downloads cannot be read")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("--extract").arg(path).arg(into);
            process::quietly(unpack)?;
        }
    }
    Ok(())
}

/// The machine's own configuration, which may say how its network is reached.
fn copy_config(root: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir("/etc/apt/apt.conf.d") else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        // What only root may read, only root's apt uses.
        if let Ok(text) = fs::read(entry.path()) {
            fs::write(root.join("parts").join(entry.file_name()), text)
                .context("apt's configuration cannot be copied")?;
        }
    }
    Ok(())
}

fn machine_sources() -> Vec<Source> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map_or("", |name| name.trim_matches('"'));
    let mut sources = Vec::new();
    for path in source_files() {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(from_lines(&read(&path), codename)),
            Some("sources") => sources.extend(from_deb822(&read(&path), codename)),
            _ => {}
        }
    }
    sources
}

/// The files that say where the machine's packages come from, in apt's order.
fn source_files() -> Vec<PathBuf> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files: Vec<_> = parts.map(|entry| entry.path()).collect();
    files.sort();
    files.insert(0, "/etc/apt/sources.list".into());
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
