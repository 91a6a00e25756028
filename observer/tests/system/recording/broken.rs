//! Recordings that were cut off, damaged, or are none.

use std::{fs, io::Cursor, path::PathBuf};

use anyhow::{Context, ensure};
use observer::{
    Update,
    recording::{Options, Reader, Writer},
};

use super::{
    made::{event, header, interval, total},
    refused, report, text,
};
use crate::{Need, Outcome, Test, observer::run};

/// Places at which a large recording is cut.
const CUTS: u64 = 1_000;

/// Damaged recordings that the program is given.
const DAMAGED: u64 = 60;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("recording::a_large_one_cut_anywhere", Need::Nothing, cut),
        Test::new("recording::a_small_one_cut_at_every_byte", Need::Nothing, every_byte),
        Test::new("recording::damage_is_an_error_or_an_answer", Need::Nothing, damaged),
        Test::new("recording::what_is_none_is_said_to_be_none", Need::Nothing, foreign),
        Test::new("recording::times_choose_intervals", Need::Nothing, times),
    ]
}

/// Numbers that look random, and are the same for one seed (splitmix64).
struct Random(u64);

impl Random {
    /// Of a seed that is printed, or of the one that `OBSERVER_TEST_SEED` names.
    fn new() -> anyhow::Result<Self> {
        let named = std::env::var("OBSERVER_TEST_SEED").ok();
        let seed = match named {
            Some(seed) => seed.parse().context("OBSERVER_TEST_SEED is no number")?,
            None => std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64,
        };
        eprintln!("OBSERVER_TEST_SEED={seed}");
        Ok(Self(seed))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

fn written(name: &str, updates: &[Update]) -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join(name);
    let mut writer = Writer::create(&path, header(), &Options::default())?;
    for update in updates {
        writer.write(update)?;
    }
    writer.finish()?;
    Ok((directory, path))
}

fn many() -> Vec<Update> {
    let mut all = Vec::new();
    for second in 0..40 {
        all.extend((0..50).map(|number| event(second * 50 + number)));
        all.push(interval(second, "nginx"));
    }
    all.push(total(40, "nginx"));
    all
}

/// Updates that can be read, and whether it is said to be cut.
fn read(bytes: &[u8]) -> anyhow::Result<(Vec<Update>, bool)> {
    let mut reader = Reader::new("cut", Cursor::new(bytes.to_vec()))?;
    let mut all = Vec::new();
    while let Some(update) = reader.next()? {
        all.push(update);
    }
    Ok((all, reader.cut().is_some()))
}

fn cut() -> Outcome {
    let mut random = Random::new()?;
    let all = many();
    for name in ["a.ndjson", "a.ndjson.zst"] {
        let (_directory, path) = written(name, &all)?;
        let bytes = fs::read(path)?;
        let plain = !name.ends_with(".zst");
        for _ in 0..CUTS / 2 {
            let at = usize::try_from(1 + random.below(bytes.len() as u64 - 1))?;
            let (read, is_cut) =
                read(&bytes[..at]).with_context(|| format!("{name} cut at {at}"))?;
            ensure!(read[..] == all[..read.len()], "{name} cut at {at}: another update");
            if plain {
                // The first line is the header. A line is whole without its line break too.
                let lines = bytes[..=at].iter().filter(|byte| **byte == b'\n').count();
                ensure!(read.len() == lines.saturating_sub(1), "{at}: {} of {lines}", read.len());
                let at_an_end = bytes[at] == b'\n' || bytes[at - 1] == b'\n';
                ensure!(is_cut != at_an_end, "cut at {at} is not said");
            } else {
                ensure!(is_cut, "cut at {at} is not said");
            }
        }
    }
    Ok(())
}

fn every_byte() -> Outcome {
    let all = [interval(0, "a"), event(1), interval(1, "a"), total(2, "a")];
    for name in ["a.ndjson", "a.ndjson.zst"] {
        let (_directory, path) = written(name, &all)?;
        let bytes = fs::read(path)?;
        for at in 1..bytes.len() {
            let (read, _) = read(&bytes[..at]).with_context(|| format!("{name} cut at {at}"))?;
            ensure!(read[..] == all[..read.len()], "{name} cut at {at}");
        }
    }
    // The program says so, and shows what is there.
    let (_directory, path) = written("a.ndjson", &all)?;
    let bytes = fs::read(&path)?;
    fs::write(&path, &bytes[..bytes.len() - 100])?;
    let (sum, said) = report(&[text(&path)?])?;
    ensure!(sum["listeners"][0]["accepted"] == 200, "{sum}");
    ensure!(said.contains("is not whole: it was cut off after line 4 (byte "), "{said}");
    fs::write(&path, &bytes[..300])?;
    let said = refused(&["report", text(&path)?], 1)?;
    ensure!(said.contains("has no whole report: it was cut off after line 1"), "{said}");
    Ok(())
}

/// The program with damaged recordings: an error that says where, or what is there; never a panic.
fn damaged() -> Outcome {
    let mut random = Random::new()?;
    let all: Vec<Update> =
        (0..4).map(|second| interval(second, "a")).chain([total(4, "a")]).collect();
    let directory = tempfile::tempdir()?;
    let page = directory.path().join("page.html");
    let (_kept, whole) = written("whole.ndjson", &all)?;
    for round in 0..DAMAGED {
        let compressed = round % 4 == 0;
        let name = if compressed { "a.ndjson.zst" } else { "a.ndjson" };
        let (_directory, path) = written(name, &all)?;
        let mut bytes = fs::read(&path)?;
        let numbers: Vec<usize> = (1..bytes.len())
            .filter(|at| bytes[*at].is_ascii_digit() && matches!(bytes[at - 1], b':' | b'['))
            .collect();
        for _ in 0..1 + random.below(4) {
            let at = usize::try_from(random.below(bytes.len() as u64))?;
            match random.below(4) {
                0 => bytes[at] = u8::try_from(random.below(256))?,
                1 => drop(bytes.drain(at..(at + 9).min(bytes.len()))),
                // A number that no sum holds.
                _ if !compressed => {
                    let at = numbers[at % numbers.len()];
                    if at < bytes.len() {
                        drop(bytes.splice(at..at, b"18446744073709551".iter().copied()));
                    }
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        fs::write(&path, &bytes)?;
        for arguments in [
            vec!["report", text(&path)?],
            vec!["report", text(&path)?, "--from", "1s", "--format", "json"],
            vec!["report", text(&path)?, "--from", "0s", "--format", "html", "-o", text(&page)?],
            vec!["report", text(&path)?, "--against", text(&whole)?],
        ] {
            let output = run(&arguments)?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let code = output.status.code();
            let kept = format!("{} (round {round})", String::from_utf8_lossy(&bytes));
            ensure!(
                matches!(code, Some(0 | 1)),
                "{arguments:?}: {}: {said}\n{kept}",
                output.status
            );
            ensure!(!said.contains("panicked"), "{said}\n{kept}");
            let words = ["line ", "byte", "no interval", "is empty", "no report"];
            ensure!(code == Some(0) || words.iter().any(|word| said.contains(word)), "{said}");
        }
    }
    Ok(())
}

fn foreign() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("file");
    let newer = r#"{"type":"recording","schema_version":2,"anything":"else"}"#.to_owned() + "\n";
    let one: Vec<u8> = fs::read("/proc/self/exe")?.into_iter().take(100_000).collect();
    let cases: [(&[u8], &str); 6] = [
        (b"", "is empty"),
        (b"hello\n", "is no recording: line 1 (byte 0)"),
        (b"{\"a\":1}\n", "it has no schema_version"),
        (newer.as_bytes(), "schema version 2"),
        (&one, "is no recording: line 1 (byte 0)"),
        (b"\x28\xb5\x2f\xfdhello", "the compressed data"),
    ];
    for (bytes, words) in cases {
        fs::write(&path, bytes)?;
        for format in ["table", "json"] {
            let said = refused(&["report", text(&path)?, "--format", format], 1)?;
            ensure!(said.contains(words), "{words}: {said}");
        }
    }
    let said = refused(&["report", text(directory.path())?], 1)?;
    ensure!(said.contains("is a directory"), "{said}");
    let said = refused(&["report", "/no/such/file"], 1)?;
    ensure!(said.contains("there is no file /no/such/file"), "{said}");
    // Of another host and another program: it says of which.
    let (_kept, path) = written("a.ndjson", &[interval(0, "a")])?;
    let other = fs::read_to_string(&path)?.replace("x86_64", "riscv64").replace("6.18.44", "9.9");
    fs::write(&path, other)?;
    let (sum, _) = report(&[text(&path)?])?;
    ensure!(sum["host"]["arch"] == "riscv64" && sum["host"]["kernel"] == "9.9", "{sum}");
    Ok(())
}

fn times() -> Outcome {
    let all: Vec<Update> =
        (0..60).map(|second| interval(second, "a")).chain([total(60, "a")]).collect();
    let (_directory, path) = written("a.ndjson.zst", &all)?;
    for (times, seconds) in [
        (vec!["--from", "10s", "--to", "20s"], 10),
        (vec!["--from", "00:00:30"], 30),
        (vec!["--to", "2026-01-02T00:00:05Z"], 5),
        (vec!["--from", "00:00:10", "--to", "15s"], 5),
    ] {
        let (sum, said) = report(&[&[text(&path)?], &times[..]].concat())?;
        ensure!(sum["listeners"][0]["accepted"] == 100 * seconds, "{times:?}: {sum}");
        ensure!(sum["window"]["seconds"] == f64::from(seconds), "{sum}");
        ensure!(said.contains(&format!("({seconds} of 60, from ")), "{said}");
    }
    let said = refused(&["report", text(&path)?, "--from", "2min"], 1)?;
    ensure!(said.contains("it goes from 2026-01-02T00:00:00Z to 2026-01-02T00:01:00Z"), "{said}");
    let said = refused(&["report", text(&path)?, "--from", "tomorrow"], 2)?;
    ensure!(said.contains("30s (after the beginning)"), "{said}");
    Ok(())
}
