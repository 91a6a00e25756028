//! Files of a recording: names of its parts, and what is not overwritten.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::options::Options;
use crate::error::Failure;

/// File that is written, and the parts before it.
pub(super) struct Files {
    pub(super) path: PathBuf,
    keep: Option<usize>,
    overwrite: bool,
    /// Parts that were filled, the oldest first.
    earlier: VecDeque<PathBuf>,
    /// Number of the part that is written, from 1.
    pub(super) part: u64,
    /// Number of parts that were removed.
    pub(super) removed: u64,
}

impl Files {
    pub(super) fn new(path: &Path, options: &Options) -> Result<Self> {
        if options.max_size.is_some() && !options.overwrite {
            refuse_parts(path)?;
        }
        Ok(Self {
            path: path.to_owned(),
            keep: options.keep,
            overwrite: options.overwrite,
            earlier: VecDeque::new(),
            part: 1,
            removed: 0,
        })
    }

    /// Creates the file. What exists is refused, or else emptied; what is no regular file is opened as it is.
    pub(super) fn create(&self) -> Result<File> {
        let name = self.path.display();
        let mut options = OpenOptions::new();
        options.write(true);
        match fs::metadata(&self.path) {
            // A device or a pipe has nothing to lose.
            Ok(data) if !data.is_file() && !data.is_dir() => {}
            // An empty file may have been made by mktemp.
            Ok(data) if self.overwrite || (data.is_file() && data.len() == 0) => {
                options.truncate(true);
            }
            _ => {
                options.create_new(true);
            }
        }
        options.open(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.path),
            io::ErrorKind::NotFound => {
                let sentence = format!(
                    "cannot create {name}: there is no such directory; make it, or choose another"
                );
                anyhow::Error::new(error).context(Failure::failed(sentence))
            }
            _ => {
                let sentence = format!("cannot create {name}: {error}; choose another file");
                anyhow::Error::new(error).context(Failure::failed(sentence))
            }
        })
    }

    /// Gives the file that is full the name of a part, removes the oldest where there are too many, and creates
    /// the next.
    pub(super) fn rotate(&mut self) -> Result<File> {
        let full = part_name(&self.path, self.part);
        match fs::rename(&self.path, &full) {
            Ok(()) => self.earlier.push_back(full),
            // Somebody took it away: it is theirs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let sentence = format!(
                    "cannot rename {} to {}: {error}; what was recorded so far is in the first",
                    self.path.display(),
                    full.display()
                );
                return Err(anyhow::Error::new(error).context(Failure::failed(sentence)));
            }
        }
        self.part += 1;
        while self.keep.is_some_and(|keep| self.earlier.len() + 1 > keep) {
            let Some(oldest) = self.earlier.pop_front() else { break };
            match fs::remove_file(&oldest) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let sentence = format!("cannot remove {}, the oldest part", oldest.display());
                    return Err(error).context(Failure::failed(sentence));
                }
                _ => self.removed += 1,
            }
        }
        self.create()
    }

    /// Parts that are there, the oldest first; the file that is written last is not among them.
    pub(super) fn earlier(&self) -> impl Iterator<Item = &PathBuf> {
        self.earlier.iter()
    }
}

/// Refuses what holds something already.
///
/// # Errors
///
/// A [`Failure`] that names the file.
pub(super) fn refuse_existing(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(data) if data.is_file() && data.len() > 0 => Err(exists(path)),
        _ => Ok(()),
    }
}

/// Refuses where a part of an earlier recording of this name is left: its turn to be replaced may come hours later.
fn refuse_parts(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // A directory that cannot be read says so when the file is created.
    let Ok(names) = fs::read_dir(parent.unwrap_or(Path::new("."))) else { return Ok(()) };
    let is_part = |name: &OsStr| {
        let digits = name.as_bytes().split(|byte| *byte == b'.').filter_map(|word| {
            std::str::from_utf8(word).ok().filter(|word| word.len() >= 4)?.parse::<u64>().ok()
        });
        digits.into_iter().any(|part| part_name(path, part).file_name() == Some(name))
    };
    let left = names.flatten().map(|entry| entry.file_name()).find(|name| is_part(name));
    left.map_or(Ok(()), |name| refuse_existing(&path.with_file_name(name)))
}

fn exists(path: &Path) -> anyhow::Error {
    let name = path.display();
    Failure::failed(format!("{name} exists and is kept; choose another name, or --overwrite it"))
        .into()
}

/// Whether a file of this name is compressed.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("zst"))
}

/// Name of a part that is full: `a.ndjson.zst` becomes `a.0001.ndjson.zst`, so that the parts sort in their order.
fn part_name(path: &Path, part: u64) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let plain = name.strip_suffix(b".zst").unwrap_or(name);
    let stem = plain.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0);
    let (stem, rest) = name.split_at(stem.unwrap_or(plain.len()));
    let mut full = stem.to_vec();
    full.extend(format!(".{part:04}").bytes());
    full.extend(rest);
    path.with_file_name(OsString::from_vec(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_left_are_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.ndjson");
        let options = Options { max_size: Some(1), ..Options::default() };
        let opens = || Files::new(&path, &options).map(drop).map_err(|error| error.to_string());
        for other in ["a.06.ndjson", "b.0006.ndjson", "a.0006.json", "a.x006.ndjson"] {
            fs::write(directory.path().join(other), "x").expect("written");
        }
        assert_eq!(opens(), Ok(()));
        fs::write(directory.path().join("a.0006.ndjson"), "x").expect("written");
        assert!(opens().is_err_and(|error| error.contains("a.0006.ndjson exists and is kept")));
        let options = Options { overwrite: true, ..options };
        assert!(Files::new(&path, &options).is_ok());
    }

    #[test]
    fn parts_keep_their_suffixes() {
        for (name, part) in [
            ("/a/b.ndjson", "/a/b.0007.ndjson"),
            ("b.ndjson.zst", "b.0007.ndjson.zst"),
            ("b.c.json", "b.c.0007.json"),
            ("b", "b.0007"),
            ("b.zst", "b.0007.zst"),
            (".hidden", ".hidden.0007"),
        ] {
            assert_eq!(part_name(Path::new(name), 7), Path::new(part), "{name}");
        }
    }

    #[test]
    fn compression_is_by_the_name() {
        assert!(is_compressed(Path::new("a.ndjson.zst")) && is_compressed(Path::new("a.zst")));
        assert!(!is_compressed(Path::new("a.zst.ndjson")) && !is_compressed(Path::new("zst")));
    }
}
