//! The RPM, by cargo-generate-rpm, which needs no rpmbuild. Its scripts are in `deploy/package/rpm`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    files,
    source::{EPOCH, Source},
    stage::Stage,
};
use crate::{arch::Arch, directory, process, workspace::Workspace};

/// The tool and its version, of the MIT licence.
const TOOL: &str = "cargo-generate-rpm";
const VERSION: &str = "0.21.1";

/// The number of the package of one version.
const RELEASE: u32 = 1;

/// Scripts: what RPM calls one, and its file.
const SCRIPTS: [(&str, &str); 3] = [
    ("post_install_script", "post"),
    ("pre_uninstall_script", "preun"),
    ("post_uninstall_script", "postun"),
];

/// The package's file name.
pub(super) fn name(version: &str, arch: Arch) -> String {
    format!("observer-{version}-{RELEASE}.{arch}.rpm")
}

/// Writes it into `out`.
pub(super) fn write(
    workspace: &Workspace,
    stage: &Stage,
    source: &Source,
    out: &Path,
) -> Result<()> {
    let root = staged(workspace, stage.arch);
    directory::remove(&root)?;
    for file in &stage.files {
        files::write(&root.join(&file.installed), &file.bytes)?;
    }
    let mut scripts = Vec::new();
    for (kind, name) in SCRIPTS {
        let bytes = files::read(&workspace.root().join("deploy/package/rpm").join(name))?;
        scripts.push((kind, String::from_utf8(bytes).context("a script is no text")?));
    }
    let settings = root.with_extension("toml");
    let text = metadata(stage, source, &root, &scripts)?;
    files::write(&settings, text.as_bytes())?;
    package(workspace, source, stage.arch, &settings, &out.join(name(&stage.version, stage.arch)))
}

/// Makes a package of the same files under another version, and returns its path.
pub(super) fn again(
    workspace: &Workspace,
    arch: Arch,
    source: &Source,
    version: &str,
    out: &Path,
) -> Result<PathBuf> {
    let root = staged(workspace, arch);
    let text = String::from_utf8(files::read(&root.with_extension("toml"))?)?;
    let own = format!("version = {}\n", quoted(&source.version));
    let settings = out.join("observer-rpm.toml");
    let other = text.replacen(&own, &format!("version = {}\n", quoted(version)), 1);
    files::write(&settings, other.as_bytes())?;
    let path = out.join(name(version, arch));
    package(workspace, source, arch, &settings, &path)?;
    Ok(path)
}

/// Where a package's files are put together.
fn staged(workspace: &Workspace, arch: Arch) -> PathBuf {
    workspace.target().join(format!("dist/rpm-{arch}"))
}

/// Has the tool make a package.
fn package(
    workspace: &Workspace,
    source: &Source,
    arch: Arch,
    settings: &Path,
    path: &Path,
) -> Result<()> {
    let tool = tool(workspace)?;
    let mut command = workspace.command(tool);
    command.args(["generate-rpm", "--package", "observer", "--arch", &arch.to_string()]);
    command.args(["--target", arch.target(), "--payload-compress", "gzip"]);
    command.arg("--source-date").arg(source.time.to_string());
    command.arg("--metadata-overwrite").arg(settings);
    command.arg("--output").arg(path);
    command.env(EPOCH, source.time.to_string());
    process::quietly(command).context("the RPM was not made")
}

/// The tool, built under target/tools where it is not there yet.
fn tool(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.tools();
    let tool = root.join("bin").join(TOOL);
    let here = process::ask(Command::new(&tool).args(["generate-rpm", "--version"]));
    if here.is_some_and(|said| said.contains(VERSION)) {
        return Ok(tool);
    }
    eprintln!("dist: building {TOOL} {VERSION} into {} (some minutes)", root.display());
    let mut cargo = workspace.cargo();
    // Without optimisation: it runs for seconds, and takes minutes to build otherwise.
    cargo.args(["install", TOOL, "--version", VERSION, "--locked", "--force", "--debug", "--root"]);
    cargo.arg(&root);
    // Its own target directory is a temporary one: nobody builds it twice.
    cargo.env_remove("CARGO_TARGET_DIR");
    process::quietly(cargo)?;
    Ok(tool)
}

/// What the tool otherwise reads in a package's Cargo.toml.
fn metadata(
    stage: &Stage,
    source: &Source,
    root: &Path,
    scripts: &[(&str, String)],
) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "name = \"observer\"")?;
    writeln!(text, "version = {}", quoted(&stage.version))?;
    writeln!(text, "release = \"{RELEASE}\"")?;
    writeln!(text, "summary = \"Observes the TCP accept path in the kernel\"")?;
    writeln!(text, "license = \"MIT OR Apache-2.0\"")?;
    if let Some(homepage) = &source.homepage {
        writeln!(text, "url = {}", quoted(homepage))?;
    }
    // A static program asks for nothing, and nothing is to be looked for in it.
    writeln!(text, "auto-req = \"no\"")?;
    for (kind, script) in scripts {
        writeln!(text, "{kind} = {}", quoted(script))?;
    }
    writeln!(text, "assets = [")?;
    for file in &stage.files {
        let path = root.join(&file.installed);
        let mode = if file.program { "755" } else { "644" };
        let document = file.installed.starts_with("usr/share/doc/");
        writeln!(
            text,
            "  {{ source = {}, dest = {}, mode = \"{mode}\", doc = {document} }},",
            quoted(&path.display().to_string()),
            quoted(&format!("/{}", file.installed)),
        )?;
    }
    text.push_str("]\n");
    Ok(text)
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other if other.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(other)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::{super::stage::File, *};

    #[test]
    fn scripts_are_quoted_whole() {
        assert_eq!(quoted("a \"b\" \\ c\nd\te"), r#""a \"b\" \\ c\nd\u0009e""#);
    }

    #[test]
    fn every_file_has_its_place_and_mode() {
        let file = |installed: &str, program| File {
            given: String::new(),
            installed: installed.to_owned(),
            program,
            bytes: Vec::new(),
        };
        let files =
            vec![file("usr/bin/observer", true), file("usr/share/doc/observer/BUILDINFO", false)];
        let stage = Stage { arch: Arch::Aarch64, version: "1.2.3".to_owned(), files };
        let scripts = [("post_install_script", "exit 0\n".to_owned())];
        let source = Source {
            version: "1.2.3".into(),
            commit: "abc".into(),
            time: 1,
            kernel_side: String::new(),
            homepage: None,
        };
        let text = metadata(&stage, &source, Path::new("/stage"), &scripts).expect("room");
        assert!(text.contains(
            "{ source = \"/stage/usr/bin/observer\", dest = \"/usr/bin/observer\", mode = \"755\", doc = false }"
        ));
        assert!(text.contains("BUILDINFO\", mode = \"644\", doc = true"));
        assert!(text.contains("post_install_script = \"exit 0\\n\"\n"));
        assert_eq!(name("1.2.3", Arch::Aarch64), "observer-1.2.3-1.aarch64.rpm");
    }
}
