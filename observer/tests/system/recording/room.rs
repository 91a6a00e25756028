//! Recordings for which there is little room: parts of a size, and a disk that fills.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use nix::sys::signal::Signal;
use observer::{Update, recording::Reader};

use super::{
    recorder::{ended, recorder},
    report, text,
};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, program},
    workload::Workload,
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("recording::parts_are_kept_as_asked", Need::Kernel, parts),
        Test::new("recording::a_full_disk_keeps_what_was_written", Need::Also(no_tmpfs), disk),
    ]
}

fn parts() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("a.ndjson");
    let mut workload = Workload::start(&["--strategy", "epoll", "--workers", "2"])?;
    let more = ["--max-size", "8k", "--keep", "3"];
    let recorder = recorder(workload.ready.listeners[0].port, &path, &more)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    // Until one part was removed.
    while !directory.path().join("a.0003.ndjson").exists() && Instant::now() < deadline {
        let _tally = workload.round()?;
        thread::sleep(Duration::from_millis(50));
    }
    let ended = ended(recorder, Signal::SIGTERM)?;
    ensure!(ended.stderr.contains("older part"), "{}", ended.stderr);
    let mut names: Vec<_> = fs::read_dir(directory.path())?
        .map(|entry| anyhow::Ok(entry?.file_name().into_string().unwrap_or_default()))
        .collect::<Result<_, _>>()?;
    names.sort();
    ensure!(names.len() == 3 && names.contains(&"a.ndjson".to_owned()), "{names:?}");
    for name in &names {
        let path = directory.path().join(name);
        // The last has the total too, which is not begun another part for.
        ensure!(name == "a.ndjson" || fs::metadata(&path)?.len() <= 8 << 10, "{name}");
        let (one, _) = report(&[text(&path)?])?;
        ensure!(one["listeners"].as_array().is_some_and(|all| !all.is_empty()), "{name}: {one}");
    }
    workload.quit()
}

fn no_tmpfs() -> Option<String> {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]);
    let works = command.output().is_ok_and(|output| output.status.success());
    (!works).then(|| "no tmpfs can be mounted in a mount namespace (unshare, mount)".to_owned())
}

fn disk() -> Outcome {
    for (name, size) in [("a.ndjson", "256k"), ("a.ndjson.zst", "32k")] {
        let directory = tempfile::tempdir()?;
        let kept = directory.path().join(name);
        let mut workload = Workload::start(&["--strategy", "epoll", "--connections", "10"])?;
        let port = workload.ready.listeners[0].port.to_string();
        // A disk of its own, which is gone with the namespace.
        let script = "mount -t tmpfs -o size=$SIZE none /mnt && { \"$@\"; status=$?; cat \"/mnt/$NAME\" > \"$KEPT\"; \
                      exit $status; }";
        let mut command = Command::new("unshare");
        let file = format!("/mnt/{name}");
        command.args(["-m", "sh", "-c", script, "sh", text(&program())?]).args([
            "record",
            "--port",
            &port,
            "--events",
            "--interval",
            "50ms",
            "-o",
            &file,
        ]);
        command.env("NAME", name).env("SIZE", size).env("KEPT", &kept);
        let mut recorder = Observer::spawn(command)?;
        let _stdout = recorder.take_stdout()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !kept.exists() && Instant::now() < deadline {
            let _tally = workload.round()?;
            thread::sleep(Duration::from_millis(60));
        }
        let status = recorder.wait_status()?;
        ensure!(status.code() == Some(1), "{status}");
        let said = recorder.said();
        ensure!(said.contains(&format!("cannot write {file}: No space left on device")), "{said}");
        ensure!(said.contains("is kept and can be read"), "{said}");
        ensure!(!said.contains("observer: recorded"), "{said}");
        // What it says is kept is what is there.
        let (sum, _) = report(&[text(&kept)?])?;
        ensure!(sum["listeners"][0]["accepted"].as_u64().is_some_and(|count| count > 0), "{sum}");
        let mut reader = Reader::open(&kept)?;
        let (mut reports, mut events) = (0_u64, 0_u64);
        while let Some(update) = reader.next()? {
            match update {
                Update::Event(_) => events += 1,
                _ => reports += 1,
            }
        }
        let lines = reader.line();
        let words = format!("({reports} reports, {events} events, up to line {lines} of the file)");
        ensure!(said.contains(&words), "{words}: {said}");
        workload.quit()?;
    }
    Ok(())
}
