//! How often a task slept for a lock of the kernel: a counter of perf's on the tracepoint sched:sched_switch.
//!
//! Workers that share an epoll instance may sleep within their wait call for that instance's mutex (`ep_send_events`),
//! which the count of voluntary switches does not tell from the sleep that a connection ends. The first is
//! TASK_UNINTERRUPTIBLE, the second is not. Before Linux 5.18 the tracepoint reads the task's state when the wakeup may have
//! changed it already: a sleep that ends at once may be missed.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::fd::{AsRawFd as _, FromRawFd as _},
};

/// The tracepoint's number, where tracefs is mounted or reached by debugfs.
const NUMBERS: [&str; 2] = [
    "/sys/kernel/tracing/events/sched/sched_switch/id",
    "/sys/kernel/debug/tracing/events/sched/sched_switch/id",
];

/// Sleeps that only a wakeup ends (TASK_UNINTERRUPTIBLE), also those that SIGKILL ends.
const UNINTERRUPTIBLE: &std::ffi::CStr = c"prev_state == 2";

/// Constants of include/uapi/linux/perf_event.h: a tracepoint, the flag that closes the descriptor in another program, and
/// the request for a filter (`_IOW('$', 6, char *)`).
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_SET_FILTER: libc::c_ulong = 0x4008_2406;

/// `struct perf_event_attr` of the first version, as far as it is more than zeroes.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    rest: [u64; 6],
}
const _: () = assert!(size_of::<Attributes>() == 64);

/// The counter of one task.
pub(super) struct Blocked(File);

impl Blocked {
    /// Counters of these tasks.
    ///
    /// # Errors
    ///
    /// When there is no tracefs, perf may not be used, or there are too few descriptors for all.
    pub(super) fn of_tasks(tids: impl Iterator<Item = u32>) -> io::Result<Vec<Self>> {
        let number = NUMBERS.iter().find_map(|path| fs::read_to_string(path).ok());
        let number = number.and_then(|number| number.trim().parse().ok());
        let number = number.ok_or(io::ErrorKind::NotFound)?;
        tids.map(|tid| Self::of_task(tid, number)).collect()
    }

    /// Counts from now on; what it begins with means nothing, because the filter comes a moment later.
    fn of_task(tid: u32, tracepoint: u64) -> io::Result<Self> {
        let attributes = Attributes {
            kind: PERF_TYPE_TRACEPOINT,
            size: u32::try_from(size_of::<Attributes>()).map_err(io::Error::other)?,
            config: tracepoint,
            rest: [0; 6],
        };
        let tid = libc::pid_t::try_from(tid).map_err(io::Error::other)?;
        // On whatever CPU it runs, and in no group.
        let (cpu, group): (libc::c_int, libc::c_int) = (-1, -1);
        // SAFETY: the attributes are of the size that they say, and live until after the call.
        let descriptor = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                tid,
                cpu,
                group,
                PERF_FLAG_FD_CLOEXEC,
            )
        };
        let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else owns it.
        let counter = unsafe { File::from_raw_fd(descriptor) };
        // SAFETY: the filter is a string that ends with zero, which the kernel copies.
        let set = unsafe {
            libc::ioctl(counter.as_raw_fd(), PERF_EVENT_IOC_SET_FILTER, UNINTERRUPTIBLE.as_ptr())
        };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(counter))
    }

    /// How often it slept so, beside what it began with.
    pub(super) fn count(&self) -> io::Result<u64> {
        let mut count = [0; size_of::<u64>()];
        (&self.0).read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::ErrorKind::{PermissionDenied, Unsupported},
        process::Command,
        thread,
        time::Duration,
    };

    use super::{Blocked, NUMBERS};

    /// Sleeps that a signal could end are not for a lock.
    #[test]
    fn a_task_that_only_waits_slept_for_no_lock() {
        let tid = nix::unistd::gettid().as_raw().cast_unsigned();
        let is_there = NUMBERS.iter().any(|path| fs::read_to_string(path).is_ok());
        let blocked = match Blocked::of_tasks([tid].into_iter()) {
            Ok(mut all) => all.remove(0),
            Err(error) => {
                let kind = error.kind();
                let is_refused = kind == PermissionDenied || kind == Unsupported;
                assert!(!is_there || is_refused, "there is a tracefs: {error}");
                return;
            }
        };
        let before = blocked.count().expect("a count");
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(1));
        }
        let after = blocked.count().expect("a count");
        // It may have slept for memory, and not each time.
        assert!(after - before < 20, "{before} and {after}");
    }

    /// Whoever starts a program by vfork waits until it has begun, killable and not interruptible.
    #[test]
    fn a_task_that_waits_for_its_child_to_begin_is_blocked() {
        let tid = nix::unistd::gettid().as_raw().cast_unsigned();
        let Ok(mut all) = Blocked::of_tasks([tid].into_iter()) else { return };
        let blocked = all.remove(0);
        let before = blocked.count().expect("a count");
        // One that loses its CPU meanwhile does not have to wait.
        let is_counted = (0..200).any(|_| {
            Command::new("true").status().expect("true");
            blocked.count().expect("a count") > before
        });
        assert!(is_counted);
    }
}
