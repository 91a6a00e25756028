//! The program at work: a demo that counts what its own server counted. Pure, but for running it in a root.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::root::Root;

/// Connections of the demo.
const CONNECTIONS: u64 = 50;

/// The arguments that a demo is run with.
pub(super) fn arguments(provider: &str) -> String {
    format!(
        "demo --strategy epoll --workers 4 --connections {CONNECTIONS} --provider {provider} --format json"
    )
}

/// Runs doctor and a demo in a root, on this machine's kernel; says what was seen.
pub(super) fn within(root: &Root) -> Result<String> {
    let (status, said) = root.try_to(&["/usr/bin/observer", "doctor"])?;
    match status {
        Some(0) => {}
        Some(4) => return Ok("doctor says that this kernel cannot be observed".to_owned()),
        _ => bail!("`observer doctor` failed ({status:?}): {said}"),
    }
    let arguments = arguments("auto");
    let mut words = vec!["/usr/bin/observer"];
    words.extend(arguments.split(' '));
    let said = root.run(&words)?;
    judge(said.lines(), false)?;
    Ok("demo counts what its server counted".to_owned())
}

/// Whether a demo's lines have every accept that its server counted; `exact` if every wakeup too, each one seen.
pub(super) fn judge<'a>(lines: impl Iterator<Item = &'a str>, exact: bool) -> Result<()> {
    let mut outcomes = lines.filter(|line| line.starts_with("{\"strategy\""));
    let line = outcomes.next().context("the demo printed no outcome")?;
    let outcome: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
    ensure!(outcome["accepted"] == CONNECTIONS && outcome["agrees"] == true, "it counted {line}");
    ensure!(
        !exact || outcome["exact"] == true && outcome["wakeups_agree"] == true,
        "its wakeups are not exact: {line}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_differs_is_no_success() {
        let line = |accepted: u64, agrees: bool, exact: bool| {
            format!(
                "{{\"strategy\":\"epoll\",\"accepted\":{accepted},\"agrees\":{agrees},\"exact\":{exact},\
                 \"wakeups_agree\":true}}"
            )
        };
        let judged = |line: &str, exact| judge(["noise", line].into_iter(), exact);
        assert!(judged(&line(50, true, true), true).is_ok());
        assert!(judged(&line(50, true, false), false).is_ok());
        assert!(judged(&line(50, true, false), true).is_err());
        assert!(judged(&line(49, true, true), false).is_err());
        assert!(judged(&line(50, false, true), false).is_err());
        assert!(judged("error: no", false).is_err());
    }
}
