//! A recording as a source of updates, at the pace at which it was made.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Lines},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use observer::{Update, recording};

/// Longest time to wait for a report of a recording, at its own pace.
const LONGEST: f64 = 60.0;

/// A recording that is being read.
pub struct Replay {
    lines: Lines<BufReader<File>>,
    path: PathBuf,
    number: usize,
    over: bool,
}

impl Replay {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = BufReader::new(file).lines();
        Ok(Self { lines, path: path.to_owned(), number: 0, over: false })
    }

    /// The next report, or the end; `None` after that. Events are passed over, and so is the line that a recording
    /// begins with.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a line of it is no update.
    pub fn next(&mut self) -> Result<Option<Update>> {
        while !self.over {
            let Some(line) = self.lines.next() else {
                self.over = true;
                break;
            };
            self.number += 1;
            let line = line.with_context(|| format!("cannot read {}", self.path.display()))?;
            if line.contains(r#""type":"recording""#) || line.trim().is_empty() {
                continue;
            }
            let update = recording::parse(&line).with_context(|| {
                format!("line {} of {} is no update", self.number, self.path.display())
            })?;
            match update {
                Update::Event(_) => {}
                update => {
                    self.over = matches!(update, Update::Ended(_));
                    return Ok(Some(update));
                }
            }
        }
        Ok(None)
    }
}

/// How long to wait before an update of a recording is shown, at so many times its pace.
pub fn wait(update: &Update, speed: f64) -> Duration {
    match update {
        Update::Report(report) if speed > 0.0 => {
            let seconds = report.window.seconds.clamp(0.0, LONGEST) / speed;
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
        }
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::app::render::table::fixtures::herd;
    use observer::model::WindowKind;

    #[test]
    fn reports_come_one_by_one_and_the_total_is_the_end() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut report = herd(8);
        report.window.kind = WindowKind::Interval;
        let mut total = report.clone();
        total.window.kind = WindowKind::Total;
        writeln!(file, "{{\"type\":\"recording\",\"schema_version\":1}}\n").expect("written");
        for one in [&report, &report, &total, &report] {
            let line = serde_json::to_string(one).expect("JSON");
            writeln!(file, "{line}").expect("written");
        }
        let mut replay = Replay::open(file.path()).expect("opened");
        let mut next = || replay.next().expect("an update");
        for _ in 0..2 {
            let update = next().expect("a report");
            assert_eq!(wait(&update, 2.0), Duration::from_secs_f64(2.501));
            assert!(matches!(update, Update::Report(_)));
        }
        assert!(matches!(next(), Some(Update::Ended(_))));
        assert!(next().is_none());
    }

    #[test]
    fn a_line_that_is_no_update_is_named() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "nonsense").expect("written");
        let error = Replay::open(file.path()).expect("opened").next().expect_err("nonsense");
        assert!(error.to_string().starts_with("line 1 of "), "{error}");
    }
}
