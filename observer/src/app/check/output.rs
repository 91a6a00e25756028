//! Where a verdict goes besides: files that were asked for, and what GitHub reads.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use observer::error::Failure;

use super::{args::CheckArgs, command::user::Invoker, github, junit, verdict::Verdict};
use crate::app::{render::json, run::say, same_file::is_same};

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
    /// Opens them, as who called sudo where that user may: what is made then belongs to who asked for it. There must be
    /// no second thread yet. What is in them stays until there is something new.
    ///
    /// # Errors
    ///
    /// When one cannot be written, or is another file of this check.
    pub fn open(args: &CheckArgs, user: Option<&Invoker>) -> Result<Self> {
        let open = |path: &Option<PathBuf>| {
            path.as_deref().map(|path| Output::open(path, user)).transpose()
        };
        let all = Self { report: open(&args.report)?, junit: open(&args.junit)? };
        let data = |output: &Option<Output>| output.as_ref()?.file.metadata().ok();
        let (report, junit) = (data(&all.report), data(&all.junit));
        let baseline = args.limits.baseline.as_deref().and_then(|path| fs::metadata(path).ok());
        let both = |one: &Option<Metadata>, other: &Option<Metadata>| {
            one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| is_same(one, other))
        };
        let sentence = if both(&report, &baseline) {
            "--report is the baseline, which a worse run would replace; give it another file"
        } else if both(&junit, &baseline) {
            "--junit is the baseline, which it would replace; give it another file"
        } else if both(&report, &junit) {
            "--report and --junit are the same file; give each its own"
        } else {
            return Ok(all);
        };
        Err(Failure::usage(sentence).into())
    }

    /// Leaves nothing behind that could be taken for the verdict of this check, which came to none: the JUnit file says
    /// why, and the report is gone.
    pub fn fail(self, sentence: &str) {
        if let Some(output) = self.report {
            output.remove();
        }
        if let Some(output) = self.junit {
            let path = output.path.clone();
            let written = junit::failure(sentence).and_then(|text| output.write(text.as_bytes()));
            if let Err(error) = written {
                let _gone = fs::remove_file(path);
                say(&format!("observer: {error:#}"));
            }
        }
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
    fn open(path: &Path, user: Option<&Invoker>) -> Result<Self> {
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = match user {
            None => open(),
            // Root may write where that user may not.
            Some(user) => user.acting(open)?.or_else(|_| open()),
        };
        let cannot =
            || Failure::failed(format!("cannot write {}; is its directory there?", path.display()));
        Ok(Self { file: file.with_context(cannot)?, path: path.to_owned() })
    }

    /// Removes a regular file, which keeps nothing where it cannot be removed.
    fn remove(self) {
        if self.file.metadata().is_ok_and(|data| data.is_file()) {
            let _kept = self.file.set_len(0).and_then(|()| fs::remove_file(&self.path));
        }
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
