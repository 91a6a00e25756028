//! Disks that do not do what they are told: one that does not answer keeps the recording, and neither scrapes nor the end.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::Signal,
};

use super::{recordings, until};
use crate::{Need, Outcome, Test, export::running::Exporter, gone, harmless::fuse};

pub fn tests() -> Vec<Test> {
    let fuse = Need::Also(fuse::missing);
    vec![
        Test::new("export::a_disk_that_does_not_answer_keeps_nobody", fuse, silent),
        Test::new("export::what_cannot_be_removed_is_said", Need::Kernel, kept),
    ]
}

fn silent() -> Outcome {
    let (_place, mut files, path) = fuse::start("export-silent-disk")?;
    let exporter = Exporter::start(&["--port", "1", "--flight-recorder", &path])?;
    exporter.next_report()?;
    exporter.observer.signal(Signal::SIGUSR1)?;
    ensure!(files.line()?.trim() == "unanswered", "nobody asked what is in the directory");
    // Twice, and one that is asked for meanwhile is refused.
    for _ in 0..2 {
        exporter.next_report()?;
        exporter.observer.signal(Signal::SIGUSR1)?;
    }
    let page = exporter.page()?;
    for name in ["observer_flight_recordings_total", "observer_flight_recording_failures_total"] {
        ensure!(page.text.contains(name) && page.sum(name, &[]) < 0.5, "{name} in {}", page.text);
    }
    let pid = i32::try_from(exporter.observer.pid())?;
    let programs = gone::programs(pid)?;
    ensure!(!programs.is_empty(), "it has no programs");
    let ended = exporter.end_with()?;
    for said in ["the disk has not taken a recording", "no recording is written for SIGUSR1"] {
        ensure!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    gone::is_gone(pid, &programs)
}

/// A file that cannot be removed, because something is mounted there.
struct Kept(PathBuf);

impl Kept {
    fn new(path: PathBuf) -> anyhow::Result<Self> {
        mount(Some(&path), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(Self(path))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _gone = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// The oldest recording cannot be removed: that is said, and the next oldest goes instead.
fn kept() -> Outcome {
    let place = tempfile::tempdir()?;
    let old = [1, 2].map(|day| {
        let name = format!("observer-flight-2026010{day}T000000Z.ndjson.zst");
        (place.path().join(name), SystemTime::now() - Duration::from_secs(100 - day))
    });
    for (path, written) in &old {
        fs::write(path, vec![0; 400_000])?;
        File::options().write(true).open(path)?.set_modified(*written)?;
    }
    let [(oldest, _), (next, _)] = old;
    let kept = Kept::new(oldest.clone())?;
    let path = place.path().to_str().context("a path")?;
    let exporter = Exporter::start(&[
        "--port",
        "1",
        "--flight-recorder",
        path,
        "--flight-recorder-size",
        "1",
    ])?;
    exporter.next_report()?;
    exporter.observer.signal(Signal::SIGUSR1)?;
    until(|| Ok(!next.exists()))?;
    until(|| Ok(recordings(place.path())?.len() == 2))?;
    ensure!(oldest.exists(), "it is gone");
    let ended = exporter.end_with()?;
    let name = oldest.display().to_string();
    ensure!(ended.stderr.contains(&format!("{name} cannot be removed")), "{}", ended.stderr);
    ensure!(ended.stderr.contains("the last minutes are written to"), "{}", ended.stderr);
    drop(kept);
    Ok(())
}
