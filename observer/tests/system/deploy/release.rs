//! The workflow that makes a release, and the forms for issues: against their schemas, and the workflow's scripts as a
//! runner runs them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{kubernetes::python, place, succeeds};
use crate::{Need, Outcome, Test};

const WORKFLOW: &str = ".github/workflows/release.yml";
const FORMS: &str = ".github/ISSUE_TEMPLATE";

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("deploy::workflows_and_forms_fit_their_schemas", Need::Nothing, schemas),
        Test::new("deploy::forms_ask_for_what_is_needed", Need::Nothing, forms),
        Test::new("deploy::a_release_is_signed_and_whole", Need::Nothing, jobs),
        Test::new("deploy::the_releases_scripts_run", Need::Nothing, scripts),
    ]
}

/// A YAML file as JSON.
fn read(file: &Path) -> anyhow::Result<Value> {
    const SCRIPT: &str =
        "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let mut command = Command::new(python("python")?);
    command.args(["-c", SCRIPT]).arg(file);
    Ok(serde_json::from_str(&succeeds(command)?)?)
}

/// The forms, without their configuration.
fn form_files() -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(place(FORMS)?)? {
        files.push(entry?.path());
    }
    files.retain(|file| !file.ends_with("config.yml"));
    ensure!(files.len() >= 4, "{files:?}");
    Ok(files)
}

fn fits(schema: &str, file: &Path) -> Outcome {
    let mut check = Command::new(python("check-jsonschema")?);
    check.args(["--builtin-schema", schema]).arg(file);
    succeeds(check)?;
    Ok(())
}

fn schemas() -> Outcome {
    for workflow in [WORKFLOW, ".github/workflows/ci.yml"] {
        fits("vendor.github-workflows", &place(workflow)?)?;
    }
    fits("vendor.github-issue-config", &place(FORMS)?.join("config.yml"))?;
    for file in form_files()? {
        fits("vendor.github-issue-forms", &file)?;
    }
    // A schema that takes everything would not be one.
    let directory = tempfile::tempdir()?;
    let other = directory.path().join("form.yml");
    fs::write(
        &other,
        "name: x\ndescription: y\nbody: [{type: textbox, attributes: {label: z}}]\n",
    )?;
    ensure!(fits("vendor.github-issue-forms", &other).is_err(), "a form without schema");
    Ok(())
}

/// Each form names its parts once. A bug and a wrong number come with what doctor and `--version` say.
fn forms() -> Outcome {
    for file in form_files()? {
        let form = read(&file)?;
        let body = form["body"].as_array().context("a body")?;
        let mut ids: Vec<_> = body.iter().filter_map(|part| part["id"].as_str()).collect();
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        ensure!(ids.len() == all, "{}: {ids:?}", file.display());
        let wanted: &[&str] = match file.file_stem().and_then(|name| name.to_str()) {
            Some("bug") => &["sudo observer doctor --format json", "observer --version"],
            Some("wrong-number") => &[
                "sudo observer doctor --format json",
                "observer --version",
                "What others say of the same time",
            ],
            Some("server") => &["observer --version"],
            _ => &[],
        };
        for label in wanted {
            let part = body.iter().find(|part| part["attributes"]["label"] == *label);
            let part = part.with_context(|| format!("{} has no {label}", file.display()))?;
            ensure!(part["validations"]["required"] == true, "{part}");
        }
    }
    Ok(())
}

fn steps<'a>(workflow: &'a Value, job: &str) -> anyhow::Result<&'a Vec<Value>> {
    workflow["jobs"][job]["steps"].as_array().with_context(|| format!("no job {job}"))
}

/// What is published was tested and built before, is signed without a secret, and only then public.
fn jobs() -> Outcome {
    let workflow = read(&place(WORKFLOW)?)?;
    // YAML 1.1 takes `on` for a truth.
    ensure!(workflow["true"]["push"]["tags"] == serde_json::json!(["v*"]), "{workflow}");
    ensure!(workflow["permissions"] == serde_json::json!({"contents": "read"}), "{workflow}");
    let publish = &workflow["jobs"]["publish"];
    ensure!(publish["needs"] == serde_json::json!(["test", "build"]), "{publish}");
    let granted =
        serde_json::json!({"contents": "write", "id-token": "write", "attestations": "write"});
    ensure!(publish["permissions"] == granted, "{publish}");
    let publish = steps(&workflow, "publish")?;
    let at = |what: &str| {
        let has = |step: &Value| {
            let place = step["uses"].as_str().or(step["run"].as_str()).unwrap_or_default();
            place.contains(what)
        };
        publish.iter().position(has).with_context(|| format!("nothing publishes with {what}"))
    };
    let order = [
        at("sha256sum --check")?,
        at("actions/attest-build-provenance@")?,
        at("gh release create")?,
    ];
    ensure!(order.is_sorted(), "{order:?}");
    let tests = steps(&workflow, "test")?;
    ensure!(tests.iter().any(|step| step["run"] == ".ci/run"), "{tests:?}");
    for job in ["test", "build", "publish"] {
        ensure!(workflow["jobs"][job]["timeout-minutes"].is_u64(), "{job} may take for ever");
        for step in steps(&workflow, job)? {
            // What comes from outside is no part of a script: it would be run.
            let script = step["run"].as_str().unwrap_or_default();
            ensure!(!script.contains("${{"), "an input within a script: {script}");
            ensure!(!step.to_string().contains("secrets."), "a secret: {step}");
            let uses = step["uses"].as_str().unwrap_or("actions/");
            ensure!(uses.starts_with("actions/"), "an action of others: {uses}");
        }
    }
    Ok(())
}

/// The scripts, with programs in the place of those that only a runner should call.
fn scripts() -> Outcome {
    let workflow = read(&place(WORKFLOW)?)?;
    let directory = tempfile::tempdir()?;
    let (bin, out) = (directory.path().join("bin"), directory.path().join("release/out"));
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(&out)?;
    for name in ["cargo", "gh", "git"] {
        let program = bin.join(name);
        fs::write(
            &program,
            "#!/bin/sh\nfor word in \"${0##*/}\" \"$@\"; do printf '<%s>' \"$word\"; done >> \"$CALLS\"\necho >> \"$CALLS\"\n",
        )?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    }
    let calls = directory.path().join("calls");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH")?);
    let run = |job: &str, has: &str| -> anyhow::Result<(bool, String)> {
        let script = steps(&workflow, job)?.iter().filter_map(|step| step["run"].as_str());
        let script = script.into_iter().find(|script| script.contains(has));
        fs::write(&calls, "")?;
        let mut bash = Command::new("bash");
        bash.args(["-c", script.with_context(|| format!("no script with {has}"))?]);
        bash.current_dir(directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        bash.env("PATH", &path).env("CALLS", &calls).env("TAG", "v1.2.3");
        Ok((bash.status()?.success(), fs::read_to_string(&calls)?))
    };
    let (good, called) = run("build", "xtask dist")?;
    ensure!(
        good && called.ends_with("<cargo><xtask><dist><--release><v1.2.3><--twice><--test>\n"),
        "{called}"
    );
    let (good, called) = run("publish", "gh release")?;
    ensure!(good, "{called}");
    ensure!(
        called.starts_with("<gh><release><create><v1.2.3><--verify-tag><--title><observer 1.2.3>"),
        "{called}"
    );

    let sums = || run("publish", "sha256sum");
    let digest = |text: &str| -> anyhow::Result<String> {
        let file = directory.path().join("digest");
        fs::write(&file, text)?;
        let mut sum = Command::new("sha256sum");
        sum.arg(&file);
        Ok(succeeds(sum)?.split_whitespace().next().context("a sum")?.to_owned())
    };
    fs::write(out.join("observer_1.deb"), "x")?;
    fs::write(out.join("b.tar.gz"), "y")?;
    let list = format!("{}  b.tar.gz\n{}  observer_1.deb\n", digest("y")?, digest("x")?);
    fs::write(out.join("SHA256SUMS"), list)?;
    ensure!(sums()?.0, "what is whole is not taken");
    fs::write(out.join("other"), "")?;
    ensure!(!sums()?.0, "a file that no sum names");
    fs::remove_file(out.join("other"))?;
    fs::write(out.join("b.tar.gz"), "z")?;
    ensure!(!sums()?.0, "another byte");
    fs::remove_file(out.join("b.tar.gz"))?;
    ensure!(!sums()?.0, "a file that is not there");
    Ok(())
}
