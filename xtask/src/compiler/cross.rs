//! Debian's compilers for arm64, unpacked: the C compiler, and the two standard libraries.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    arch::Arch,
    archive::Suite,
    directory, process,
    setup::{LINKED, rustup_run},
    workspace::Workspace,
};

/// The C compiler's release: what it makes depends on it, so that it is not any suite's.
const GCC: &str = "gcc-12-aarch64-linux-gnu";
const GCC_SUITE: &str = "bookworm";

/// What a static program is linked with: the C library, with the kernel's headers that its own ask for.
const C_LIBRARY: [&str; 2] = ["libc6-dev", "linux-libc-dev"];

/// Rust's standard library, by the package that has it, and the one of the compiler that must have made it.
const RUST_LIBRARY: &str = "libstd-rust-web-dev";
const RUSTC: &str = "rustc-web";

/// Suites that may have it in the version that is wanted.
const RUST_SUITES: [&str; 4] = ["bookworm-security", "bookworm", "trixie-security", "trixie"];

/// Lists what was unpacked, so that another rustc is noticed.
const MARK: &str = "unpacked";

/// Everything that is needed, on this machine.
#[derive(Debug)]
pub(super) struct Cross {
    root: PathBuf,
    /// The C library's package and version.
    library: String,
}

impl Cross {
    /// Finds it unpacked, or fetches it.
    ///
    /// # Errors
    ///
    /// Says what is missing here, or cannot be fetched.
    pub(super) fn obtain(workspace: &Workspace) -> Result<Self> {
        let version = rustc_version().with_context(|| {
            format!(
                "aarch64 is built with Debian's {RUSTC}, which has a standard library for it, and which is not here \
                 as rustup's toolchain {LINKED}: on Debian 12 and later, as root, run `cargo xtask setup`"
            )
        })?;
        let root = workspace.tools().join("cross-arm64");
        if let Some(cross) = Self::unpacked(&root, &version) {
            return Ok(cross);
        }
        eprintln!(
            "compiler: fetching Debian's compilers for arm64 (100 MB) into {}",
            root.display()
        );
        // It appears under its name when it is whole.
        let partial = workspace.tools().join(".partial-cross-arm64");
        directory::remove(&partial)?;
        let apt = workspace.target().join("vm/apt");
        let library = fetch(&apt, &partial, &version)?;
        fs::write(partial.join(MARK), format!("{version}\n{library}\n"))
            .context("the compilers for arm64 cannot be kept")?;
        directory::remove(&root)?;
        fs::rename(&partial, &root).context("the compilers for arm64 cannot be kept")?;
        // Paths are in it.
        write_driver(&root)?;
        Self::unpacked(&root, &version)
            .with_context(|| format!("the compilers in {} are not whole", root.display()))
    }

    fn unpacked(root: &Path, version: &str) -> Option<Self> {
        let mark = fs::read_to_string(root.join(MARK)).ok()?;
        let mut lines = mark.lines();
        let same = lines.next()? == version;
        let library = lines.next()?.to_owned();
        let cross = Self { root: root.to_owned(), library };
        let works = || process::ask(Command::new(cross.linker()).arg("--version")).is_some();
        (same && works()).then_some(cross)
    }

    /// rustup's name of the compiler.
    pub(super) fn toolchain(&self) -> &'static str {
        LINKED
    }

    /// The compiler.
    pub(super) fn rustc(&self) -> Command {
        rustup_run(LINKED, "rustc")
    }

    /// The C compiler, which links too.
    pub(super) fn linker(&self) -> PathBuf {
        self.root.join("aarch64-linux-gnu-gcc")
    }

    /// What makes libraries of objects.
    pub(super) fn archiver(&self) -> PathBuf {
        self.root.join("aarch64-linux-gnu-ar")
    }

    /// Where rustc finds its standard library.
    pub(super) fn sysroot(&self) -> PathBuf {
        self.root.join("arm64/usr")
    }

    /// The C library's name and version.
    pub(super) fn library(&self) -> &str {
        &self.library
    }
}

/// The version of Debian's rustc, where rustup knows it.
fn rustc_version() -> Option<String> {
    let sysroot = process::ask(rustup_run(LINKED, "rustc").args(["--print", "sysroot"]))?;
    // rustup tells a link by its own path.
    let sysroot = fs::canonicalize(sysroot).ok()?;
    if sysroot != Path::new("/usr") {
        return None;
    }
    let mut query = Command::new("dpkg-query");
    process::ask(query.args(["--show", "--showformat", "${Version}", RUSTC]))
}

/// Unpacks everything; returns the C library's name and version.
fn fetch(apt: &Path, root: &Path, version: &str) -> Result<String> {
    let (gcc, arm64) = (root.join("gcc"), root.join("arm64"));
    for dir in [&gcc, &arm64] {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    }
    Suite::open(apt, GCC_SUITE, Arch::X86_64)?.unpack_with_dependencies(&[GCC], &gcc)?;
    let base = Suite::open(apt, GCC_SUITE, Arch::Aarch64)?;
    base.unpack(&C_LIBRARY.map(str::to_owned), &arm64)?;
    let library = base.version(C_LIBRARY[0])?;
    let wanted = format!("{RUST_LIBRARY}={version}");
    let mut reasons = Vec::new();
    for suite in RUST_SUITES {
        let unpacked = Suite::open(apt, suite, Arch::Aarch64)
            .and_then(|suite| suite.unpack(std::slice::from_ref(&wanted), &arm64));
        match unpacked {
            Ok(()) => return Ok(format!("glibc {library} (Debian)")),
            Err(error) => reasons.push(format!("{error:#}")),
        }
    }
    bail!("{}", reasons.join("; "))
}

/// Writes the commands that call the unpacked compiler with its own libraries, and with the C library beside it.
fn write_driver(root: &Path) -> Result<()> {
    let quoted = |path: &str| format!("'{}'", root.join(path).display());
    let write = |name: &str, rest: &str| -> Result<()> {
        let path = root.join(name);
        let text = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH={} exec {rest} \"$@\"\n",
            quoted("gcc/usr/lib/x86_64-linux-gnu")
        );
        fs::write(&path, text).with_context(|| format!("{} is not written", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    };
    let gcc = quoted("gcc/usr/bin/aarch64-linux-gnu-gcc-12");
    write("aarch64-linux-gnu-gcc", &format!("{gcc} --sysroot={}", quoted("arm64")))?;
    write("aarch64-linux-gnu-ar", &quoted("gcc/usr/bin/aarch64-linux-gnu-ar"))
}
