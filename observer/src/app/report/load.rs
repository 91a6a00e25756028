//! Reading a recording, and the report on the chosen part of it.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{moment::Moment, source::Source};
use observer::{
    Update,
    error::Failure,
    model::{Host, Report, Window, WindowKind},
    recording::{Cut, Header, Reader, Side, Sum},
    units,
};

/// Most memory that reports which are added up may take, in bytes. That of a host with a hundred thousand listeners is a
/// third of it; a file that no observer wrote may ask for any.
const SUM_MAX: usize = 1 << 30;

/// Part of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub from: Option<Moment>,
    pub to: Option<Moment>,
}

impl Part {
    pub fn is_whole(self) -> bool {
        self == Self::default()
    }

    /// Whether an interval is in this part of a recording that began at `start`: its middle is, so that parts that
    /// follow each other share none.
    pub fn has(self, window: &Window, start: SystemTime) -> bool {
        let Some((from, to)) = span(window) else { return self.is_whole() };
        let middle = from + to.duration_since(from).unwrap_or_default() / 2;
        self.from.is_none_or(|from| middle >= from.of(start))
            && self.to.is_none_or(|to| middle < to.of(start))
    }
}

/// What a recording says about one part of its time.
#[derive(Debug)]
pub struct Recording {
    /// Name of the file.
    pub name: String,
    pub header: Option<Header>,
    /// The total, or the sum of the chosen intervals.
    pub report: Report,
    /// Whether the report is the total that the recording ends with.
    pub is_total: bool,
    /// Number of interval reports that were chosen.
    pub chosen: u64,
    /// Number of interval reports.
    pub intervals: u64,
    /// Number of events.
    pub events: u64,
    /// Beginning of the first report; `None` where it has no time.
    pub start: Option<SystemTime>,
    /// Beginning and end of the chosen intervals; `None` where there is none with a time.
    pub covered: Option<(SystemTime, SystemTime)>,
    /// Where the recording was cut off.
    pub cut: Option<Cut>,
    /// Whether the recording has its total.
    pub has_total: bool,
    /// Number of lines of unknown types.
    pub skipped: u64,
}

impl Recording {
    /// It as one of two.
    pub fn side(&self) -> Side<'_> {
        Side { file: &self.name, report: &self.report }
    }
}

/// Reads a recording.
///
/// # Errors
///
/// See [`Reader`]; and where it has no report of this part of its time.
pub fn load(source: &Source, part: Part) -> Result<Recording> {
    load_within(source, part, SUM_MAX)
}

/// Reads a recording whose reports take so many bytes at most when they are added up.
fn load_within(source: &Source, part: Part, most: usize) -> Result<Recording> {
    let mut reader = source.open()?;
    let name = source.name();
    let mut sum = Sum::default();
    let (mut total, mut start, mut end, mut covered) = (None, None, None, None);
    let (mut intervals, mut events, mut host) = (0, 0, None);
    while let Some(update) = reader.next()? {
        match update {
            Update::Event(_) => events += 1,
            Update::Report(report) => {
                intervals += 1;
                let (from, to) = span(&report.window).unzip();
                start = start.or(from);
                end = to.or(end);
                if start.is_none_or(|start| part.has(&report.window, start)) {
                    refuse_another_host(
                        host.get_or_insert_with(|| report.host.clone()),
                        &report,
                        &reader,
                        &name,
                    )?;
                    sum.add(&report);
                    if sum.bytes() > most {
                        return Err(too_much(&name, &reader, most).into());
                    }
                    if let Some((from, to)) = from.zip(to) {
                        let (first, last) = covered.unwrap_or((from, to));
                        covered = Some((first.min(from), last.max(to)));
                    }
                }
            }
            Update::Ended(ended) => {
                let (from, to) = span(&ended.total.window).unzip();
                start = start.or(from);
                end = end.or(to);
                total = Some(ended.total);
            }
        }
    }
    let has_total = total.is_some();
    let chosen = sum.reports();
    let is_first = reader.header().is_none_or(|header| header.part == 1);
    // Up to its end, a recording that was killed tells of everything.
    let kind = if part.is_whole() && is_first { WindowKind::Total } else { WindowKind::Interval };
    let total = total.filter(|_| part.is_whole());
    let is_total = total.is_some();
    let Some(report) = total.map(|total| *total).or_else(|| sum.report(kind)) else {
        return Err(none(&name, &reader, intervals, start.zip(end)).into());
    };
    Ok(Recording {
        name,
        header: reader.header().cloned(),
        report,
        is_total,
        chosen,
        intervals,
        events,
        start,
        covered,
        cut: reader.cut(),
        has_total,
        skipped: reader.skipped(),
    })
}

/// Two outputs in one file are not added up as if they were one. The number of CPUs may change.
fn refuse_another_host(host: &Host, report: &Report, reader: &Reader, name: &str) -> Result<()> {
    if (&host.kernel, &host.arch) == (&report.host.kernel, &report.host.arch) {
        return Ok(());
    }
    let sentence = format!(
        "line {} (byte {}) of {name} is of another host or kernel than the lines before; give one recording at a time",
        reader.line(),
        reader.offset()
    );
    Err(Failure::failed(sentence).into())
}

/// Its reports cannot be added up.
fn too_much(name: &str, reader: &Reader, most: usize) -> Failure {
    Failure::failed(format!(
        "the reports of {name} have more listeners and workers up to line {} (byte {}) than can be added up in {} MiB; \
         choose a shorter time with --from and --to",
        reader.line(),
        reader.offset(),
        most >> 20
    ))
}

/// Why there is nothing to show.
fn none(
    name: &str,
    reader: &Reader,
    intervals: u64,
    span: Option<(SystemTime, SystemTime)>,
) -> Failure {
    Failure::failed(match (span, reader.cut()) {
        (Some((start, end)), _) if intervals > 0 => format!(
            "{name} has no interval in that time: it goes from {} to {}; choose --from and --to within",
            clock(start),
            clock(end)
        ),
        (Some(_), _) => format!(
            "{name} has a total and no intervals, so that no part of its time can be shown; leave out --from and --to, \
             or record with --interval"
        ),
        (None, Some(cut)) => {
            format!(
                "{name} has no whole report: {cut}; record longer, or with a shorter --interval"
            )
        }
        (None, None) => {
            format!("{name} has no report: it ended before its first interval did; record longer")
        }
    })
}

/// RFC 3339, with seconds.
pub fn clock(time: SystemTime) -> String {
    units::rfc3339(time).unwrap_or_default()
}

/// Beginning and end of a window; `None` where it says no time.
pub fn span(window: &Window) -> Option<(SystemTime, SystemTime)> {
    let start = humantime::parse_rfc3339(&window.start).ok()?;
    let length = Duration::try_from_secs_f64(window.seconds).ok()?;
    let end = start.checked_add(length)?;
    // A time that cannot be printed is none.
    units::rfc3339(start).and(units::rfc3339(end))?;
    (end.duration_since(start).ok()? < Duration::from_secs(100 * 365 * 86_400))
        .then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures;

    fn window(start: &str, seconds: f64) -> Window {
        Window { start: start.into(), seconds, kind: WindowKind::Interval }
    }

    #[test]
    fn parts_that_follow_each_other_share_no_interval() {
        let start = humantime::parse_rfc3339("2026-01-02T03:04:05Z").expect("a time");
        let part = |from: Option<&str>, to: Option<&str>| {
            let of = |text: Option<&str>| text.and_then(|text| Moment::parse(text).ok());
            Part { from: of(from), to: of(to) }
        };
        for tenth in 0..40 {
            let cut = format!("{}ms", tenth * 100);
            let (first, second) = (part(None, Some(&cut)), part(Some(&cut), None));
            for second_of in 5..9 {
                let window = window(&format!("2026-01-02T03:04:{second_of:02}Z"), 1.0);
                assert_ne!(first.has(&window, start), second.has(&window, start), "{cut}");
            }
        }
        assert!(part(None, None).has(&window("nonsense", 1.0), start));
        assert!(!part(Some("1s"), None).has(&window("nonsense", 1.0), start));
    }

    #[test]
    fn what_cannot_be_added_up_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.ndjson");
        let write = |inodes: &mut dyn Iterator<Item = u64>| {
            let lines = inodes.map(|inode| {
                let mut report = fixtures::herd(2);
                report.window.kind = WindowKind::Interval;
                report.listeners[0].inode = inode;
                report.listeners[0].cookie = Some(inode);
                serde_json::to_string(&report).expect("JSON") + "\n"
            });
            std::fs::write(&path, lines.collect::<String>()).expect("written");
            load_within(&Source::new(&path), Part::default(), 1 << 20)
        };
        // Each is another listener, and none of them ever closes.
        let error = write(&mut (0..2_000)).expect_err("too much").to_string();
        assert!(error.contains("than can be added up in 1 MiB"), "{error}");
        assert!(error.contains(" up to line "), "{error}");
        let one = write(&mut (0..2_000).map(|_| 7)).expect("a recording");
        assert_eq!((one.report.listeners.len(), one.intervals), (1, 2_000));
    }

    #[test]
    fn a_window_without_a_sensible_time_has_no_span() {
        assert!(span(&window("2026-01-02T03:04:05.123Z", 1.0)).is_some());
        for (start, seconds) in [
            ("x", 1.0),
            ("2026-01-02T03:04:05Z", -1.0),
            ("2026-01-02T03:04:05Z", 1e300),
            ("9999-12-31T23:59:50Z", 20.0),
        ] {
            assert_eq!(span(&window(start, seconds)), None);
        }
    }
}
