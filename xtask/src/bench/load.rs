//! Load without loss: the system tests of that name, with more of it than their usual runs, and what
//! they tell.

use anyhow::{Context as _, Result, bail};

use super::figure::{Figure, Load, Missing};
use crate::{process, workspace::Workspace};

/// Connections at the highest rate.
const CONNECTIONS: &str = "1000000";

/// Words of the tests before each figure.
const FIGURE: &str = "figure load ";

/// Results of these tests with this program.
///
/// # Errors
///
/// When one of them failed; what they told is printed.
pub(super) fn measure(workspace: &Workspace, observer: &str) -> Result<Vec<Figure>> {
    eprintln!("load: {CONNECTIONS} connections, and the other tests of load");
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--package", "observer", "--test", "system", "--", "load::"]);
    cargo.env("OBSERVER_TEST_LOAD", CONNECTIONS).env("OBSERVER_PROGRAM", observer);
    let (status, output) = process::capture(cargo)?;
    if !status.success() {
        eprint!("{output}");
        bail!("a test of load failed: see cargo test -- load::");
    }
    let mut told: Vec<_> = figures(&output)?.into_iter().map(Figure::Load).collect();
    if told.is_empty() {
        eprint!("{output}");
        let what = "load without loss, whole".to_owned();
        let why = "every test of load was skipped; see cargo test -- load::".to_owned();
        told.push(Figure::Missing(Missing { what, why }));
    }
    Ok(told)
}

/// Figures of the tests, wherever they stand in a line: the harness's words are before them.
fn figures(output: &str) -> Result<Vec<Load>> {
    let texts = output.lines().filter_map(|line| Some(line.split_once(FIGURE)?.1));
    texts
        .map(|text| serde_json::from_str(text).with_context(|| format!("no figure: {text}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn what_the_tests_tell_is_found_behind_other_words() {
        let output = "running 1 test\n\
            test load::a ... figure load {\"what\":\"a\",\"made\":5,\"seen\":5,\"events_lost\":0,\
            \"map_full\":0,\"missed_runs\":0,\"closes\":null,\"pages_before\":7,\"pages_after\":8}\nok\n";
        let figures = figures(output).expect("a figure");
        assert_eq!((figures.len(), figures[0].made, figures[0].closes), (1, 5, None));
        assert!(super::figures("figure load {}").is_err());
    }
}
