//! What the program is made of: the crates that are linked into it and into the kernel programs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::files;
use crate::{arch::Arch, process, workspace::Workspace};

/// The packages that the contents are reached from: the program, and the kernel programs, which it carries and which
/// only its build script depends on.
const ROOTS: [&str; 2] = ["observer", "observer-ebpf"];

/// A crate in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// As an SPDX expression.
    pub(super) licence: Option<String>,
    /// SHA-256 of the archive that it came in; none of our own.
    pub(super) checksum: Option<String>,
    /// Where its source is.
    pub(super) directory: PathBuf,
    /// The crates of the program that it depends on, by [`Crate::reference`].
    pub(super) needs: BTreeSet<String>,
}

impl Crate {
    /// Name and version, which tell it from all others.
    pub(super) fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Whether it is from this workspace.
    pub(super) fn is_ours(&self) -> bool {
        self.checksum.is_none()
    }
}

/// The crates in the program for an architecture, by name and version.
pub(super) fn of(workspace: &Workspace, arch: Arch) -> Result<Vec<Crate>> {
    let mut cargo = workspace.cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked"]);
    cargo.args(["--filter-platform", arch.target()]);
    let told = process::ask(&mut cargo).context("`cargo metadata --locked` failed")?;
    let lock = workspace.root().join("Cargo.lock");
    let lock = String::from_utf8(files::read(&lock)?).context("Cargo.lock is no text")?;
    let told = serde_json::from_str(&told).context("cargo metadata is not JSON")?;
    linked(&told, &checksums(&lock))
}

/// What is linked: all that is reached without build scripts, tests and macros, which run at build time.
fn linked(metadata: &Value, checksums: &HashMap<String, String>) -> Result<Vec<Crate>> {
    let packages: HashMap<&str, &Value> = by_id(&metadata["packages"]);
    let nodes: HashMap<&str, &Value> = by_id(&metadata["resolve"]["nodes"]);
    let is_root = |package: &&&Value| {
        package["source"].is_null() && ROOTS.iter().any(|root| package["name"] == *root)
    };
    let mut open: Vec<&str> =
        packages.values().filter(is_root).filter_map(|package| package["id"].as_str()).collect();
    if open.len() != ROOTS.len() {
        bail!("cargo metadata does not tell of {}", ROOTS.join(" and "));
    }
    let mut found: BTreeMap<String, Crate> = BTreeMap::new();
    let mut seen: BTreeSet<&str> = open.iter().copied().collect();
    while let Some(id) = open.pop() {
        let package = packages.get(id).with_context(|| format!("no package {id}"))?;
        let mut one = described(package, checksums)?;
        for dependency in
            nodes.get(id).and_then(|node| node["deps"].as_array()).into_iter().flatten()
        {
            let kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
            let Some(id) = dependency["pkg"].as_str() else { continue };
            let Some(package) = packages.get(id) else { continue };
            if !kinds.into_iter().any(|kind| kind["kind"].is_null()) || is_macro(package) {
                continue;
            }
            one.needs.insert(described(package, checksums)?.reference());
            if seen.insert(id) {
                open.push(id);
            }
        }
        found.insert(one.reference(), one);
    }
    Ok(found.into_values().collect())
}

fn by_id(list: &Value) -> HashMap<&str, &Value> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|one| Some((one["id"].as_str()?, one))).collect()
}

fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets.into_iter().any(|target| target["kind"][0] == "proc-macro")
}

fn described(package: &Value, checksums: &HashMap<String, String>) -> Result<Crate> {
    let text = |name: &str| package[name].as_str().map(str::to_owned);
    let manifest = PathBuf::from(text("manifest_path").context("a package without manifest")?);
    let mut one = Crate {
        name: text("name").context("a package without name")?,
        version: text("version").context("a package without version")?,
        // An older way to write OR.
        licence: text("license").map(|licence| licence.replace('/', " OR ")),
        checksum: None,
        directory: manifest.parent().context("a manifest in no directory")?.to_owned(),
        needs: BTreeSet::new(),
    };
    one.checksum = checksums.get(&one.reference()).cloned();
    Ok(one)
}

/// The checksums in Cargo.lock, by [`Crate::reference`].
fn checksums(lock: &str) -> HashMap<String, String> {
    let mut checksums = HashMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        if let (Some(name), Some(version), Some(sum)) =
            (field("name"), field("version"), field("checksum"))
        {
            checksums.insert(format!("{name}@{version}"), sum.to_owned());
        }
    }
    checksums
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// The program needs a, which needs b to build and c to run and a macro; the kernel programs need d.
    pub(in super::super) fn example() -> Vec<Crate> {
        let package = |name: &str, kind: &str| {
            let source =
                if name.starts_with("observer") { json!(null) } else { json!("registry+x") };
            json!({
                "id": name, "name": name, "version": "1.0.0", "source": source, "license": "MIT/Apache-2.0",
                "manifest_path": format!("/nowhere/{name}/Cargo.toml"), "targets": [{"kind": [kind]}],
            })
        };
        let dependency =
            |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                package("observer", "bin"), package("observer-ebpf", "bin"), package("a", "lib"),
                package("b", "lib"), package("c", "lib"), package("d", "lib"), package("m", "proc-macro"),
                package("t", "lib"),
            ],
            "resolve": {"nodes": [
                {"id": "observer", "deps": [
                    dependency("a", json!(null)), dependency("observer-ebpf", json!("build")),
                    dependency("t", json!("dev")),
                ]},
                {"id": "observer-ebpf", "deps": [dependency("d", json!(null))]},
                {"id": "a", "deps": [
                    dependency("b", json!("build")), dependency("c", json!(null)), dependency("m", json!(null)),
                ]},
            ]},
        });
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"5a\"\n\
                    [[package]]\nname = \"observer\"\nversion = \"1.0.0\"\n";
        linked(&metadata, &checksums(lock)).expect("whole metadata")
    }

    #[test]
    fn what_only_builds_or_tests_is_not_in_it() {
        let names: Vec<_> = example().iter().map(Crate::reference).collect();
        assert_eq!(
            names,
            ["a@1.0.0", "c@1.0.0", "d@1.0.0", "observer-ebpf@1.0.0", "observer@1.0.0"]
        );
    }

    #[test]
    fn a_crate_tells_where_it_is_from() {
        let crates = example();
        assert_eq!(crates[0].checksum.as_deref(), Some("5a"));
        assert_eq!(crates[0].licence.as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(crates[0].needs.iter().collect::<Vec<_>>(), ["c@1.0.0"]);
        assert!(crates[4].is_ours());
    }
}
