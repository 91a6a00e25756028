//! Where a recording is read from, as often as it takes.

use std::{
    fs::{self, File},
    io::{self, Seek as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use observer::{error::Failure, recording::Reader};

use crate::app::same_file::is_same;

/// Name of standard input in what is said.
const STDIN: &str = "standard input";

/// Recording that can be read.
#[derive(Debug)]
pub enum Source {
    /// A file, by its name; `-` is standard input, which can be read once.
    Named(PathBuf),
    /// What came on standard input, in a file that has no name.
    Kept(File),
}

impl Source {
    /// What this name names.
    pub fn new(path: &Path) -> Self {
        Self::Named(path.to_owned())
    }

    /// Recording of this name that can be read several times: what comes on standard input is kept in the directory for
    /// temporary files until this program ends.
    ///
    /// # Errors
    ///
    /// When it cannot be kept.
    pub fn repeatable(path: &Path) -> Result<Self> {
        if path != Path::new("-") {
            return Ok(Self::new(path));
        }
        let kept = || {
            let mut file = tempfile::tempfile()?;
            io::copy(&mut io::stdin().lock(), &mut file)?;
            Ok(file)
        };
        let cannot = |error: io::Error| {
            let sentence = format!(
                "cannot keep what comes on standard input in {}, of which a page takes two readings: {error}; give the \
                 recording as a file, or another directory by TMPDIR",
                std::env::temp_dir().display()
            );
            anyhow::Error::new(error).context(Failure::failed(sentence))
        };
        kept().map(Self::Kept).map_err(cannot)
    }

    /// Begins to read it.
    ///
    /// # Errors
    ///
    /// See [`Reader`].
    pub fn open(&self) -> Result<Reader> {
        match self {
            Self::Named(path) => Reader::open(path),
            Self::Kept(file) => {
                let mut file = file.try_clone().context("there are no more descriptors")?;
                file.rewind().context("cannot read standard input again")?;
                Reader::new(STDIN, file)
            }
        }
    }

    /// Name in what is said.
    pub fn name(&self) -> String {
        match self {
            Self::Named(path) if path != Path::new("-") => path.display().to_string(),
            Self::Named(_) | Self::Kept(_) => STDIN.to_owned(),
        }
    }
}

/// Refuses a file to write to that is one of those that are read.
///
/// # Errors
///
/// A [`Failure`] that names it.
pub fn refuse_own_input<'a>(
    output: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<()> {
    let Ok(data) = fs::metadata(output) else { return Ok(()) };
    // What is no regular file is not opened to be looked at: it may wait for somebody.
    let of = |input: &Path| {
        if input == Path::new("-") {
            File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata()
        } else {
            fs::metadata(input)
        }
    };
    if inputs.into_iter().any(|input| of(input).is_ok_and(|input| is_same(&input, &data))) {
        let sentence =
            format!("{} is the recording itself; give --output another file", output.display());
        return Err(Failure::usage(sentence).into());
    }
    Ok(())
}
