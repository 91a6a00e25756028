//! System calls in which a task can wait for a listener, by number.

/// How a task waits that is in such a call; 0 stands for a call that is none.
pub mod kind {
    /// On an epoll instance.
    pub const EPOLL: u8 = 1;
    /// In poll.
    pub const POLL: u8 = 2;
    /// In select.
    pub const SELECT: u8 = 3;
    /// In accept.
    pub const ACCEPT: u8 = 4;
    /// On a ring of io_uring.
    pub const RING: u8 = 5;
    /// In a call that has no name in reports: for completions of AIO, for a signal, or in one that a signal
    /// interrupted and that goes on.
    pub const OTHER: u8 = 6;
    /// Of a 32-bit task: the call for everything about sockets, whose first argument says what.
    pub const SOCKETCALL: u8 = 7;
}

/// `SYS_ACCEPT` and `SYS_ACCEPT4` (uapi/linux/net.h), first arguments of [`kind::SOCKETCALL`].
pub const SOCKETCALL_ACCEPTS: [u64; 2] = [5, 18];

/// System call numbers below this have a place in [`WaitCalls`].
pub const CALLS: usize = 512;

/// The kind of each system call, handed to the kernel programs as a global.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitCalls {
    /// By number.
    pub kinds: [u8; CALLS],
}
crate::assert_layout!(WaitCalls, 512);

impl WaitCalls {
    /// Without any.
    pub const EMPTY: Self = Self { kinds: [0; CALLS] };

    /// These calls; numbers that are negative or do not fit are left out.
    #[must_use]
    pub fn of(calls: &[(i64, u8)]) -> Self {
        let mut table = Self::EMPTY;
        for (number, kind) in calls {
            if let Some(place) =
                usize::try_from(*number).ok().and_then(|at| table.kinds.get_mut(at))
            {
                *place = *kind;
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::{WaitCalls, kind};

    #[test]
    fn a_table_holds_what_was_put_in_and_nothing_else() {
        let calls = [(0, kind::POLL), (63, kind::EPOLL), (511, kind::ACCEPT)];
        let table = WaitCalls::of(&[&calls[..], &[(512, 9), (-1, 9), (100_000, 9)]].concat());
        for (number, kind) in table.kinds.iter().enumerate() {
            let expected = calls.iter().find(|(of, _)| usize::try_from(*of) == Ok(number));
            assert_eq!(*kind, expected.map_or(0, |(_, kind)| *kind), "{number}");
        }
    }
}
