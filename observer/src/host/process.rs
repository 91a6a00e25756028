//! A process that somebody named: the one check that it is there.

use std::{io, os::fd::OwnedFd};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::Failure;

/// A descriptor that becomes readable when the process ends.
///
/// # Errors
///
/// A [`Failure`] when there is no such process, or the id is that of a thread.
pub fn open(pid: u32) -> Result<OwnedFd> {
    let gone =
        || Failure::failed(format!("there is no process {pid}; look it up with pgrep or ss -ltnp"));
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(descriptor) => Ok(descriptor),
        Err(rustix::io::Errno::SRCH) => Err(gone().into()),
        // A thread's id is no process's, and pidfd_open says so.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Err(Failure::failed(format!(
            "{pid} is the id of a thread, not of a process; give the process's id"
        ))
        .into()),
        Err(error) => {
            Err(io::Error::from(error)).with_context(|| format!("cannot watch process {pid}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::open;

    #[test]
    fn one_that_is_there_can_be_watched_and_another_is_an_error_that_says_so() {
        assert!(open(std::process::id()).is_ok());
        for pid in [0, i32::MAX.cast_unsigned(), u32::MAX] {
            let error = open(pid).expect_err("no such process");
            assert!(
                error.to_string().starts_with(&format!("there is no process {pid};")),
                "{error}"
            );
        }
    }
}
