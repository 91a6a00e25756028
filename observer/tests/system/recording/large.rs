//! Large recordings, in bounded memory.

use std::{fs, path::Path, process::Command};

use anyhow::ensure;
use observer::recording::{Options, Writer};

use super::{
    made::{event, header, interval, total},
    text,
};
use crate::{Need, Outcome, Test, observer::program};

/// Events of the recording.
const EVENTS: u64 = 1_000_000;

/// Address space that the program may have, in KiB: a part of what the recording takes.
const MEMORY: &str = "150000";

/// Bytes of a page at most, however long the recording is.
const PAGE: u64 = 2 << 20;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("recording::a_million_events_in_bounded_memory", Need::Nothing, million),
        Test::new("recording::two_gigabytes_in_bounded_memory", Need::Nothing, two_gigabytes),
    ]
}

/// Bytes of a recording that is larger than the program's memory, and than a number of 31 bits.
const HUGE: usize = (2 << 30) + (64 << 20);

/// A file of some hundred KB, and a pipe: so many bytes when it is decompressed, and the memory of a few of its lines.
fn two_gigabytes() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("a.ndjson.zst");
    let line = |update: &observer::Update| anyhow::Ok(serde_json::to_string(update)? + "\n");
    let compressed = |text: &str| zstd::encode_all(text.as_bytes(), 3);
    // One second: its report, some events, and what a later observer may write, which is left out.
    let note = format!(
        "{{\"schema_version\":1,\"type\":\"note\",\"text\":\"{}\"}}\n",
        "x".repeat(8 << 20)
    );
    let mut block = line(&interval(0, "nginx"))?;
    for number in 0..20 {
        block += &line(&event(number))?;
    }
    block += &note;
    let (seconds, frame) = (HUGE.div_ceil(block.len()), compressed(&block)?);
    let mut bytes = compressed(&(serde_json::to_string(&header())? + "\n"))?;
    // Frames may follow each other.
    (0..seconds).for_each(|_| bytes.extend(&frame));
    fs::write(&path, &bytes)?;
    ensure!(bytes.len() < 4 << 20, "{} bytes", bytes.len());
    let json = directory.path().join("out.json");
    let output = within(&["report", text(&path)?, "--format", "json", "-o", text(&json)?])?;
    let sum: serde_json::Value = serde_json::from_slice(&fs::read(&json)?)?;
    ensure!(sum["listeners"][0]["accepted"] == 100 * seconds as u64, "{sum}");
    let words = format!("{seconds} lines of {} are of types", path.display());
    ensure!(output.contains(&words), "{words}: {output}");
    Ok(())
}

fn million() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("a.ndjson.zst");
    let mut writer = Writer::create(&path, header(), &Options::default())?;
    let seconds = EVENTS / 500;
    for second in 0..seconds {
        for number in 0..500 {
            writer.write(&event(second * 500 + number))?;
        }
        writer.write(&interval(second, "nginx"))?;
    }
    writer.write(&total(seconds, "nginx"))?;
    let written = writer.finish()?.clone();
    ensure!(written.events == EVENTS && written.reports == seconds, "{written:?}");
    let json = directory.path().join("out.json");
    within(&["report", text(&path)?, "--from", "0s", "--format", "json", "-o", text(&json)?])?;
    let sum: serde_json::Value = serde_json::from_slice(&fs::read(&json)?)?;
    ensure!(sum["listeners"][0]["accepted"] == 100 * seconds, "{sum}");
    let page = directory.path().join("page.html");
    within(&["report", text(&path)?, "--format", "html", "-o", text(&page)?])?;
    page_is_bounded(&page, seconds)
}

/// Runs the program with little memory. What it says on standard error is returned.
fn within(arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$@\""), "sh", text(&program())?]);
    let output = command.args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
    Ok(said)
}

/// However many intervals there are, the page has a bounded number of points, and says so.
fn page_is_bounded(page: &Path, intervals: u64) -> Outcome {
    let text = fs::read_to_string(page)?;
    ensure!(text.len() as u64 <= PAGE, "{} bytes", text.len());
    let hits = text.matches("class=\"hit\"").count();
    ensure!((120..=600).contains(&hits), "{hits} points");
    let merged = intervals.div_ceil(120);
    let words = format!("Each point of a plot stands for about {merged} intervals");
    ensure!(text.contains(&words), "{words}");
    Ok(())
}
