//! The rules of Prometheus, by promtool: their syntax, what they make of series, and where their runbooks are.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, ensure};

use super::{check_link, debian, place, succeeds, text};
use crate::{Need, Outcome, Test, observer::run};

const ALERTS: &str = "deploy/prometheus/alerts.rules.yml";
const RECORDING: &str = "deploy/prometheus/recording.rules.yml";

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("deploy::rules_are_right", Need::Nothing, check),
        Test::new("deploy::rules_do_what_they_say", Need::Nothing, test_rules),
        Test::new("deploy::every_alert_has_a_runbook", Need::Nothing, runbooks),
        Test::new("deploy::every_finding_has_an_alert", Need::Nothing, findings),
    ]
}

fn check() -> Outcome {
    let mut command = debian("prometheus", "promtool")?;
    command.args(["check", "rules", "--lint-fatal"]).args([place(ALERTS)?, place(RECORDING)?]);
    succeeds(command).map(drop)
}

fn test_rules() -> Outcome {
    let mut command = debian("prometheus", "promtool")?;
    command.args(["test", "rules"]);
    let files = fs::read_dir(place("deploy/prometheus/tests")?)?;
    let mut count = 0;
    for file in files {
        command.arg(file?.path());
        count += 1;
    }
    ensure!(count > 0, "no test of rules");
    succeeds(command).map(drop)
}

/// What stands behind `key` in a file of rules, with quotes as they are.
fn values(rules: &str, key: &str) -> Vec<String> {
    let lines = rules.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines.filter_map(|line| Some(line.strip_prefix(key)?.trim().to_owned())).collect()
}

fn runbooks() -> Outcome {
    let alerts = text(ALERTS)?;
    let links = values(&alerts, "runbook_url:");
    let names = values(&alerts, "alert:");
    ensure!(links.len() == names.len(), "{} runbooks of {} alerts", links.len(), names.len());
    for link in links {
        let (_, page) = link.split_once("{{ end }}").context("no prefix of one's own")?;
        check_link(page.trim_end_matches('\''))?;
    }
    Ok(())
}

/// Every finding that observer knows alerts, and links to its own explanation.
fn findings() -> Outcome {
    let alerts = text(ALERTS)?;
    let output = run(&["explain"])?;
    let list = String::from_utf8(output.stdout)?;
    let known = list.lines().filter_map(|line| line.split_whitespace().next());
    let known: BTreeSet<_> = known.filter(|word| word.contains('-')).collect();
    ensure!(known.len() >= 9, "{list}");
    let rules: Vec<_> = alerts.split("- alert: ").skip(1).collect();
    for id in known {
        let rule = rules.iter().find(|rule| rule.contains(&format!("finding=\"{id}\"")));
        let rule = rule.with_context(|| format!("no alert for {id}"))?;
        ensure!(rule.contains(&format!("docs/findings.md#{id}'")), "{rule}");
        let name: String =
            id.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        ensure!(rule.starts_with(&format!("Observer{name}\n")), "{rule}");
    }
    Ok(())
}
