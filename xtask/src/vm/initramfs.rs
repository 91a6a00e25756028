//! The guest's root: static programs and nothing else, in one archive per machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    cpio::Archive,
    job::{self, Job},
    kernel::Kernel,
};
use crate::{arch::Arch, compiler::Compiler, process, workspace::Workspace};

/// The programs of a guest, on the host.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Its init: this very program.
    init: PathBuf,
    observer: PathBuf,
    /// The system tests, or what runs in their place.
    system: PathBuf,
    /// A shell, for a person.
    pub(crate) shell: Option<PathBuf>,
    /// Other files, by where they are in the guest.
    pub(crate) others: BTreeMap<String, PathBuf>,
}

/// What a guest runs, beside its init and observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The system tests.
    Tests,
    /// Init's own program once more, which has roles for it.
    Own,
}

/// Builds the guest's programs, static ones, into a directory of their own.
pub(crate) fn build(workspace: &Workspace, vm: &Path, work: Work, arch: Arch) -> Result<Programs> {
    let compiler = Compiler::obtain(workspace, arch)?;
    eprintln!("vm: building the guest's programs (some minutes the first time)");
    let mut cargo = compiler.cargo(workspace, &[]);
    cargo.args(["build", "--release", "--target", arch.target(), "--package", "observer"]);
    cargo.args(["--package", "xtask", "--bins"]);
    if work == Work::Tests {
        cargo.args(["--test", "system"]);
    }
    // Not the machine's binaries: theirs would be built anew by turns.
    cargo.arg("--target-dir").arg(vm.join("build"));
    // Built often and run once. What validates is a tenth of the optimizer's work, and all else waits for it.
    for setting in [
        "lto=false",
        "codegen-units=16",
        "incremental=true",
        "strip='debuginfo'",
        "package.jsonschema.opt-level=1",
    ] {
        cargo.arg("--config").arg(format!("profile.release.{setting}"));
    }
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let shown = process::line(&cargo);
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{shown}` did not start"))?;
    if !output.status.success() {
        bail!("the guest's programs were not built: Cargo's messages above say why");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = |kind: &str, name: &str| {
        executable(&messages, kind, name)
            .with_context(|| format!("Cargo does not tell where it put the {kind} {name}"))
    };
    Ok(Programs {
        init: program("bin", "xtask")?,
        observer: program("bin", "observer")?,
        system: match work {
            Work::Tests => program("test", "system")?,
            Work::Own => program("bin", "xtask")?,
        },
        shell: None,
        others: BTreeMap::new(),
    })
}

/// Where Cargo put a target, by the messages that it prints.
fn executable(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let target = &message["target"];
        let is_it = target["name"] == name && target["kind"][0] == kind;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    })
}

/// Writes a machine's root.
pub(crate) fn write(path: &Path, kernel: &Kernel, programs: &Programs, job: &Job) -> Result<()> {
    let file =
        fs::File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    let mut fill = || -> Result<()> {
        for directory in ["bin", "dev", "modules", "proc", "run", "sys", "tmp"] {
            archive.directory(directory)?;
        }
        // What init says before it has mounted anything.
        archive.device("dev/console", (5, 1))?;
        let mut job = job.clone();
        for module in &kernel.modules {
            let name = module.file_name().context("a module without a name")?.to_string_lossy();
            let inside = format!("modules/{name}");
            archive.file(&inside, 0o644, &read(module)?)?;
            job.modules.push(inside);
        }
        for module in &kernel.carried {
            let name = module.file_name().context("a module without a name")?.to_string_lossy();
            archive.file(&format!("modules/{name}"), 0o644, &read(module)?)?;
        }
        let others = &programs.others;
        let mut programs = vec![
            ("init", &programs.init),
            ("bin/observer", &programs.observer),
            ("bin/system", &programs.system),
        ]
        .into_iter()
        .chain(programs.shell.iter().map(|shell| ("bin/busybox", shell)));
        programs.try_for_each(|(inside, program)| -> Result<()> {
            Ok(archive.file(inside, 0o755, &read(program)?)?)
        })?;
        let mut made = BTreeSet::new();
        for (inside, file) in others {
            for directory in above(inside) {
                if made.insert(directory.to_owned()) {
                    archive.directory(directory)?;
                }
            }
            archive.file(inside, 0o755, &read(file)?)?;
        }
        archive.file(job::PATH, 0o644, job.to_text().as_bytes())?;
        Ok(())
    };
    fill().with_context(|| format!("{} cannot be written", path.display()))?;
    archive.finish().with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(())
}

/// The directories that lead to a file, but for those that every guest has.
fn above(inside: &str) -> impl Iterator<Item = &str> {
    inside.match_indices('/').map(|(end, _)| &inside[..end]).filter(|path| *path != "bin")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{above, executable};

    #[test]
    fn directories_come_before_what_is_in_them() {
        assert_eq!(
            above("usr/lib/x/libc.so.6").collect::<Vec<_>>(),
            ["usr", "usr/lib", "usr/lib/x"]
        );
        assert_eq!(above("bin/tcptracer").count(), 0);
    }

    #[test]
    fn cargo_tells_where_a_target_is() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"kind":["lib"],"name":"system"},"executable":null}
            {"reason":"compiler-artifact","target":{"kind":["test"],"name":"system"},"executable":"/t/deps/system-1"}
            {"reason":"build-finished","success":true}
        "#;
        assert_eq!(executable(messages, "test", "system"), Some(PathBuf::from("/t/deps/system-1")));
        assert_eq!(executable(messages, "bin", "system"), None);
    }
}
