//! The manifests, against the schemas of Kubernetes' API and of the Prometheus Operator.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::{place, succeeds, text};
use crate::{Need, Outcome, Skip, Test, servers::program::tools};

/// The oldest API that has every field that is used, and the newest whose schema there is.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// What can be applied as a whole.
const KUSTOMIZATIONS: [&str; 3] = ["base", "monitoring", "linux-5.10"];

/// Resources of the Prometheus Operator, read by models made from its own definitions. They leave out what they do not
/// know, so that what comes back must be all that there was.
const MODELS: &str = r#"
import sys, yaml
from cloudcoil.models.prometheus_operator.v1 import PodMonitor
for path in sys.argv[1:]:
    for resource in yaml.safe_load_all(open(path)):
        if resource["kind"] == "PodMonitor":
            back = PodMonitor.model_validate(resource).model_dump(
                by_alias=True, exclude_unset=True, mode="json"
            )
            assert back == resource, f"{path}: {back} of {resource}"
            print("known", path)
"#;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("deploy::manifests_fit_the_api", Need::Nothing, api),
        Test::new("deploy::the_pod_monitor_fits_the_operator", Need::Nothing, operator),
        Test::new("deploy::kustomizations_are_whole", Need::Nothing, whole),
        Test::new("deploy::kustomizations_build", Need::Nothing, build),
    ]
}

/// A program of the environment for Python.
pub(super) fn python(name: &str) -> anyhow::Result<PathBuf> {
    let found = tools("python").map(|tools| tools.join("python/bin").join(name));
    let found = found.filter(|path| path.is_file());
    let lacks = || Skip(format!("no Python packages here: target/tools/python has no {name}"));
    found.ok_or_else(|| lacks().into())
}

/// The manifests of a kustomization, which are not kustomizations or patches themselves.
fn manifests(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let files = files.collect::<anyhow::Result<Vec<_>>>()?;
    let is_manifest = |path: &PathBuf| {
        path.extension().is_some_and(|one| one == "yaml")
            && !path.ends_with("kustomization.yaml")
            && fs::read_to_string(path).is_ok_and(|text| text.contains("\nkind: "))
    };
    Ok(files.into_iter().filter(is_manifest).collect())
}

fn validate(files: &[PathBuf], unknown: &[&str]) -> Outcome {
    for version in VERSIONS {
        let mut command = Command::new(python("kubernetes-validate")?);
        command.args(["--strict", "--kubernetes-version", version]).args(files);
        let said = succeeds(command)?;
        for warning in said.lines().filter(|line| !line.starts_with("INFO")) {
            ensure!(unknown.iter().any(|kind| warning.contains(kind)), "{warning}");
        }
    }
    Ok(())
}

fn api() -> Outcome {
    for name in KUSTOMIZATIONS {
        let files = manifests(&place(&format!("deploy/kubernetes/{name}"))?)?;
        if !files.is_empty() {
            validate(&files, &["kind PodMonitor"])?;
        }
    }
    Ok(())
}

fn operator() -> Outcome {
    let mut command = Command::new(python("python")?);
    command.args(["-c", MODELS]);
    command.args(manifests(&place("deploy/kubernetes/monitoring")?)?);
    let said = succeeds(command)?;
    ensure!(said.starts_with("known"), "no PodMonitor: {said}");
    Ok(())
}

/// Each names all files beside it, and only what is there.
fn whole() -> Outcome {
    for name in KUSTOMIZATIONS {
        let directory = place(&format!("deploy/kubernetes/{name}"))?;
        let kustomization = text(&format!("deploy/kubernetes/{name}/kustomization.yaml"))?;
        let words = kustomization.lines().filter(|line| !line.starts_with('#'));
        let words: Vec<_> = words.flat_map(str::split_whitespace).collect();
        for word in words.iter().filter(|word| word.ends_with(".yaml") || word.starts_with("..")) {
            ensure!(directory.join(word).exists(), "{name} names {word}");
        }
        for entry in fs::read_dir(&directory)? {
            let file = entry?.file_name();
            let file = file.to_str().context("no text")?;
            ensure!(file == "kustomization.yaml" || words.contains(&file), "{name} lacks {file}");
        }
    }
    Ok(())
}

fn build() -> Outcome {
    let version = Command::new("kubectl").args(["version", "--client"]).output();
    let says = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if !says.is_ok_and(|says| says.contains("Kustomize Version")) {
        return Err(Skip("no kubectl with a kustomize of 2021 or later here".to_owned()).into());
    }
    let directory = tempfile::tempdir()?;
    for name in KUSTOMIZATIONS {
        let mut command = Command::new("kubectl");
        command.arg("kustomize").arg(place(&format!("deploy/kubernetes/{name}"))?);
        // It talks to no cluster.
        command.env("KUBECONFIG", "/dev/null").current_dir(env::temp_dir());
        let output = command.output()?;
        let (built, said) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
        ensure!(output.status.success() && said.is_empty(), "{name}: {said}");
        let memlock = String::from_utf8_lossy(&built).contains("- SYS_RESOURCE");
        ensure!(memlock == (name == "linux-5.10"), "{name}: SYS_RESOURCE");
        let file = directory.path().join(format!("{name}.yaml"));
        fs::write(&file, built)?;
        if python("kubernetes-validate").is_ok() {
            validate(&[file], &["kind PodMonitor"])?;
        }
    }
    Ok(())
}
