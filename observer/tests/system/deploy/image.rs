//! The container image, built without a network.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use nix::sched::CloneFlags;
use serde_json::Value;

use super::{debian, place, succeeds};
use crate::{Need, Outcome, Test};

pub fn tests() -> Vec<Test> {
    vec![Test::new("deploy::the_image_has_the_program_alone", Need::Root, image)]
}

/// buildah, whose storage is below this directory. It runs in a network namespace in which nothing can be reached.
fn buildah(directory: &Path) -> anyhow::Result<Command> {
    use std::os::unix::process::CommandExt as _;
    let mut command = debian("buildah", "buildah")?;
    command.arg("--root").arg(directory.join("storage"));
    command.arg("--runroot").arg(directory.join("run"));
    command.args(["--storage-driver", "vfs"]);
    // What sets networks up has to be found, though nothing runs in the image that could want one: Debian 13 recommends its
    // package only.
    let helper = directory.join("netavark");
    fs::write(&helper, "#!/bin/false\n")?;
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))?;
    let settings = directory.join("containers.conf");
    fs::write(&settings, format!("[engine]\nhelper_binaries_dir = [{directory:?}]\n"))?;
    command.env("CONTAINERS_CONF", settings);
    // SAFETY: one call of the kernel, between fork and exec.
    unsafe { command.pre_exec(|| Ok(nix::sched::unshare(CloneFlags::CLONE_NEWNET)?)) };
    Ok(command)
}

fn image() -> Outcome {
    let directory = tempfile::tempdir()?;
    let context = directory.path().join("context");
    fs::create_dir(&context)?;
    fs::write(context.join("observer-static"), "not the program")?;
    let policy = directory.path().join("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
    let mut build = buildah(directory.path())?;
    build.args(["build", "--isolation", "chroot", "--build-arg", "OBSERVER=observer-static"]);
    build.args(["--tag", "observer", "--signature-policy"]).arg(policy);
    build.arg("--file").arg(place("deploy/container/Containerfile")?).arg(&context);
    succeeds(build)?;

    let mut inspect = buildah(directory.path())?;
    inspect.args(["inspect", "--type", "image", "observer"]);
    let inspected: Value = serde_json::from_str(&succeeds(inspect)?)?;
    let config = &inspected["OCIv1"]["config"];
    ensure!(config["Entrypoint"][0] == "/usr/bin/observer", "{config}");
    ensure!(config["Cmd"][0] == "export", "{config}");

    let mut push = buildah(directory.path())?;
    let archive = directory.path().join("image");
    push.args(["push", "--signature-policy"]).arg(directory.path().join("policy.json"));
    push.arg("observer").arg(format!("dir:{}", archive.display()));
    succeeds(push)?;
    let manifest: Value = serde_json::from_slice(&fs::read(archive.join("manifest.json"))?)?;
    let layers = manifest["layers"].as_array().context("layers")?;
    ensure!(layers.len() == 1, "{manifest}");
    let digest = layers[0]["digest"].as_str().context("digest")?.trim_start_matches("sha256:");
    let mut list = Command::new("tar");
    list.arg("--list").arg("--file").arg(archive.join(digest));
    let files = succeeds(list)?;
    let files: Vec<_> = files.lines().filter(|line| !line.ends_with('/')).collect();
    ensure!(files == ["usr/bin/observer"], "{files:?}");
    Ok(())
}
