//! The report for programs: one JSON object per line (NDJSON).

use std::io::{self, IoSlice, Write};

use serde::Serialize;

use crate::report::model::{Host, Providers, Report, Tool, Window};

/// So many pieces are written at once: the kernel takes no more (`UIO_MAXIOV`).
const PIECES: usize = 1024;

/// What comes before the listeners.
#[derive(Serialize)]
struct Head<'a> {
    schema_version: u32,
    tool: &'a Tool,
    host: &'a Host,
    window: &'a Window,
    providers: &'a Providers,
}

/// Writes the report as one line.
///
/// With thousands of listeners the line is megabytes long, so that it is never in memory as a whole: it
/// is written from where the listeners keep their JSON. All names in it are strings: nothing but writing
/// it can fail.
///
/// # Errors
///
/// Those of `out`; a closed pipe comes back as [`io::ErrorKind::BrokenPipe`].
pub fn write(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { schema_version, tool, host, window, providers, listeners, audit } = report;
    let schema_version = *schema_version;
    let mut head = serde_json::to_string(&Head { schema_version, tool, host, window, providers })?;
    // An object that goes on.
    head.pop();
    head.push_str(",\"listeners\":[");
    let tail = format!("],\"audit\":{}}}\n", serde_json::to_string(audit)?);
    let mut pieces = Vec::with_capacity(PIECES);
    pieces.push(IoSlice::new(head.as_bytes()));
    for (index, listener) in listeners.iter().enumerate() {
        if pieces.len() + 2 > PIECES {
            write_all(out, &mut pieces)?;
            pieces.clear();
        }
        if index != 0 {
            pieces.push(IoSlice::new(b","));
        }
        pieces.push(IoSlice::new(listener.json()?.as_bytes()));
    }
    write_all(out, &mut pieces)?;
    out.write_all(tail.as_bytes())?;
    out.flush()
}

/// Writes all of these.
fn write_all(out: &mut impl Write, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !pieces.is_empty() {
        match out.write_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut pieces, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::table::fixtures;

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
    fn all_of_it_is_there_however_it_is_taken() {
        /// Takes a few bytes at a time.
        struct Slow(Vec<u8>);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(100);
                self.0.extend(&bytes[..taken]);
                Ok(taken)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut report = fixtures::herd(2);
        let one = report.listeners.remove(0);
        for count in [0, 1, 2, PIECES, 2 * PIECES] {
            report.listeners = vec![one.clone(); count];
            let whole = serde_json::to_string(&report).expect("JSON") + "\n";
            assert!(written(&report) == whole, "{count} listeners");
            let mut slow = Slow(Vec::new());
            write(&mut slow, &report).expect("memory takes everything");
            assert!(slow.0 == whole.as_bytes(), "{count} listeners, slowly");
        }
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
