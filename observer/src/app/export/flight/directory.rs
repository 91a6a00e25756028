//! The directory of recordings, which has a bound: the oldest of its own files go, and no others.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use observer::error::Failure;

/// What the names of recordings begin with.
const PREFIX: &str = "observer-flight-";

/// What they end with.
const SUFFIX: &str = ".ndjson.zst";

/// Most recordings of one second.
const OF_A_SECOND: usize = 100;

/// A directory of recordings.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    most: u64,
}

impl Directory {
    /// Makes it where it is not there, and tries whether it can be written to.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when nothing can be written there.
    pub fn new(path: PathBuf, most: u64) -> Result<Self> {
        let name = path.display();
        let sentence = || {
            Failure::failed(format!(
                "the flight recorder cannot write to {name}; choose another directory with --flight-recorder"
            ))
        };
        fs::create_dir_all(&path).with_context(sentence)?;
        let probe = path.join(format!(".{PREFIX}{}", std::process::id()));
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).with_context(sentence)?;
        Ok(Self { path, most })
    }

    /// Most bytes of one recording: half, so that the one before is not lost for it.
    pub fn of_one(&self) -> u64 {
        self.most / 2
    }

    /// Makes room for another recording, and gives its name.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read, or the oldest not be removed.
    pub fn next(&self) -> Result<PathBuf> {
        self.make_room(self.of_one())?;
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let now = now.replace(['-', ':'], "");
        let name = |number: usize| match number {
            0 => format!("{PREFIX}{now}{SUFFIX}"),
            _ => format!("{PREFIX}{now}-{number}{SUFFIX}"),
        };
        let paths = (0..OF_A_SECOND).map(|number| self.path.join(name(number)));
        paths
            .into_iter()
            .find(|path| !path.exists())
            .context("there are too many recordings of this second")
    }

    /// Removes the oldest recordings until all that are there and `more` fit.
    fn make_room(&self, more: u64) -> Result<()> {
        let mut all = self.all()?;
        let mut bytes: u64 = all.iter().map(|(_, _, bytes)| bytes).sum();
        all.sort();
        for (_, path, size) in all {
            if bytes.saturating_add(more) <= self.most {
                break;
            }
            fs::remove_file(&path)
                .with_context(|| format!("{} cannot be removed", path.display()))?;
            bytes = bytes.saturating_sub(size);
        }
        Ok(())
    }

    /// The recordings that are there: when each was written last, and its size.
    fn all(&self) -> Result<Vec<(SystemTime, PathBuf, u64)>> {
        let mut all = Vec::new();
        let name = || format!("{} cannot be read", self.path.display());
        for entry in fs::read_dir(&self.path).with_context(name)? {
            let entry = entry.with_context(name)?;
            // A link's own: what it leads to is not ours.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && is_ours(&entry.path()) {
                let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                all.push((written, entry.path(), metadata.len()));
            }
        }
        Ok(all)
    }
}

/// Whether a file has a name that only this gives: `observer-flight-20261130T040500Z.ndjson.zst`.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let time = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
    time.is_some_and(|time| {
        let (time, number) = time.split_once('-').unwrap_or((time, "0"));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let clock = time.strip_suffix('Z').and_then(|time| time.split_once('T'));
        digits(number)
            && clock.is_some_and(|(day, hour)| {
                day.len() == 8 && hour.len() == 6 && digits(day) && digits(hour)
            })
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        time::{Duration, SystemTime},
    };

    use super::{Directory, is_ours};

    #[test]
    fn only_its_own_files_go_and_the_oldest_first() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = Directory::new(place.path().join("a/b"), 1000).expect("a directory");
        let others = ["notes.txt", "observer-flight-mine.ndjson.zst", "incident.ndjson.zst"];
        let write = |name: &str, age: u64| {
            let path = directory.path.join(name);
            fs::write(&path, [0; 300]).expect("a file");
            let then = SystemTime::now() - Duration::from_secs(age);
            fs::File::options()
                .write(true)
                .open(path)
                .and_then(|file| file.set_modified(then))
                .expect("a time");
        };
        for other in others {
            write(other, 1_000_000);
        }
        for (age, day) in (1..=9).enumerate() {
            write(&format!("observer-flight-2026010{day}T000000Z.ndjson.zst"), 100 - age as u64);
        }
        let next = directory.next().expect("a name");
        assert!(is_ours(&next) && !next.exists(), "{}", next.display());
        let mut left: Vec<_> = fs::read_dir(&directory.path)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        left.sort();
        let mut expected = others.map(str::to_owned).to_vec();
        expected.push("observer-flight-20260109T000000Z.ndjson.zst".into());
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn names_do_not_meet() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = Directory::new(place.path().to_owned(), 1000).expect("a directory");
        let first = directory.next().expect("a name");
        fs::write(&first, b"").expect("a file");
        assert_ne!(directory.next().expect("another"), first);
        assert!(!is_ours(Path::new("observer-flight-2026T.ndjson.zst")));
    }
}
