//! Instructions, in one virtual machine for each kernel.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context as _, Result, bail};

use super::{
    figure::{Figure, Missing},
    peers,
};
use crate::{
    vm::{
        directory,
        icount::{Counted, series},
    },
    workspace::Workspace,
};

/// Hooks that are tried on each kernel; what a kernel does not give is a row that says so.
const PROVIDERS: [&str; 3] = ["fentry", "kprobe", "tracepoint"];

/// Results of one kernel.
pub(super) struct Guest {
    /// Series of the kernel.
    pub(super) series: &'static str,
    /// Release of the kernel, as `uname -r` says it.
    pub(super) release: String,
    pub(super) figures: Vec<Figure>,
}

/// Measures on these kernels, or on all, and has each of them kept. False where a machine failed.
pub(super) fn measure(
    workspace: &Workspace,
    kernels: &[String],
    mut keep: impl FnMut(Guest) -> Result<()>,
) -> Result<bool> {
    let series = series(kernels)?;
    let (peers, missing) = match peers::obtain(&directory(workspace)?) {
        Ok(files) => (files, None),
        Err(error) => {
            let (what, why) = (peers::TOOLS.join(", "), format!("{error:#}"));
            eprintln!("bench: {what}: {why}");
            (BTreeMap::new(), Some(Figure::Missing(Missing { what, why })))
        }
    };
    let tools: &[&str] = if peers.is_empty() { &[] } else { &peers::TOOLS };
    let counted = Counted::new(workspace, peers)?;
    let mut good = true;
    for series in series {
        let mut arguments = ["bench-role", "guest", "--observer", "/bin/observer"].to_vec();
        for provider in PROVIDERS {
            // Where observer by itself would take a mixture, fentry alone is refused.
            let provider =
                if provider == "fentry" && series.name == "6.1" { "auto" } else { provider };
            arguments.extend(["--provider", provider]);
        }
        for tool in tools {
            arguments.extend(["--peer", tool]);
        }
        let started = Instant::now();
        let told = counted.run(
            series,
            arguments.iter().map(|word| (*word).to_owned()).collect(),
            |done| {
                eprintln!("{:>5} s  {}: {done}", started.elapsed().as_secs(), series.name);
            },
        );
        match told.and_then(|told| Ok((told.version, whole(&told.figures)?))) {
            Ok((version, mut figures)) => {
                figures.extend(missing.clone());
                let release = version.split_whitespace().nth(2).unwrap_or("?").to_owned();
                keep(Guest { series: series.name, release, figures })?;
            }
            Err(error) => {
                good = false;
                eprintln!("error: {}: {error:#}", series.name);
            }
        }
    }
    Ok(good)
}

/// All figures of a guest: a console that ends too soon must not look like less to tell.
fn whole(lines: &[String]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for line in lines {
        let figure = serde_json::from_str(line).with_context(|| format!("no figure: {line}"))?;
        if let Figure::End { count } = figure {
            if count != figures.len() {
                bail!("{count} figures were told and {} came", figures.len());
            }
            return Ok(figures);
        }
        figures.push(figure);
    }
    bail!("{} figures came, and no end of them", figures.len())
}

#[cfg(test)]
mod tests {
    use super::whole;

    const ONE: &str = r#"{"figure":"missing","what":"a","why":"b"}"#;
    const END: &str = r#"{"figure":"end","count":1}"#;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn figures_that_all_came_are_taken() {
        assert_eq!(whole(&lines(&[ONE, END])).expect("all of them").len(), 1);
    }

    #[test]
    fn lost_figures_are_noticed() {
        for lost in [&[ONE][..], &[END], &[], &[ONE, ONE, END], &["{}", END]] {
            assert!(whole(&lines(lost)).is_err(), "{lost:?}");
        }
    }
}
