//! Files of a check: those that cannot be written, those of before; and the examples of its page.

use std::{fs, process::Command};

use anyhow::{Context, ensure};

use super::{Check, project};
use crate::{Need, Outcome, Test};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("check_files::what_cannot_be_written_is_said_at_once", Need::Kernel, unwritable),
        Test::new(
            "check_files::an_earlier_report_stays_until_there_is_another",
            Need::Kernel,
            kept,
        ),
        Test::new("check_files::what_comes_to_no_verdict_leaves_none", Need::Root, no_verdict),
        Test::new("check_files::a_baseline_is_not_replaced", Need::Root, own_baseline),
        Test::new("check_files::examples_run", Need::Kernel, examples),
    ]
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

/// Files of an earlier check, which passed.
fn no_verdict() -> Outcome {
    for arguments in [
        &["--max-drops", "0", "--baseline", "/nonexistent/before.json"][..],
        &["--max-drops", "0", "--map-memory", "1", "--max-listeners", "4000000"],
    ] {
        let mut check = Check::new(arguments)?;
        let (junit, report) = (check.file("junit.xml"), check.report.clone());
        fs::write(&junit, "<testsuites>passed</testsuites>")?;
        fs::write(&report, "{}")?;
        check.command.arg("--junit").arg(&junit);
        let done = check.of(&["/bin/sh", "-c", "echo ran"]).run()?;
        ensure!(
            matches!(done.code, 1 | 4) && done.stdout.is_empty(),
            "{}: {}",
            done.code,
            done.stderr
        );
        let text = fs::read_to_string(&junit)?;
        ensure!(!text.contains("passed") && text.contains("errors=\"1\""), "{text}");
        let sentence = done.stderr.lines().next().context("a sentence")?;
        let words: String = sentence
            .chars()
            .take_while(|one| one.is_alphanumeric() || " :".contains(*one))
            .collect();
        ensure!(text.contains(words.trim_end()), "{words:?}: {text}");
        ensure!(!report.exists(), "a report of another check is left");
    }
    Ok(())
}

fn own_baseline() -> Outcome {
    let check = Check::new(&["--min-accepted", "0"])?;
    let before = check.of(&["true"]).run()?.is(0, &[])?;
    let report = before.directory.path().join("report.json");
    let text = fs::read_to_string(&report)?;
    let link = before.directory.path().join("link.json");
    fs::hard_link(&report, &link)?;
    for flag in ["--report", "--junit"] {
        let mut command = Command::new(crate::observer::program());
        command.args(["check", "--baseline"]).arg(&report).arg(flag).arg(&link);
        let output = command.args(["--", "true"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2), "{}: {said}", output.status);
        ensure!(said.contains(&format!("{flag} is the baseline")), "{said}");
    }
    ensure!(fs::read_to_string(&report)? == text, "it was replaced");
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
