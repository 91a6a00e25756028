//! Compiles the kernel programs into OUT_DIR, through aya-build, and says what the command is made from.

#[path = "build/commit.rs"]
mod commit;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};
use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};
use sha2::{Digest as _, Sha256};

/// Names a toolchain to use instead of any that would be found.
const CHOICE: &str = "OBSERVER_BPF_TOOLCHAIN";

/// Names the commit that is built, where git is not to be asked: `cargo xtask dist` gives it, which builds copies too.
const COMMIT: &str = "OBSERVER_COMMIT";

/// Under this name `cargo xtask setup` makes Debian's compiler known to rustup.
const LINKED: &str = "observer-bpf";

/// The crates that a stable compiler must let use what is unstable, BPF assembly: aya-ebpf, and
/// the kernel programs (their binary is called `observer`).
/// aya-build compiles `core` anew where this is `1` or names the package itself.
const UNSTABLE: &str = "aya_ebpf,observer";

/// Level of compression: zstd's highest that needs no more memory to unpack.
const PACKED: i32 = 19;

/// What aya-build leaves in OUT_DIR.
const OBJECTS: [&str; 2] = ["observer", "noop"];

fn main() {
    if let Err(error) = build() {
        // Cargo ends the build at this line, and says no more than it, as long as we end well.
        println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
    }
}

fn build() -> Result<()> {
    // aya-build watches the kernel programs' own directory.
    for watched in ["build.rs", "build", "../observer-common", "../Cargo.toml"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    // Not PATH: it differs between an editor and a shell, and each would build anew by turns. What
    // is not found fails, and Cargo runs what failed again.
    println!("cargo::rerun-if-env-changed={CHOICE}");
    println!("cargo::rerun-if-env-changed={COMMIT}");
    let (commit, watched) = match env::var(COMMIT) {
        Ok(given) => (given, Vec::new()),
        Err(_) => commit::of("..".as_ref()),
    };
    for watched in watched {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    println!("cargo::rustc-env={COMMIT}={commit}");
    let Some(found) = find()? else {
        bail!("the toolchain for the kernel programs is not here: run `cargo xtask setup`");
    };
    println!("cargo::rerun-if-changed={}", found.linker.display());
    found.prepare();
    let package = Package {
        name: "observer-ebpf",
        root_dir: "../observer-ebpf",
        features: &["bpf"],
        ..Package::default()
    };
    aya_build::build_ebpf([package], Toolchain::Custom(&found.name)).with_context(|| {
        format!(
            "the kernel programs did not compile with {} (if the lines above are not about them, \
             run `cargo xtask setup`)",
            found.name
        )
    })?;
    let out = PathBuf::from(env::var_os("OUT_DIR").context("Cargo sets OUT_DIR")?);
    OBJECTS.iter().try_for_each(|object| {
        let path = out.join(object);
        pack(&path, &strip(&path)?)
    })?;
    println!("cargo::rustc-env=OBSERVER_OBJECT_HASH={}", hash(&out.join(OBJECTS[0]))?);
    Ok(())
}

/// Writes an object once more, compressed, under the name that the program has it by: an eighth of its size.
fn pack(path: &Path, object: &[u8]) -> Result<()> {
    let packed = path.with_extension("zst");
    fs::write(&packed, zstd::bulk::compress(object, PACKED)?)
        .with_context(|| format!("cannot write {}", packed.display()))
}

/// SHA-256 of a file, in hexadecimal digits.
fn hash(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Takes out of an object what neither the loader nor the kernel reads, and returns what is left: the debug information,
/// which is most of it and which the linker has made the BTF from, and the BTF's relocations.
fn strip(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut elf = Builder::read(&*bytes)?;
    for section in &mut elf.sections {
        let name = section.name.as_slice();
        let unread: [&[u8]; 3] = [b".debug_", b".rel.debug_", b".rel.BTF"];
        section.delete = unread.iter().any(|beginning| name.starts_with(beginning));
    }
    elf.delete_orphans();
    // LLVM keeps the names of sections and symbols in one table, and the writer wants two.
    if !elf.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        let names = elf.sections.add();
        names.name = ".shstrtab".into();
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    let mut stripped = Vec::new();
    elf.write(&mut stripped)?;
    fs::write(path, &stripped).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(stripped)
}

/// How a toolchain has `core` for BPF.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Core {
    Missing,
    Compiled,
    Source,
}

/// A toolchain and the linker that goes with it.
struct Found {
    name: String,
    core: Core,
    linker: PathBuf,
}

/// The order of `cargo xtask setup`: the user's choice, Debian's, the compiler on PATH where there
/// is no rustup, nightly.
fn find() -> Result<Option<Found>> {
    let own = own_linker();
    let path = on_path("bpf-linker");
    let any = own.clone().or_else(|| path.clone());
    let rustup = on_path("rustup").is_some();
    let found = |name: &str, core, linker: Option<PathBuf>| {
        linker.map(|linker| Found { name: name.to_owned(), core, linker })
    };

    if let Ok(name) = env::var(CHOICE) {
        let core = core_of(rustup_run(&name));
        if core == Core::Missing {
            bail!("{CHOICE} names the toolchain {name}, which has no `core` for BPF");
        }
        return Ok(found(&name, core, if core == Core::Source { path.or(own) } else { any }));
    }
    if !rustup {
        let core = core_of(Command::new("rustc"));
        // aya-build does without rustup then, and the name only shows in messages.
        return Ok(if core == Core::Compiled { found("rustc", core, any) } else { None });
    }
    if own.is_some() && core_of(rustup_run(LINKED)) == Core::Compiled {
        return Ok(found(LINKED, Core::Compiled, own));
    }
    if path.is_some() && core_of(rustup_run("nightly")) == Core::Source {
        return Ok(found("nightly", Core::Source, path));
    }
    Ok(None)
}

impl Found {
    /// Sets what aya-build's Cargo inherits.
    fn prepare(&self) {
        let mut variables = vec![
            // aya-build repeats Cargo's progress as warnings, which would tell of nothing wrong.
            // The compiler's own messages do not go that way and stay.
            ("CARGO_TERM_QUIET", "true".into()),
            // By its path: another one on PATH may be made for another LLVM.
            (linker_variable(), self.linker.clone().into_os_string()),
        ];
        if self.core == Core::Compiled {
            variables.push(("RUSTC_BOOTSTRAP", UNSTABLE.into()));
        }
        for (name, value) in variables {
            // SAFETY: this program has one thread until aya-build starts its own.
            unsafe { env::set_var(name, value) };
        }
    }
}

fn linker_variable() -> &'static str {
    if env::var_os("CARGO_CFG_TARGET_ENDIAN").is_some_and(|endian| endian == "big") {
        "CARGO_TARGET_BPFEB_UNKNOWN_NONE_LINKER"
    } else {
        "CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER"
    }
}

/// The linker that `cargo xtask setup` built: under the target directory, which Cargo tells only
/// as the beginning of OUT_DIR.
fn own_linker() -> Option<PathBuf> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    let beside = Path::new(&env::var_os("CARGO_MANIFEST_DIR")?).join("../target");
    out.ancestors()
        .chain([beside.as_path()])
        .map(|dir| dir.join("tools/bin/bpf-linker"))
        .find(|linker| linker.is_file())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn rustup_run(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    // It would otherwise go and download a toolchain that is not here.
    command.env("RUSTUP_AUTO_INSTALL", "0").args(["run", toolchain, "rustc"]);
    command
}

fn core_of(mut rustc: Command) -> Core {
    let output = rustc.args(["--print", "sysroot"]).stderr(Stdio::null()).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return Core::Missing;
    };
    let rustlib = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("lib/rustlib");
    let bpf = ["bpfel-unknown-none", "bpfeb-unknown-none"].map(|target| rustlib.join(target));
    if bpf.iter().any(|target| target.join("lib").is_dir()) {
        Core::Compiled
    } else if rustlib.join("src/rust/library/core/src/lib.rs").is_file() {
        Core::Source
    } else {
        Core::Missing
    }
}
