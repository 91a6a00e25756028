//! Keeping package installation from starting services.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process,
};

use anyhow::{Context as _, Result};

/// Debian asks this script before it starts a service; 101 means no (`man invoke-rc.d`).
const POLICY: &str = "/usr/sbin/policy-rc.d";
const MARK: &str = "# Written by observer's `cargo xtask` while it installs packages.";

/// While it lives, installed packages start no services. A policy that is already there is the
/// administrator's and stays as it is.
#[derive(Debug)]
pub(crate) struct Services {
    ours: bool,
}

impl Services {
    /// Writes the policy, if there is none.
    pub(crate) fn hold() -> Result<Self> {
        let policy = Path::new(POLICY);
        if fs::read_to_string(policy).is_ok_and(|text| text.contains(MARK)) {
            // Left behind by one of us that was killed.
            fs::remove_file(policy).with_context(|| format!("{POLICY} could not be removed"))?;
        }
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(policy) {
            Ok(mut file) => {
                file.write_all(script(process::id()).as_bytes())
                    .with_context(|| format!("{POLICY} could not be written"))?;
                Ok(Self { ours: true })
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error).with_context(|| format!("{POLICY} could not be made")),
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("setup: remove {POLICY} by hand: {error}");
        }
    }
}

/// The policy ends with the process that wrote it, so that one left behind by a kill is harmless.
fn script(pid: u32) -> String {
    format!("#!/bin/sh\n{MARK}\n[ -d /proc/{pid} ] && exit 101\nexit 0\n")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_policy_ends_with_its_writer() {
        let answer = |pid| {
            let status = Command::new("sh").args(["-c", &script(pid)]).status();
            status.expect("sh runs").code()
        };
        assert_eq!(answer(process::id()), Some(101));
        assert_eq!(answer(u32::MAX), Some(0), "no process has this id");
    }
}
