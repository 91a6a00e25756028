//! What a check writes for others, read by readers that are not observer's own: JUnit, Markdown, and what GitHub takes.

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

pub fn lacks(module: &str) -> Option<String> {
    python(module).is_none().then(|| format!("python3 has no module {module}"))
}

/// What a script of Python makes of a file, as JSON.
pub fn read(module: &str, script: &str, file: &Path) -> anyhow::Result<Value> {
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
