//! The directory of recordings, which has a bound: the oldest of its own files go, and no others.
//!
//! Others may write to it too. So every file is made new, under a name that nobody has, and what is removed is a name:
//! neither follows a link that somebody put there.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use observer::error::Failure;

/// What the names of recordings begin with.
const PREFIX: &str = "observer-flight-";

/// What they end with.
const SUFFIX: &str = ".ndjson.zst";

/// Most recordings of one second.
const OF_A_SECOND: usize = 100;

/// How far ahead a clock may be before a file's time means nothing.
const AHEAD: Duration = Duration::from_secs(60);

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
        // Recordings hold addresses of clients, which are for nobody else to read.
        DirBuilder::new().recursive(true).mode(0o700).create(&path).with_context(sentence)?;
        let probe = path.join(format!(".{PREFIX}{}", process::id()));
        // One that was left there may be of a process with this number that was killed, or a link to a file of others.
        remove(&probe)
            .and_then(|()| new_file(&probe))
            .and_then(|_| remove(&probe))
            .with_context(sentence)?;
        Ok(Self { path, most })
    }

    /// Size at which a recording ends. Its last line may go beyond that, for which [`next`](Self::next) makes room.
    pub fn of_one(&self) -> u64 {
        self.most.saturating_mul(2) / 5
    }

    /// Makes room for another recording, half of all, so that the one before is not lost for it; and creates its file,
    /// which nobody had before. What cannot be removed is told to `warn`, and left there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read, there is no room, or no file can be created.
    pub fn next(&self, warn: impl Fn(String)) -> Result<(PathBuf, File)> {
        self.make_room(self.most / 2, warn)?;
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let now = now.replace(['-', ':'], "");
        for number in 0..OF_A_SECOND {
            let name = match number {
                0 => format!("{PREFIX}{now}{SUFFIX}"),
                _ => format!("{PREFIX}{now}-{number}{SUFFIX}"),
            };
            let path = self.path.join(name);
            match new_file(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be created", path.display()));
                }
            }
        }
        let name = self.path.display();
        bail!("there are {OF_A_SECOND} recordings of this second in {name}; wait for the next")
    }

    /// Removes the oldest recordings until all that are there and `more` fit.
    fn make_room(&self, more: u64, warn: impl Fn(String)) -> Result<()> {
        let mut all = self.all()?;
        let mut bytes = all.iter().fold(0_u64, |sum, (_, _, bytes)| sum.saturating_add(*bytes));
        all.sort();
        for (_, path, size) in all {
            if bytes.saturating_add(more) <= self.most {
                break;
            }
            match remove(&path) {
                Ok(()) => bytes = bytes.saturating_sub(size),
                Err(error) => warn(format!(
                    "observer: {} cannot be removed: {error}; the next oldest recording goes instead",
                    path.display()
                )),
            }
        }
        if bytes.saturating_add(more) > self.most {
            let name = self.path.display();
            bail!(
                "recordings in {name} that cannot be removed take {bytes} bytes, and leave no room; move them away, or \
                 choose a larger --flight-recorder-size"
            );
        }
        Ok(())
    }

    /// The recordings that are there: when each was written last, and its size.
    fn all(&self) -> Result<Vec<(SystemTime, PathBuf, u64)>> {
        let latest = SystemTime::now() + AHEAD;
        let mut all = Vec::new();
        let name = || format!("{} cannot be read", self.path.display());
        for entry in fs::read_dir(&self.path).with_context(name)? {
            let entry = entry.with_context(name)?;
            // A link's own: what it leads to is not ours.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && is_ours(&entry.path()) {
                // One of the future, of a clock that was wrong, would be the newest for years.
                let written = metadata.modified().ok().filter(|written| *written <= latest);
                let written = written.unwrap_or(SystemTime::UNIX_EPOCH);
                all.push((written, entry.path(), metadata.len()));
            }
        }
        Ok(all)
    }
}

/// Removes a file in which nothing could be written, if it still is the one of this name.
pub fn remove_empty(path: &Path, file: &File) {
    let is_same = || {
        let (own, there) = (file.metadata()?, fs::symlink_metadata(path)?);
        Ok::<_, io::Error>(own.len() == 0 && (own.dev(), own.ino()) == (there.dev(), there.ino()))
    };
    if is_same().unwrap_or(false) {
        // Whatever keeps it has said so when it was written.
        let _left = fs::remove_file(path);
    }
}

/// Creates a file that was not there, and that nobody else may read.
fn new_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Removes a name, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
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
mod tests;
