//! The action for GitHub and the workflows of docs/ci.md, as their schemas and a shell see them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{
    project,
    readers::{lacks, read},
};
use crate::{Need, Outcome, Test, servers::program::tools};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("check_files::the_action_is_one", Need::Also(|| lacks("yaml")), action),
        Test::new("check_files::the_action_runs", Need::Also(|| lacks("yaml")), action_runs),
        Test::new(
            "check_files::schemas_take_action_and_workflows",
            Need::Also(no_schemas),
            schemas,
        ),
    ]
}

const ACTION: &str = r#"
import json, sys, yaml
action = yaml.safe_load(open(sys.argv[1]))
print(json.dumps({"using": action["runs"]["using"], "inputs": sorted(action["inputs"]), "steps": action["runs"]["steps"]}))
"#;

/// The action has the inputs that the documentation names, and each step has a shell.
fn action() -> Outcome {
    let file = project("deploy/github/action.yml").context("no action")?;
    let found = read("yaml", ACTION, &file)?;
    ensure!(found["using"] == "composite", "{found}");
    let inputs: Vec<&str> =
        found["inputs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let page = fs::read_to_string(project("docs/ci.md").context("no page")?)?;
    for input in &inputs {
        ensure!(page.contains(&format!("| `{input}` |")), "docs/ci.md says nothing of {input}");
    }
    ensure!(inputs.contains(&"command") && inputs.contains(&"limits"), "{inputs:?}");
    for step in found["steps"].as_array().context("steps")? {
        ensure!(step["uses"].is_string() || step["shell"] == "bash", "{step}");
        // What comes from outside is no part of a script: it would be run.
        let script = step["run"].as_str().unwrap_or_default();
        ensure!(!script.contains("${{"), "an input within a script: {script}");
    }
    Ok(())
}

/// The scripts of the action, run as a runner runs them.
fn action_runs() -> Outcome {
    let file = project("deploy/github/action.yml").context("no action")?;
    let found = read("yaml", ACTION, &file)?;
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("output");
    let run = |step: usize, variables: &[(&str, &str)]| -> anyhow::Result<(Option<i32>, String)> {
        let script = found["steps"][step]["run"].as_str().context("a script")?;
        fs::write(&output, "")?;
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(directory.path()).env("GITHUB_OUTPUT", &output);
        command.envs(variables.iter().copied());
        command.env_remove("GITHUB_STEP_SUMMARY").env_remove("GITHUB_ACTIONS");
        let status = command.stdout(std::process::Stdio::null()).status()?;
        Ok((status.code(), fs::read_to_string(&output)?))
    };
    let program = crate::observer::program();
    let program = program.to_str().context("a path")?;
    let found_program = run(0, &[("BINARY", program), ("ACTION", "/nonexistent")])?;
    let real = fs::canonicalize(program)?;
    ensure!(
        found_program == (Some(0), format!("program={}\n", real.display())),
        "{found_program:?}"
    );
    let asked = run(1, &[("PROGRAM", program), ("IF_IMPOSSIBLE", "fail")])?;
    ensure!(asked == (Some(0), "possible=true\n".to_owned()), "{asked:?}");
    // What says so is no kernel's business: a program that exits with 4.
    let cannot = directory.path().join("cannot");
    fs::write(&cannot, "#!/bin/sh\nexit 4\n")?;
    fs::set_permissions(&cannot, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let cannot = cannot.to_str().context("a path")?;
    let skipped = run(1, &[("PROGRAM", cannot), ("IF_IMPOSSIBLE", "skip")])?;
    ensure!(skipped == (Some(0), "possible=false\n".to_owned()), "{skipped:?}");
    let failed = run(1, &[("PROGRAM", cannot), ("IF_IMPOSSIBLE", "fail")])?;
    ensure!(failed == (Some(4), "possible=false\n".to_owned()), "{failed:?}");
    let command = "echo \"it's $0 and $KEPT\" > said; exit 7";
    let variables = [
        ("PROGRAM", program),
        ("COMMAND", command),
        ("LIMITS", "--max-herd-ratio 2\n--min-accepted 0"),
        ("ARGUMENTS", "--allow-estimates"),
        ("DURATION", "1min"),
        ("BASELINE", "before.json"),
        ("TOLERANCE", "10"),
        ("REPORT", "report.json"),
        ("JUNIT", "junit.xml"),
        ("KEPT", "kept"),
    ];
    let checked = run(2, &variables)?;
    ensure!(checked == (Some(7), "exit-status=7\n".to_owned()), "{checked:?}");
    ensure!(
        fs::read_to_string(directory.path().join("said"))? == "it's bash and kept\n",
        "it said something else"
    );
    ensure!(
        directory.path().join("report.json").exists()
            && directory.path().join("junit.xml").exists(),
        "no files"
    );
    Ok(())
}

/// The program that has the schemas: on the path, or of the tools' Python.
fn check_jsonschema() -> Option<PathBuf> {
    const NAME: &str = "check-jsonschema";
    let kept = tools("python").map(|tools| tools.join("python/bin").join(NAME));
    let mut all = [Some(PathBuf::from(NAME)), kept].into_iter().flatten();
    all.find(|program| {
        let there = Command::new(program).arg("--version").output();
        there.is_ok_and(|output| output.status.success())
    })
}

fn no_schemas() -> Option<String> {
    check_jsonschema().is_none().then(|| {
        "no Python packages here: check-jsonschema is neither installed nor in target/tools/python".to_owned()
    })
}

/// The action and each workflow of docs/ci.md, against the schemas that check-jsonschema has.
fn schemas() -> Outcome {
    let program = check_jsonschema().context("check-jsonschema")?;
    let takes = |schema: &str, file: &Path| -> anyhow::Result<(bool, String)> {
        let output =
            Command::new(&program).args(["--builtin-schema", schema]).arg(file).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), format!("{}: {said}", file.display())))
    };
    let check = |schema: &str, file: &Path| -> Outcome {
        let (is_valid, said) = takes(schema, file)?;
        ensure!(is_valid, "{said}");
        Ok(())
    };
    check("vendor.github-actions", &project("deploy/github/action.yml").context("no action")?)?;
    let page = fs::read_to_string(project("docs/ci.md").context("no page")?)?;
    let directory = tempfile::tempdir()?;
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    ensure!(blocks.len() >= 3, "{} workflows", blocks.len());
    for (index, block) in blocks.iter().enumerate() {
        let file = directory.path().join(format!("{index}.yml"));
        fs::write(&file, block)?;
        let is_gitlab = block.starts_with("# .gitlab-ci.yml");
        check(if is_gitlab { "vendor.gitlab-ci" } else { "vendor.github-workflows" }, &file)?;
    }
    // What is none is refused.
    let broken = directory.path().join("broken.yml");
    for (schema, text) in [
        ("vendor.github-workflows", blocks[0].replace("runs-on:", "run-on:")),
        ("vendor.gitlab-ci", blocks[2].replace("exit_codes:", "exit_code:")),
    ] {
        fs::write(&broken, text)?;
        ensure!(!takes(schema, &broken)?.0, "{schema} takes anything");
    }
    Ok(())
}
