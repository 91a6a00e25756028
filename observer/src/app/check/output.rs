//! Where a verdict goes besides: files that were asked for, and what GitHub reads.

use std::{
    env,
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use observer::error::Failure;

use super::{args::CheckArgs, github, junit, verdict::Verdict};
use crate::app::{render::json, run::say};

/// Files for the verdict, opened before anything runs: a long run must not end with one that cannot be written.
pub struct Outputs {
    report: Option<Output>,
    junit: Option<Output>,
}

struct Output {
    file: File,
    path: PathBuf,
}

impl Outputs {
    /// Opens them. What is in them stays until there is something new.
    ///
    /// # Errors
    ///
    /// When one cannot be written.
    pub fn open(args: &CheckArgs) -> Result<Self> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Output::open).transpose();
        Ok(Self { report: open(&args.report)?, junit: open(&args.junit)? })
    }

    /// Writes them.
    ///
    /// # Errors
    ///
    /// When one cannot be written; the other one is written all the same.
    pub fn write(self, verdict: &Verdict) -> Result<()> {
        let report = || {
            let Some(output) = self.report else { return Ok(()) };
            let mut bytes = Vec::new();
            json::write(&mut bytes, &verdict.report)?;
            output.write(&bytes)
        };
        let junit = || {
            let Some(output) = self.junit else { return Ok(()) };
            output.write(junit::document(verdict)?.as_bytes())
        };
        let (report, junit): (Result<()>, Result<()>) = (report(), junit());
        report.and(junit)
    }
}

impl Output {
    fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let cannot =
            || Failure::failed(format!("cannot write {}; is its directory there?", path.display()));
        Ok(Self { file: file.with_context(cannot)?, path: path.to_owned() })
    }

    fn write(mut self, bytes: &[u8]) -> Result<()> {
        let mut write = || {
            // Not of a pipe or a terminal.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
                self.file.rewind()?;
            }
            self.file.write_all(bytes)
        };
        write().with_context(|| Failure::failed(format!("cannot write {}", self.path.display())))
    }
}

/// Adds the summary to the job's, where this is one of GitHub. What cannot be written is said, and changes nothing.
pub fn add_summary(verdict: &Verdict) {
    let Some(path) = set("GITHUB_STEP_SUMMARY") else { return };
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(github::summary(verdict).as_bytes()));
    if let Err(error) = written {
        let path = PathBuf::from(path);
        say(&format!("observer: the summary cannot be added to {}: {error}", path.display()));
    }
}

/// Lines that become annotations, where this is a job of GitHub.
pub fn annotations(verdict: &Verdict) -> String {
    let is_github = set("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    if is_github { github::annotations(verdict) } else { String::new() }
}

fn set(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}
