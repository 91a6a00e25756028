//! Recordings of other hosts, and how what is read is told from what is written.

use std::{fs, net::TcpListener, os::unix::fs::MetadataExt as _, process::Command};

use anyhow::{Context, ensure};
use observer::recording::{Options, Writer};

use super::{
    made::{event, header, interval, total},
    refused, report, text,
};
use crate::{
    Need, Outcome, Test,
    observer::{program, run},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "recording::another_host_is_not_taken_for_this_one",
            Need::Also(no_strace),
            another,
        ),
        Test::new("recording::two_of_them_are_not_one", Need::Nothing, two),
        Test::new("recording::what_is_read_is_not_written_to", Need::Nothing, own_input),
    ]
}

fn no_strace() -> Option<String> {
    let works = Command::new("strace").args(["-f", "true"]).output();
    let works = works.is_ok_and(|output| output.status.success());
    (!works).then(|| "no strace that works here (Debian: strace)".to_owned())
}

/// Another kernel, architecture and number of CPUs; the network namespace, the processes and the listener have numbers that
/// are others' here.
fn another() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("a.ndjson");
    let mut writer = Writer::create(&path, header(), &Options::default())?;
    for second in 0..3 {
        writer.write(&interval(second, "nginx"))?;
        writer.write(&event(second))?;
    }
    writer.write(&total(3, "nginx"))?;
    writer.finish()?;
    let here = TcpListener::bind("127.0.0.1:0")?;
    let (port, own) = (here.local_addr()?.port(), std::process::id());
    let netns = fs::metadata("/proc/self/ns/net")?.ino();
    let recorded = fs::read_to_string(&path)?
        .replace(
            "\"kernel\":\"6.18.44\",\"arch\":\"x86_64\",\"cpus\":2",
            "\"kernel\":\"5.10.0-35-arm64\",\"arch\":\"aarch64\",\"cpus\":255",
        )
        .replace("\"netns\":4026531840", &format!("\"netns\":{netns}"))
        .replace("\"port\":8080", &format!("\"port\":{port}"))
        .replace("\"pid\":2,", &format!("\"pid\":{own},"))
        .replace("\"inode\":77,", &format!("\"inode\":{},", inode(&here)?));
    ensure!(recorded.contains("aarch64") && recorded.contains(&format!(":{netns},")), "{recorded}");
    fs::write(&path, &recorded)?;
    let page = directory.path().join("page.html");
    let log = directory.path().join("log");
    for (arguments, words) in [
        (&["--format", "json"][..], "\"arch\":\"aarch64\",\"cpus\":255"),
        (&["--from", "0s"], "nginx ×2"),
        (&["--format", "html"], "Linux 5.10.0-35-arm64 aarch64, 255 CPUs"),
        (&["--against", text(&path)?], "nginx"),
    ] {
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=%file,%network", "-o"]).arg(&log).arg(program());
        let output = command.args(["report", text(&path)?]).args(arguments).output()?;
        let shown = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ensure!(shown.contains(words), "{arguments:?}: {shown}");
        if arguments.contains(&"html") {
            fs::write(&page, &shown)?;
        }
        let calls = fs::read_to_string(&log)?;
        ensure!(calls.contains(text(&path)?), "it was not watched: {calls}");
        let own_memory = [
            "/proc/self/maps",
            "/proc/self/cgroup",
            "/sys/fs/cgroup",
            "/sys/devices/system/cpu",
            "/proc/stat",
        ];
        let asks = |call: &&str| {
            let of_host = ["\"/proc", "\"/sys", "socket(", "\"/etc/passwd"]
                .iter()
                .any(|word| call.contains(word));
            of_host && !own_memory.iter().any(|place| call.contains(place))
        };
        let asked: Vec<&str> = calls.lines().filter(asks).collect();
        ensure!(asked.is_empty(), "{arguments:?} asks this host: {asked:#?}");
    }
    // What is here is not what was there.
    let (total, _) = report(&[text(&path)?])?;
    let holders = total["listeners"][0]["holders"].as_array().context("holders")?;
    ensure!(holders.iter().all(|one| one["comm"] == "nginx"), "{total}");
    let (sum, _) = report(&[text(&path)?, "--from", "0s"])?;
    let name = |report: &serde_json::Value| report["listeners"][0]["findings"][0]["server"].clone();
    ensure!(name(&sum).is_null() || name(&sum) == "nginx", "{sum}");
    Ok(())
}

/// Inode number of a socket.
fn inode(listener: &TcpListener) -> anyhow::Result<u64> {
    use std::os::fd::AsRawFd as _;
    Ok(fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd()))?.ino())
}

/// Two in one file would be added up as if they were one.
fn two() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("a.ndjson");
    let written = |header, updates: &[observer::Update]| -> anyhow::Result<String> {
        let mut writer =
            Writer::create(&path, header, &Options { overwrite: true, ..Options::default() })?;
        updates.iter().try_for_each(|update| writer.write(update))?;
        writer.finish()?;
        Ok(fs::read_to_string(&path)?)
    };
    let reports = [interval(0, "a"), interval(1, "a")];
    let whole = written(header(), &[&reports[..], &[total(2, "a")]].concat())?;
    let cut = written(header(), &reports)?;
    let headless =
        |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    let mut other = header();
    other.start = Some("2026-01-02T04:04:05.000Z".into());
    let other = written(other, &reports)?;
    let part = |part| {
        let mut header = header();
        header.part = part;
        written(header, &reports)
    };
    for (name, text, words) in [
        ("with headers", whole.clone() + &whole, "another recording begins at line 5"),
        (
            "without headers",
            headless(&whole) + &headless(&whole),
            "another recording begins at line 4",
        ),
        ("of two times", cut.clone() + &other, "another recording begins at line 4"),
        ("twice the same", cut.clone() + &cut, "part 1 of the recording follows part 1 at line 4"),
        (
            "a part is missing",
            cut.clone() + &part(3)?,
            "part 3 of the recording follows part 1 at line 4",
        ),
        (
            "of two hosts",
            headless(&cut) + &headless(&cut).replace("x86_64", "riscv64"),
            "another host",
        ),
    ] {
        fs::write(&path, text)?;
        let said = refused(&["report", text_of(&path)?], 1)?;
        ensure!(said.contains(words), "{name}: {said}");
    }
    fs::write(&path, cut + &part(2)? + &part(3)?)?;
    let (sum, _) = report(&[text_of(&path)?])?;
    ensure!(sum["listeners"][0]["accepted"] == 600, "{sum}");
    Ok(())
}

fn text_of(path: &std::path::Path) -> anyhow::Result<&str> {
    text(path)
}

fn own_input() -> Outcome {
    let directory = tempfile::tempdir()?;
    let [path, other, link] =
        ["a.ndjson", "b.ndjson", "link"].map(|name| directory.path().join(name));
    for path in [&path, &other] {
        let mut writer = Writer::create(path, header(), &Options::default())?;
        writer.write(&total(2, "a"))?;
        writer.finish()?;
    }
    std::os::unix::fs::symlink(&path, &link)?;
    let before = fs::read(&path)?;
    let (path_text, other) = (text(&path)?, text(&other)?);
    for arguments in [
        vec!["report", path_text, "-o", path_text],
        vec!["report", path_text, "--format", "html", "-o", text(&link)?],
        vec!["report", other, "--against", path_text, "-o", path_text],
    ] {
        let said = refused(&arguments, 2)?;
        ensure!(said.contains("is the recording itself"), "{said}");
        ensure!(fs::read(&path)? == before, "{arguments:?}: it was written to");
    }
    let output = Command::new(program())
        .args(["report", "-", "-o", path_text])
        .stdin(fs::File::open(&path)?)
        .output()?;
    ensure!(output.status.code() == Some(2) && fs::read(&path)? == before, "{output:?}");
    let said = refused(&["report", "-", "--against", "-"], 2)?;
    ensure!(said.contains("standard input holds one recording"), "{said}");
    let output = run(&["report", path_text, "-o", other])?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}
