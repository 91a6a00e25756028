//! Recordings that were written, cut off, damaged, and read again.

use std::{
    fs,
    io::{self, Cursor, Write},
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use super::*;
use crate::{
    model::{
        Audit, Event, EventLine, Host, LostReason, Provider, Providers, Report, ReportLine,
        SCHEMA_VERSION, Tool, Via, What, Window, WindowKind,
    },
    stream::{Because, Ended},
};

fn header() -> Header {
    let host = Host { kernel: "6.18.44".into(), arch: "x86_64".into(), cpus: 2 };
    Header::new(host, vec!["record".into(), "--events".into()], "2026-01-02T03:04:05.000Z".into())
}

fn report(second: u64, kind: WindowKind) -> Report {
    let none = || Provider { via: Via::None, exact: false, inferred: None, uncounted: None };
    Report {
        schema_version: SCHEMA_VERSION,
        line: ReportLine::Report,
        tool: Tool { name: "observer".into(), version: "0.1.0".into() },
        host: header().host,
        window: Window { start: format!("2026-01-02T03:04:{second:02}.000Z"), seconds: 1.0, kind },
        providers: Providers {
            wakeups: none(),
            accepts: none(),
            handshakes: none(),
            drops: none(),
        },
        listeners: Vec::new(),
        idle_listeners: second,
        audit: Audit::default(),
    }
}

fn interval(second: u64) -> Update {
    Update::Report(Box::new(report(second, WindowKind::Interval)))
}

fn event(number: u64) -> Update {
    Update::Event(Event {
        schema_version: SCHEMA_VERSION,
        line: EventLine::Event,
        time: format!("2026-01-02T03:04:05.{number:09}Z"),
        netns: None,
        inode: None,
        address: None,
        port: None,
        what: What::Lost { count: number, reason: LostReason::BufferFull, kinds: None },
    })
}

fn total() -> Update {
    let total = Box::new(report(0, WindowKind::Total));
    Update::Ended(Ended { total, because: Because::Closed })
}

fn small() -> Vec<Update> {
    vec![interval(1), event(1), event(2), interval(2), total()]
}

fn written(name: &str, updates: &[Update], options: &Options) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(name);
    let mut writer = Writer::create(&path, header(), options).expect("it is created");
    for update in updates {
        writer.write(update).expect("it is written");
    }
    writer.finish().expect("it is finished");
    (dir, path)
}

/// What is read of a file of these bytes, and what it ends with.
fn read(bytes: &[u8]) -> (Vec<Update>, Result<Option<Cut>, String>) {
    let mut updates = Vec::new();
    let mut all = || {
        let mut reader = Reader::new("file", Cursor::new(bytes.to_vec()))?;
        while let Some(update) = reader.next()? {
            updates.push(update);
        }
        anyhow::Ok(reader.cut())
    };
    let end = all().map_err(|error| error.to_string());
    (updates, end)
}

#[test]
fn what_is_written_is_read() {
    for name in ["a.ndjson", "a.ndjson.zst"] {
        let (_dir, path) = written(name, &small(), &Options::default());
        let mut reader = Reader::open(&path).expect("a recording");
        assert_eq!(reader.header(), Some(&header()));
        let mut all = Vec::new();
        while let Some(update) = reader.next().expect("whole") {
            all.push(update);
        }
        assert_eq!((all, reader.cut(), reader.has_total()), (small(), None, true));
        assert_eq!((reader.line(), reader.skipped()), (6, 0));
        let is_zstd = fs::read(&path).expect("bytes").starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        assert_eq!(is_zstd, name.ends_with("zst"));
    }
}

#[test]
fn a_recording_that_is_cut_at_any_byte_is_read_up_to_its_last_whole_line() {
    let (_dir, path) = written("a.ndjson", &small(), &Options::default());
    let bytes = fs::read(path).expect("bytes");
    let ends: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    assert!(read(&[]).1.expect_err("empty").contains("is empty"));
    for cut in 1..bytes.len() {
        let (updates, end) = read(&bytes[..cut]);
        // A line is whole when only its line break is missing.
        let lines = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(updates, small()[..lines.saturating_sub(1)], "cut at {cut}");
        let end = end.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let at_an_end = ends.contains(&cut) || ends.contains(&(cut - 1));
        assert_eq!(end.is_none(), at_an_end, "cut at {cut}: {end:?}");
        if let Some(Cut { lines: whole, offset, bytes: rest }) = end {
            assert_eq!((whole, offset + rest), (lines as u64, cut as u64));
        }
    }
}

#[test]
fn a_compressed_recording_that_is_cut_at_any_byte_is_read_as_far_as_it_was_flushed() {
    let (_dir, path) = written("a.ndjson.zst", &small(), &Options::default());
    let bytes = fs::read(path).expect("bytes");
    let mut read_before = 0;
    for cut in 1..bytes.len() {
        let (updates, end) = read(&bytes[..cut]);
        assert_eq!(updates, small()[..updates.len()], "cut at {cut}");
        assert!(updates.len() >= read_before, "cut at {cut}");
        read_before = updates.len();
        let end = end.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert!(end.is_some(), "cut at {cut}");
    }
    // All but the checksum at its end was there.
    assert_eq!(read_before, small().len());
}

#[test]
fn what_was_written_is_there_when_the_writer_is_killed() {
    for name in ["a.ndjson", "a.ndjson.zst"] {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(name);
        let mut writer = Writer::create(&path, header(), &Options::default()).expect("created");
        for update in &small()[..4] {
            writer.write(update).expect("written");
        }
        let (updates, end) = read(&fs::read(&path).expect("bytes"));
        assert_eq!(updates, small()[..4], "{name}");
        assert_eq!(end.expect("no damage").is_some(), name.ends_with("zst"));
        drop(writer);
    }
}

#[test]
fn a_damaged_line_is_named_with_its_place_and_what_to_do() {
    let (_dir, path) = written("a.ndjson", &small(), &Options::default());
    let text = fs::read_to_string(path).expect("text");
    let damaged = text.replacen("\"count\":1", "\"count\":!", 1);
    let (updates, end) = read(damaged.as_bytes());
    let told = end.expect_err("damage");
    assert_eq!(updates, small()[..1]);
    let offset: usize = text.lines().take(2).map(|line| line.len() + 1).sum();
    assert!(told.starts_with(&format!("line 3 (byte {offset}) of file is no JSON")), "{told}");
    assert!(told.contains("cat file | sed 3d | observer report -"), "{told}");
    let newer = text.replacen(
        "\"schema_version\":1,\"type\":\"event\"",
        "\"schema_version\":9,\"type\":\"event\"",
        1,
    );
    let told = read(newer.as_bytes()).1.expect_err("newer");
    assert!(told.contains("line 3") && told.contains("schema version 9"), "{told}");
    assert!(told.contains("newer observer"), "{told}");
}

#[test]
fn a_foreign_file_is_said_to_be_none() {
    let executable = fs::read("/proc/self/exe").expect("bytes");
    let cases: [&[u8]; 5] =
        [b"hello\n", b"{\"a\":1}\n", b"[1,2]\n", b"hello", &executable[..1 << 16]];
    for bytes in cases {
        let (updates, end) = read(bytes);
        let told = end.expect_err("no recording");
        assert!(updates.is_empty() && told.contains("is no recording: line 1 (byte 0)"), "{told}");
    }
    let error = Reader::open(Path::new("/tmp")).err().expect("no file").to_string();
    assert!(error.contains("is a directory"), "{error}");
    let error = Reader::open(Path::new("/no/such/file")).err().expect("no file").to_string();
    assert!(error.contains("there is no file /no/such/file"), "{error}");
}

#[test]
fn what_format_json_prints_has_no_header_and_is_read_too() {
    let mut bytes = Vec::new();
    for update in [interval(1), total()] {
        serde_json::to_writer(&mut bytes, &update).expect("memory");
        bytes.push(b'\n');
    }
    let mut reader = Reader::new("file", Cursor::new(bytes)).expect("updates");
    assert_eq!(reader.header(), None);
    assert_eq!(reader.next().expect("whole"), Some(interval(1)));
    assert_eq!((reader.line(), reader.offset()), (1, 0));
    assert_eq!(reader.next().expect("whole"), Some(total()));
    assert_eq!(reader.next().expect("whole"), None);
}

#[test]
fn zeros_that_a_dead_machine_left_are_a_cut() {
    let (_dir, path) = written("a.ndjson", &small()[..2], &Options::default());
    let mut bytes = fs::read(path).expect("bytes");
    bytes.extend([0; 4096]);
    let (updates, end) = read(&bytes);
    assert_eq!(updates, small()[..2]);
    assert!(end.expect("no damage").is_some());
}

#[test]
fn parts_are_recordings_of_their_own_and_the_oldest_go() {
    for (suffix, max) in [("ndjson", 2_000), ("ndjson.zst", 700)] {
        let options = Options { max_size: Some(max), keep: Some(3), overwrite: false };
        let many: Vec<Update> = (0..50).map(interval).chain([total()]).collect();
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(format!("a.{suffix}"));
        let mut writer = Writer::create(&path, header(), &options).expect("created");
        for update in &many {
            writer.write(update).expect("written");
        }
        let end = writer.finish().expect("finished").clone();
        assert_eq!((end.reports, end.total), (50, true));
        let paths = writer.paths();
        assert_eq!(paths.len(), 3);
        assert!(writer.removed() > 0);
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 3, "{paths:?}");
        let mut all = Vec::new();
        let mut joined = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            let bytes = fs::read(path).expect("bytes");
            joined.extend(&bytes);
            let (updates, end) = read(&bytes);
            assert!(end.expect("whole").is_none() && !updates.is_empty());
            all.extend(updates);
            let reader = Reader::open(path).expect("a recording");
            let part = reader.header().expect("a header").part;
            assert_eq!(part, writer.removed() + number as u64 + 1);
        }
        assert_eq!(all, many[many.len() - all.len()..]);
        assert_eq!(read(&joined).0, all, "one after the other");
    }
}

#[test]
fn what_exists_is_kept() {
    let (_dir, path) = written("a.ndjson", &small(), &Options::default());
    let before = fs::read(&path).expect("bytes");
    for check in [
        Writer::check(&path, &Options::default()).err(),
        Writer::create(&path, header(), &Options::default()).err(),
    ] {
        let told = check.expect("it exists").to_string();
        assert!(told.contains("a.ndjson exists and is kept"), "{told}");
    }
    assert_eq!(fs::read(&path).expect("bytes"), before);
    let options = Options { overwrite: true, ..Options::default() };
    drop(Writer::create(&path, header(), &options).expect("overwritten"));
    assert!(fs::read(&path).expect("bytes").len() < before.len());
}

#[test]
fn an_error_of_writing_says_what_is_kept_and_stays() {
    /// Has room for so many bytes.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let some = bytes.len().min(self.0);
            self.0 -= some;
            if some == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(some) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::to("the disk", Full(2_500), header()).expect("a header");
    let error = (0..50)
        .find_map(|second| writer.write(&interval(second)).err())
        .expect("it is full")
        .to_string();
    let reports = writer.kept().reports;
    assert!(reports > 0 && error.contains(&format!("{reports} reports, 0 events")), "{error}");
    assert!(error.starts_with("cannot write the disk: no storage space;"), "{error}");
    let until = format!("up to 2026-01-02T03:04:{reports:02}.000Z is kept");
    assert!(error.contains(&until), "{error}");
    assert!(writer.write(&total()).is_err() && !writer.kept().total);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cut in any::<prop::sample::Index>(),
        compressed in any::<bool>(),
    ) {
        let name = if compressed { "a.ndjson.zst" } else { "a.ndjson" };
        let (_dir, path) = written(name, &small(), &Options::default());
        let mut bytes = fs::read(path).expect("bytes");
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        // An error, or what is there.
        let (updates, _) = read(&bytes);
        prop_assert!(updates.len() <= bytes.len());
    }
}
