//! A recording as a source of updates, at the pace at which it was made.

use std::{path::Path, time::Duration};

use anyhow::Result;

use observer::{Update, recording::Reader};

/// Longest time to wait for a report of a recording, at its own pace.
const LONGEST: f64 = 60.0;

/// A recording that is being read.
pub struct Replay {
    reader: Reader,
    over: bool,
}

impl Replay {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { reader: Reader::open(path)?, over: false })
    }

    /// The next report, or the end; `None` after that. Events are passed over.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a line of it is no update.
    pub fn next(&mut self) -> Result<Option<Update>> {
        while !self.over {
            match self.reader.next()? {
                None => self.over = true,
                Some(Update::Event(_)) => {}
                Some(update) => {
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
        let read = Replay::open(file.path()).and_then(|mut replay| replay.next());
        let error = read.expect_err("nonsense");
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
