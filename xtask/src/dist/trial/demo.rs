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
    judge(said.lines(), Wakeups::Any)?;
    Ok("demo counts what its server counted".to_owned())
}

/// What is asked of a demo's wakeups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wakeups {
    /// Nothing: they may be an estimate.
    Any,
    /// That they are as many as the kernel counted sleeps.
    Agree,
    /// And that observer says so.
    Exact,
}

/// Whether a demo's lines have every accept that its server counted, and what is asked of its wakeups.
pub(super) fn judge<'a>(lines: impl Iterator<Item = &'a str>, asked: Wakeups) -> Result<()> {
    let mut outcomes = lines.filter(|line| line.starts_with("{\"strategy\""));
    let line = outcomes.next().context("the demo printed no outcome")?;
    let outcome: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
    ensure!(outcome["accepted"] == CONNECTIONS && outcome["agrees"] == true, "it counted {line}");
    let (agree, exact) = (outcome["wakeups_agree"] == true, outcome["exact"] == true);
    ensure!(asked == Wakeups::Any || agree, "its wakeups are not those of the server: {line}");
    ensure!(asked != Wakeups::Exact || exact, "its wakeups are not exact: {line}");
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
        let judged = |line: &str, asked| judge(["noise", line].into_iter(), asked);
        assert!(judged(&line(50, true, true), Wakeups::Exact).is_ok());
        assert!(judged(&line(50, true, false), Wakeups::Agree).is_ok());
        assert!(judged(&line(50, true, false), Wakeups::Exact).is_err());
        assert!(judged(&line(49, true, true), Wakeups::Any).is_err());
        assert!(judged(&line(50, false, true), Wakeups::Any).is_err());
        assert!(judged("error: no", Wakeups::Any).is_err());
        let fewer =
            line(50, true, false).replace("\"wakeups_agree\":true", "\"wakeups_agree\":false");
        assert!(judged(&fewer, Wakeups::Any).is_ok() && judged(&fewer, Wakeups::Agree).is_err());
    }
}
