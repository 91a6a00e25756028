//! What programs read: one JSON object per line (NDJSON).

use std::io::{self, BufWriter, Write};

use serde::Serialize;

/// Writes a value as one line. All names in it are strings: nothing but writing it can fail.
///
/// # Errors
///
/// Those of `out`; a closed pipe comes back as [`io::ErrorKind::BrokenPipe`].
pub fn write(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use observer::model::Report;

    use super::*;
    use crate::app::render::table::fixtures;

    fn written(report: &Report) -> String {
        let mut out = Vec::new();
        write(&mut out, report).expect("memory takes everything");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn one_line_that_reads_back() {
        let report = fixtures::herd(8);
        let text = written(&report);
        assert_eq!(text.find('\n'), Some(text.len() - 1));
        assert_eq!(serde_json::from_str::<Report>(&text).ok(), Some(report));
    }

    #[test]
    fn line_breaks_in_names_stay_inside_the_line() {
        let mut report = fixtures::herd(2);
        report.listeners[0].workers[0].comm = "a\nb\u{1b}[31m".into();
        let text = written(&report);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn what_is_not_known_is_null() {
        let mut report = fixtures::herd(2);
        report.listeners[0].herd_ratio = None;
        assert!(written(&report).contains("\"herd_ratio\":null"));
    }

    #[test]
    fn a_closed_pipe_is_an_error_of_its_own_kind() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let result = write(&mut Closed, &fixtures::herd(2));
        assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));
    }
}
