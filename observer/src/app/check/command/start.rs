//! The command's first moment: forked, made its user's, and run.

use std::{
    ffi::OsString,
    io::{self, Read as _, Write as _},
    os::unix::process::{CommandExt as _, parent_id},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{self, Command},
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{SigSet, Signal},
    },
    unistd::{ForkResult, Pid, fork},
};

use super::user::Invoker;

/// Exit status of a child that panicked, as of any program in Rust: it must not look like a success.
const PANICKED: i32 = 101;

/// What is to be run, and as whom.
pub(super) struct Program {
    pub(super) words: Vec<OsString>,
    /// `None` for whoever observer runs as.
    pub(super) user: Option<Invoker>,
    /// Signals that observer was started with held back.
    pub(super) held_back: SigSet,
}

/// Starts it as a child of this process, which must have one thread. It dies with this process.
///
/// # Errors
///
/// Why it cannot be run.
pub(super) fn start(program: &Program) -> nix::Result<Pid> {
    let own = process::id();
    let (result, failed) = io::pipe().map_err(of_io)?;
    let (pid, mut result) = fork_with(result, failed, |mut failed| {
        let errno = run(program, own);
        let _gone = failed.write_all(&(errno as i32).to_ne_bytes());
    })?;
    let mut errno = [0; 4];
    match result.read_exact(&mut errno) {
        Ok(()) => Err(Errno::from_raw(i32::from_ne_bytes(errno))),
        // Closed by the program that runs now.
        Err(_) => Ok(pid),
    }
}

/// Becomes the program; what comes back is why not.
fn run(program: &Program, parent: u32) -> Errno {
    let Some((name, arguments)) = program.words.split_first() else { return Errno::ENOENT };
    let mut command = Command::new(name);
    command.args(arguments);
    if let Some(user) = &program.user {
        if let Err(errno) = user.become_it() {
            return errno;
        }
        command.envs(user.environment());
    }
    // A change of the user would undo it.
    if let Err(errno) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return errno;
    }
    // It may have died before.
    if parent_id() != parent {
        return Errno::ESRCH;
    }
    if let Err(errno) = program.held_back.thread_set_mask() {
        return errno;
    }
    // That lets a closed pipe end it, which Rust had changed for this program.
    of_io(command.exec())
}

fn of_io(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EINVAL))
}

/// Runs something in a child, which ends then, with 0 unless it panicked: of what each of both has copies of after a fork, `ours` stays with this
/// process alone and `theirs` with the child. This process must have one thread.
pub(super) fn fork_with<Ours, Theirs>(
    ours: Ours,
    theirs: Theirs,
    what: impl FnOnce(Theirs),
) -> nix::Result<(Pid, Ours)> {
    // SAFETY: there is one thread, as the caller promises, so that the child can do what any process can.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok((child, ours)),
        ForkResult::Child => {
            drop(ours);
            // What is on this stack above belongs to the parent.
            let done = catch_unwind(AssertUnwindSafe(|| what(theirs)));
            let status = if done.is_ok() { 0 } else { PANICKED };
            // SAFETY: it ends the process, and leaves what is buffered and registered to the parent.
            unsafe { libc::_exit(status) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use nix::sys::wait::{WaitStatus, waitpid};

    use super::*;

    #[test]
    fn a_child_that_panicked_is_no_success() {
        // Other tests have threads here: the child takes no lock, which the words of a panic would.
        for (panics, status) in [(false, 0), (true, PANICKED)] {
            let child = |()| {
                if panics {
                    resume_unwind(Box::new(()))
                }
            };
            let (pid, ()) = fork_with((), (), child).expect("a process");
            assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, status)));
        }
    }
}
