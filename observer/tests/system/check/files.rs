//! Files: the report, JUnit, what GitHub reads, and those that cannot be written. Each is read by a reader that is not
//! observer's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Check, Done, well};
use crate::{Need, Outcome, Test};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "check_files::junit_is_what_others_read",
            Need::Also(|| lacks("xml.etree")),
            junit,
        ),
        Test::new(
            "check_files::junitparser_reads_it",
            Need::Also(|| lacks("junitparser")),
            junitparser,
        ),
        Test::new(
            "check_files::the_summary_is_markdown",
            Need::Also(|| lacks("markdown_it")),
            markdown,
        ),
        Test::new("check_files::github_is_told", Need::Kernel, github),
        Test::new("check_files::what_cannot_be_written_is_said_at_once", Need::Kernel, unwritable),
        Test::new(
            "check_files::an_earlier_report_stays_until_there_is_another",
            Need::Kernel,
            kept,
        ),
        Test::new("check_files::the_action_is_one", Need::Also(|| lacks("yaml")), action),
        Test::new("check_files::the_action_runs", Need::Also(|| lacks("yaml")), action_runs),
        Test::new("check_files::examples_run", Need::Kernel, examples),
        Test::new(
            "check_files::schemas_take_action_and_workflows",
            Need::Also(no_schemas),
            schemas,
        ),
    ]
}

/// Python with this module: that on the path, or Debian's own.
fn python(module: &str) -> Option<&'static str> {
    let has = |python: &&&str| {
        let import = format!("import {module}");
        Command::new(python)
            .args(["-c", &import])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    ["python3", "/usr/bin/python3"].iter().find(has).copied()
}

fn lacks(module: &str) -> Option<String> {
    python(module).is_none().then(|| format!("python3 has no module {module}"))
}

/// What a script of Python makes of a file, as JSON.
fn read(module: &str, script: &str, file: &Path) -> anyhow::Result<Value> {
    let python = python(module).context("python3")?;
    let output = Command::new(python).args(["-c", script]).arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A check of a herd with all its files: one limit broken, one held, and one that fits nothing.
fn herd() -> anyhow::Result<(Done, PathBuf, PathBuf)> {
    let limits = ["--max-herd-ratio", "2", "--max-queue-used", "1000", "--min-accepted", "20"];
    let mut check = Check::new(&limits)?;
    let (junit, summary) = (check.file("junit.xml"), check.file("summary.md"));
    check.command.arg("--junit").arg(&junit);
    check.command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
    let done = check.of_workload("epoll", 20).run()?;
    Ok((done.is(3, &[])?, junit, summary))
}

const JUNIT: &str = r#"
import json, sys
import xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
cases = [[case.get("classname"), case.get("name"), [child.tag for child in case]] for case in root.iter("testcase")]
suite = root.find("testsuite")
print(json.dumps({"root": root.tag, "counts": [suite.get(key) for key in ("tests", "failures", "errors", "skipped")], "cases": cases}))
"#;

fn junit() -> Outcome {
    let (done, junit, _) = herd()?;
    let found = read("xml.etree", JUNIT, &junit)?;
    ensure!(found["root"] == "testsuites", "{found}");
    ensure!(found["counts"] == serde_json::json!(["4", "1", "0", "0"]), "{found}");
    let port = format!(":{}", done.port()?);
    let cases = found["cases"].as_array().context("cases")?;
    for (class, what) in [
        ("observer check command", serde_json::json!([])),
        ("observer check --max-herd-ratio 2", serde_json::json!(["failure"])),
        ("observer check --max-queue-used 1000%", serde_json::json!([])),
        ("observer check --min-accepted 20", serde_json::json!([])),
    ] {
        let case = cases
            .iter()
            .find(|case| case[0] == class)
            .with_context(|| format!("{class}: {found}"))?;
        ensure!(case[2] == what, "{case}");
        let name = case[1].as_str().context("name")?;
        ensure!(!class.contains("--max") || name.contains(&port), "{case}");
    }
    Ok(())
}

const JUNITPARSER: &str = r#"
import json, sys
from junitparser import Failure, JUnitXml
suites = list(JUnitXml.fromfile(sys.argv[1]))
cases = [case for suite in suites for case in suite]
failed = [case.classname for case in cases if any(isinstance(result, Failure) for result in case.result)]
print(json.dumps({"suites": len(suites), "cases": len(cases), "failed": failed}))
"#;

fn junitparser() -> Outcome {
    let (_done, junit, _) = herd()?;
    let found = read("junitparser", JUNITPARSER, &junit)?;
    let expected = serde_json::json!({"suites": 1, "cases": 4, "failed": ["observer check --max-herd-ratio 2"]});
    ensure!(found == expected, "{found}");
    Ok(())
}

const MARKDOWN: &str = r#"
import json, sys
from markdown_it import MarkdownIt
tokens = MarkdownIt("commonmark").enable("table").parse(open(sys.argv[1]).read())
rows, heading = [], None
for index, token in enumerate(tokens):
    if token.type == "heading_open":
        heading = tokens[index + 1].content
    if token.type == "tr_open":
        rows.append([])
    if token.type in ("td_open", "th_open"):
        rows[-1].append("".join(child.content for child in tokens[index + 1].children))
print(json.dumps({"heading": heading, "rows": rows, "html": [t.type for t in tokens if "html" in t.type]}))
"#;

fn markdown() -> Outcome {
    let (done, _, summary) = herd()?;
    let found = read("markdown_it", MARKDOWN, &summary)?;
    let heading = found["heading"].as_str().context("heading")?;
    ensure!(heading.starts_with("❌ observer check failed: 1 of 3 limits is broken"), "{found}");
    ensure!(found["html"] == serde_json::json!([]), "{found}");
    let rows = found["rows"].as_array().context("rows")?;
    ensure!(rows.len() == 4, "{found}");
    ensure!(rows.iter().all(|row| row.as_array().is_some_and(|row| row.len() == 4)), "{found}");
    let herd = &rows[1];
    ensure!(herd[0] == "broken" && herd[1] == "--max-herd-ratio 2", "{herd}");
    let listener = herd[3].as_str().context("listener")?;
    ensure!(listener.starts_with(&format!("127.0.0.1:{}", done.port()?)), "{herd}");
    Ok(())
}

fn github() -> Outcome {
    let (done, _, summary) = herd()?;
    let lines: Vec<&str> = done.stderr.lines().filter(|line| line.starts_with("::")).collect();
    let [line] = lines[..] else { anyhow::bail!("{lines:?}: {}", done.stderr) };
    let begins = "::error title=observer check::--max-herd-ratio 2 is broken: ";
    ensure!(line.starts_with(begins) && line.contains(&done.port()?.to_string()), "{line}");
    // What is there already stays.
    let first = fs::read_to_string(&summary)?;
    let mut check = Check::new(&["--min-accepted", "1"])?;
    check.command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
    let done = check.of_role("check-connects-5")?.run()?.is(0, &[])?;
    ensure!(!done.stderr.contains("::error"), "{}", done.stderr);
    let both = fs::read_to_string(&summary)?;
    let more = both.strip_prefix(&first).context("the first summary is gone")?;
    ensure!(more.starts_with("### ✅ observer check passed"), "{more}");
    // One that cannot be written changes nothing.
    let mut check = Check::new(&["--min-accepted", "1"])?;
    check.command.env("GITHUB_STEP_SUMMARY", "/nonexistent/summary");
    let done = check.of_role("check-connects-5")?.run()?;
    done.is(0, &["the summary cannot be added to /nonexistent/summary"]).map(well)?
}

fn unwritable() -> Outcome {
    for flag in ["--report", "--junit"] {
        let mut check = Check::new(&["--min-accepted", "0"])?;
        if flag == "--report" {
            // Once is enough.
            let mut command = Command::new(crate::observer::program());
            command.args(["check", "--min-accepted", "0"]);
            check.command = command;
        }
        check.command.args([flag, "/nonexistent/file"]);
        let done = check.of(&["/bin/sh", "-c", "echo ran"]).run()?;
        let done = done.is(1, &["cannot write /nonexistent/file"])?;
        ensure!(done.stdout.is_empty(), "it ran: {}", done.stdout);
    }
    Ok(())
}

fn kept() -> Outcome {
    let mut check = Check::new(&["--min-accepted", "0"])?;
    let junit = check.file("junit.xml");
    fs::write(&junit, "before, and longer than what comes after: ".repeat(1000))?;
    check.command.arg("--junit").arg(&junit);
    let done = check.of(&["/bin/sh", "-c", &format!("head -c 6 {}", junit.display())]).run()?;
    let done = done.is(0, &[])?;
    ensure!(done.stdout == "before", "{}", done.stdout);
    let text = fs::read_to_string(&junit)?;
    ensure!(text.starts_with("<?xml") && text.trim_end().ends_with("</testsuites>"), "{text}");
    Ok(())
}

/// A file of the project; `None` where only the test program is here.
fn project(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    path.exists().then_some(path)
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

/// Each example of docs/ci.md and of `--help`, with a server that serves five connections.
fn examples() -> Outcome {
    let directory = tempfile::tempdir()?;
    let script = |name: &str, text: String| -> Outcome {
        let path = directory.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        Ok(fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?)
    };
    script(
        "server",
        format!("OBSERVER_TEST_ROLE=check-connects-25 exec {}", std::env::current_exe()?.display()),
    )?;
    script("sudo", "exec \"$@\"".to_owned())?;
    script("make", "exec ./server".to_owned())?;
    script("observer", format!("exec {} \"$@\"", crate::observer::program().display()))?;
    let page = fs::read_to_string(project("docs/ci.md").context("no page")?)?;
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut lines: Vec<String> = blocks.flat_map(str::lines).map(str::to_owned).collect();
    let help = Command::new(crate::observer::program()).args(["check", "--help"]).output()?;
    let help = String::from_utf8(help.stdout)?;
    let of_help = help.lines().filter(|line| line.starts_with("  observer check "));
    lines.extend(of_help.map(|line| line.replace("before.ndjson", "before.json")));
    ensure!(lines.len() >= 9, "{lines:?}");
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH")?);
    for line in lines {
        let duration = line.split_whitespace().skip_while(|word| *word != "--duration").nth(1);
        let line = match duration {
            Some(duration) => line.replace(duration, "100ms"),
            None => line,
        };
        let line = line.replace("observer check", "observer check --allow-estimates");
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(directory.path())
            .env("PATH", &path)
            .output()?;
        // Nobody is at those ports and names that are only watched.
        let expected = if line.contains("check") && !line.contains(" -- ") { 3 } else { 0 };
        ensure!(output.status.code() == Some(expected), "{line}: {output:?}");
    }
    Ok(())
}

fn no_schemas() -> Option<String> {
    let there = Command::new("check-jsonschema").arg("--version").output();
    (!there.is_ok_and(|output| output.status.success()))
        .then(|| "check-jsonschema is not installed (pip install check-jsonschema)".to_owned())
}

/// The action and each workflow of docs/ci.md, against the schemas that check-jsonschema has.
fn schemas() -> Outcome {
    let check = |schema: &str, file: &Path| -> Outcome {
        let output = Command::new("check-jsonschema")
            .args(["--builtin-schema", schema])
            .arg(file)
            .output()?;
        ensure!(
            output.status.success(),
            "{}: {}",
            file.display(),
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(())
    };
    check("vendor.github-actions", &project("deploy/github/action.yml").context("no action")?)?;
    let page = fs::read_to_string(project("docs/ci.md").context("no page")?)?;
    let directory = tempfile::tempdir()?;
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    ensure!(blocks.len() >= 2, "{} workflows", blocks.len());
    for (index, block) in blocks.iter().enumerate() {
        let file = directory.path().join(format!("{index}.yml"));
        fs::write(&file, block)?;
        let is_gitlab = block.starts_with("# .gitlab-ci.yml");
        check(if is_gitlab { "vendor.gitlab-ci" } else { "vendor.github-workflows" }, &file)?;
    }
    Ok(())
}
