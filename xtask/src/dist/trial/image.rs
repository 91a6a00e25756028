//! The image's root: its one file, and what a container engine mounts.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{demo, given::Given, root::Root};
use crate::{
    dist::{
        files::{self, below},
        image,
    },
    process,
};

/// Unpacks the image as an engine does, and runs the program in its root.
pub(super) fn alone(given: &Given<'_>, scratch: &Path) -> Result<Vec<String>> {
    let archive = given.out.join(image::name(&given.source.version, given.here));
    let layout = scratch.join("layout");
    unpack(&archive, &layout)?;
    let json = |path: &Path| -> Result<Value> {
        serde_json::from_slice(&files::read(path)?)
            .with_context(|| format!("{} is no JSON", path.display()))
    };
    let blob = |told: &Value| -> Result<std::path::PathBuf> {
        let digest = told["digest"].as_str().context("no digest")?;
        Ok(layout.join("blobs").join(digest.replace(':', "/")))
    };
    let manifest = json(&blob(&json(&layout.join("index.json"))?["manifests"][0])?)?;
    let config = json(&blob(&manifest["config"])?)?;
    let path = scratch.join("image");
    let root = Root::of(&path);
    unpack(&blob(&manifest["layers"][0])?, &path)?;
    let has = below(&path)?;
    ensure!(has == [Path::new("usr/bin/observer")], "the image has {has:?}");
    let program = config["config"]["Entrypoint"][0].as_str().context("no entry point")?;
    let said = root.run(&[program, "--version"])?;
    ensure!(said.contains(&given.source.commit), "`observer --version` says {said}");
    let worked = demo::within(&root)?;
    drop(root);
    fs::remove_dir_all(&layout).context("the image's files cannot be removed")?;
    Ok(vec!["its program runs alone".to_owned(), worked])
}

fn unpack(archive: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("no {}", into.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(into);
    process::quietly(tar)
}
