//! Who types the commands, and with which toolchain.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::process;

/// Who types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Root,
    /// One who has no sudo.
    User,
}

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
        }
    }

    /// The home directory, without the slash that it begins with.
    pub(super) fn home(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "home/user",
        }
    }
}

/// The toolchain that runs us: its directory, and rustup's name for it, which says to rustup what it is.
pub(super) fn toolchain() -> Result<(PathBuf, String)> {
    let sysroot = process::ask(Command::new("rustc").args(["--print", "sysroot"]));
    let place = sysroot.map(PathBuf::from).filter(|place| place.join("bin/cargo").is_file());
    let name = place.as_ref().and_then(|place| Some(place.file_name()?.to_str()?.to_owned()));
    place.zip(name).context("the toolchain that runs this is not rustup's")
}
