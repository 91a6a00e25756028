//! The container image, as an archive of the OCI layout: what `podman load`, `skopeo` and `ctr image import` read.
//!
//! It is what deploy/container/Containerfile describes, which is read for it, so that both give the same image. No
//! engine is needed, and the same files give the same bytes.

mod containerfile;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::containerfile::{PROGRAM, Recipe, VERSION};
use super::{
    files,
    source::Source,
    stage::{self, Stage},
    tarball,
};
use crate::{arch::Arch, workspace::Workspace};

/// Where the recipe is.
const RECIPE: &str = "deploy/container/Containerfile";

/// The image's file name.
pub(super) fn name(version: &str, arch: Arch) -> String {
    format!("observer-{version}-{arch}-image.oci.tar")
}

/// Writes it into `out`.
pub(super) fn write(
    workspace: &Workspace,
    stage: &Stage,
    source: &Source,
    out: &Path,
) -> Result<()> {
    let recipe = files::read(&workspace.root().join(RECIPE))?;
    let recipe = Recipe::read(&String::from_utf8_lossy(&recipe), &[(VERSION, &stage.version)])?;
    let program = stage.files.iter().find(|file| file.program).context("there is no program")?;
    let (from, place) = &recipe.copy;
    // The recipe's argument, which stands for the program.
    ensure!(from == PROGRAM, "{RECIPE} copies {from}, and not {PROGRAM}");
    let inside = place.trim_start_matches('/').to_owned();
    let layer = tarball::archive([(inside, true, &*program.bytes)].into_iter(), source.time)?;
    let image = image(&recipe, stage.arch, source, &layer)?;
    let image = image.iter().map(|(path, bytes)| (path.clone(), false, &**bytes));
    files::write(
        &out.join(name(&stage.version, stage.arch)),
        &tarball::archive(image, source.time)?,
    )
}

type Files = Vec<(String, Vec<u8>)>;

/// The archive's files: layer, configuration, manifest, index.
fn image(recipe: &Recipe, arch: Arch, source: &Source, layer: &[u8]) -> Result<Files> {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(source.time);
    let time = humantime::format_rfc3339_seconds(time).to_string();
    let mut labels = recipe.labels.clone();
    labels.insert("org.opencontainers.image.revision".to_owned(), source.commit.clone());
    if let Some(homepage) = &source.homepage {
        labels.insert("org.opencontainers.image.source".to_owned(), homepage.clone());
    }
    let config = json!({
        "created": time,
        // Go's names, which are Debian's.
        "architecture": arch.debian(),
        "os": "linux",
        "config": {
            "User": recipe.user,
            "ExposedPorts": {format!("{}/tcp", recipe.port): {}},
            "Entrypoint": recipe.entrypoint,
            "Cmd": recipe.command,
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created": time, "created_by": "cargo xtask dist"}],
    });
    let mut files = Files::new();
    let mut blob = |kind: &str, bytes: Vec<u8>| -> Value {
        let digest = digest(&bytes);
        let told = json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": bytes.len(),
        });
        files.push((format!("blobs/{}", digest.replace(':', "/")), bytes));
        told
    };
    let layer = blob("layer.v1.tar+gzip", stage::gzip(layer)?);
    let config = blob("config.v1+json", serde_json::to_vec(&config)?);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest = blob("manifest.v1+json", serde_json::to_vec(&manifest)?);
    manifest["annotations"] =
        json!({"org.opencontainers.image.ref.name": format!("observer:{}", source.version)});
    manifest["platform"] = json!({"architecture": arch.debian(), "os": "linux"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    files.push(("index.json".to_owned(), serde_json::to_vec(&index)?));
    files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    files.sort();
    Ok(files)
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_by_its_digest() {
        let recipe = Recipe::read(
            "FROM scratch\nARG OBSERVER=observer\nCOPY ${OBSERVER} /observer\nUSER 0:0\nEXPOSE 1\nLABEL a=\"b\"\n\
             ENTRYPOINT [\"/observer\"]\nCMD [\"export\"]\n",
            &[],
        )
        .expect("a recipe");
        let source = Source {
            version: "1.0.0".into(),
            commit: "abc".into(),
            time: 1_767_323_045,
            kernel_side: String::new(),
            homepage: None,
        };
        let files = image(&recipe, Arch::Aarch64, &source, b"layer").expect("room");
        let file =
            |path: &str| -> &[u8] { &files.iter().find(|(name, _)| name == path).expect(path).1 };
        let json = |path: &str| -> Value { serde_json::from_slice(file(path)).expect("JSON") };
        let blob = |told: &Value| {
            let digest = told["digest"].as_str().expect("a digest");
            let path = format!("blobs/{}", digest.replace(':', "/"));
            let bytes = file(&path);
            assert_eq!(super::digest(bytes), digest);
            assert_eq!(told["size"], bytes.len());
            path
        };
        let manifest = json(&blob(&json("index.json")["manifests"][0]));
        assert_eq!(file(&blob(&manifest["layers"][0])), stage::gzip(b"layer").expect("room"));
        let config = json(&blob(&manifest["config"]));
        assert_eq!(config["architecture"], "arm64");
        assert_eq!(config["created"], "2026-01-02T03:04:05Z");
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(b"layer"));
        assert_eq!(config["config"]["Cmd"], json!(["export"]));
        assert_eq!(config["config"]["ExposedPorts"], json!({"1/tcp": {}}));
        assert_eq!(config["config"]["Labels"]["a"], "b");
    }
}
