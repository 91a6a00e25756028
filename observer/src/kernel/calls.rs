//! The system calls in which a task can wait for a listener: what a wakeup out of any other is, is not known.
//!
//! 32-bit programs number theirs otherwise (`arch/x86/entry/syscalls/syscall_32.tbl`,
//! `arch/arm/tools/syscall.tbl`); these numbers are part of the kernel's interface and stay.

use std::{fs::File, io::Read as _};

use observer_common::calls::{SOCKETCALL_ACCEPTS, WaitCalls, kind};

/// io_pgetevents, which libc does not name on every target.
#[cfg(not(target_arch = "aarch64"))]
const SYS_IO_PGETEVENTS: i64 = 333;
/// io_pgetevents, which libc does not name on every target.
#[cfg(target_arch = "aarch64")]
const SYS_IO_PGETEVENTS: i64 = 292;

/// The calls of this architecture's programs. A poll that a signal interrupted goes on as restart_syscall.
const NATIVE: &[(i64, u8)] = &[
    (libc::SYS_accept, kind::ACCEPT),
    (libc::SYS_accept4, kind::ACCEPT),
    (libc::SYS_epoll_pwait, kind::EPOLL),
    (libc::SYS_epoll_pwait2, kind::EPOLL),
    (libc::SYS_io_getevents, kind::OTHER),
    (SYS_IO_PGETEVENTS, kind::OTHER),
    (libc::SYS_io_uring_enter, kind::RING),
    (libc::SYS_ppoll, kind::POLL),
    (libc::SYS_pselect6, kind::SELECT),
    (libc::SYS_restart_syscall, kind::OTHER),
    (libc::SYS_rt_sigsuspend, kind::OTHER),
    (libc::SYS_rt_sigtimedwait, kind::OTHER),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, kind::EPOLL),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pause, kind::OTHER),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, kind::POLL),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, kind::SELECT),
];

/// Those of 32-bit programs that both have.
const COMPAT: &[(i64, u8)] = &[
    // restart_syscall, pause, sigsuspend, _newselect, poll, rt_sigtimedwait, rt_sigsuspend
    (0, kind::OTHER),
    (29, kind::OTHER),
    (72, kind::OTHER),
    (142, kind::SELECT),
    (168, kind::POLL),
    (177, kind::OTHER),
    (179, kind::OTHER),
    // pselect6_time64, ppoll_time64, io_pgetevents_time64, rt_sigtimedwait_time64
    (413, kind::SELECT),
    (414, kind::POLL),
    (416, kind::OTHER),
    (421, kind::OTHER),
    // io_uring_enter, epoll_pwait2
    (426, kind::RING),
    (441, kind::EPOLL),
];

/// And those that each has alone.
#[cfg(not(target_arch = "aarch64"))]
const COMPAT_OWN: &[(i64, u8)] = &[
    // The older select, whose arguments are in memory, and socketcall.
    (82, kind::OTHER),
    (102, kind::SOCKETCALL),
    // io_getevents, epoll_wait, pselect6, ppoll, epoll_pwait, accept4, io_pgetevents
    (247, kind::OTHER),
    (256, kind::EPOLL),
    (308, kind::SELECT),
    (309, kind::POLL),
    (319, kind::EPOLL),
    (364, kind::ACCEPT),
    (385, kind::OTHER),
];
/// And those that each has alone.
#[cfg(target_arch = "aarch64")]
const COMPAT_OWN: &[(i64, u8)] = &[
    // io_getevents, epoll_wait, accept, pselect6, ppoll, epoll_pwait, accept4, io_pgetevents
    (245, kind::OTHER),
    (252, kind::EPOLL),
    (285, kind::ACCEPT),
    (335, kind::SELECT),
    (336, kind::POLL),
    (346, kind::EPOLL),
    (366, kind::ACCEPT),
    (399, kind::OTHER),
];

/// How a program numbers its system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// As this architecture does.
    Native,
    /// As 32-bit programs do.
    Compat,
}

impl Numbers {
    /// How a process numbers them, by the class of its executable (`EI_CLASS`).
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let mut start = [0; 5];
        let file = File::open(format!("/proc/{pid}/exe"));
        match file.and_then(|mut file| file.read_exact(&mut start)) {
            Ok(()) if start == *b"\x7fELF\x01" => Self::Compat,
            Ok(()) | Err(_) => Self::Native,
        }
    }

    /// All of these calls.
    #[must_use]
    pub fn table(self) -> WaitCalls {
        match self {
            Self::Native => WaitCalls::of(NATIVE),
            Self::Compat => WaitCalls::of(&[COMPAT, COMPAT_OWN].concat()),
        }
    }

    /// How a task waits that is in the call of this number and first argument; 0 where it is none of these.
    #[must_use]
    pub fn kind(self, number: i64, argument: u64) -> u8 {
        let calls = match self {
            Self::Native => [NATIVE, &[]],
            Self::Compat => [COMPAT, COMPAT_OWN],
        };
        let found = calls.into_iter().flatten().find(|(of, _)| *of == number);
        match found.map_or(0, |(_, kind)| *kind) {
            kind::SOCKETCALL if !SOCKETCALL_ACCEPTS.contains(&argument) => 0,
            kind => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use observer_common::calls::kind;

    use super::Numbers;

    #[test]
    fn the_same_number_is_another_call_of_another_program() {
        let kinds = |number, argument| {
            [Numbers::Native, Numbers::Compat].map(|of| of.kind(number, argument))
        };
        assert_eq!(kinds(libc::SYS_io_uring_enter, 0), [kind::RING, kind::RING]);
        assert_eq!(kinds(-1, 0), [0, 0]);
        #[cfg(target_arch = "x86_64")]
        {
            assert_eq!(kinds(libc::SYS_poll, 5), [kind::POLL, 0]);
            assert_eq!(kinds(168, 5), [0, kind::POLL]);
            assert_eq!(kinds(102, 5), [0, kind::SOCKETCALL]);
            assert_eq!(kinds(102, 1), [0, 0]);
        }
        for (numbers, number) in [(Numbers::Native, libc::SYS_ppoll), (Numbers::Compat, 168)] {
            let at = usize::try_from(number).expect("a small number");
            assert_eq!(numbers.table().kinds.get(at), Some(&kind::POLL));
        }
    }

    #[test]
    fn this_program_numbers_as_its_architecture() {
        assert_eq!(Numbers::of(std::process::id()), Numbers::Native);
    }
}
