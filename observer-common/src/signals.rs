//! What becomes of an accept call that a signal ended.

/// [`crate::counters::TaskState::interrupted`]: the call ended with ERESTARTSYS. The kernel makes it again,
/// unseen by the program, unless a handler that was set without SA_RESTART runs first (`handle_signal`).
pub const MAY_RESTART: u32 = 1;
/// [`crate::counters::TaskState::interrupted`]: the call ended with EINTR, as it does where the socket has a time limit (`sock_intr_errno`). The
/// program gets it if it goes on.
pub const ERROR_GIVEN: u32 = 2;

/// `SIG_DFL` and `SIG_IGN` (uapi): what is no handler.
const NO_HANDLER: [u64; 2] = [0, 1];
/// `SA_RESTART` (uapi asm-generic, the same wherever BPF programs run today).
const RESTART: u64 = 0x1000_0000;

/// What a delivered signal says of the call that it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing yet: it stops or ends the task, or does nothing. Another may follow.
    Undecided,
    /// The program gets EINTR.
    Error,
    /// The kernel makes the call again.
    Restart,
}

/// What the delivery of a signal with this handler and these flags (`sigaction`) says of a call that was
/// interrupted in one of the two ways.
#[inline(always)]
#[must_use]
pub fn ending(interrupted: u32, handler: u64, flags: u64) -> Ending {
    if handler == NO_HANDLER[0] || handler == NO_HANDLER[1] {
        Ending::Undecided
    } else if interrupted == MAY_RESTART && flags & RESTART != 0 {
        Ending::Restart
    } else {
        Ending::Error
    }
}

#[cfg(test)]
mod tests {
    use super::{ERROR_GIVEN, Ending, MAY_RESTART, RESTART, ending};

    #[test]
    fn a_handler_without_sa_restart_gives_the_error() {
        let handler = 0x5555_0000_1234;
        assert_eq!(ending(MAY_RESTART, handler, 0), Ending::Error);
        assert_eq!(ending(MAY_RESTART, handler, !RESTART), Ending::Error);
        assert_eq!(ending(MAY_RESTART, handler, RESTART), Ending::Restart);
    }

    #[test]
    fn what_is_an_error_already_is_not_made_again() {
        assert_eq!(ending(ERROR_GIVEN, 0x5555_0000_1234, RESTART), Ending::Error);
    }

    #[test]
    fn without_a_handler_nothing_is_decided() {
        for interrupted in [MAY_RESTART, ERROR_GIVEN] {
            for handler in [0, 1] {
                assert_eq!(ending(interrupted, handler, 0), Ending::Undecided);
            }
        }
    }
}
