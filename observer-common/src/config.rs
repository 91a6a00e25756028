//! The knobs that userspace turns before and after loading, by name.

/// Bit of the process and thread ids of tasks that have none in the PID namespace that /proc shows: the
/// rest is their number in the initial one. No number is as great (`PID_MAX_LIMIT`).
pub const OUTSIDE: u32 = 1 << 31;

/// Whether this is the id of such a task, or of its process.
#[must_use]
pub const fn is_outside(id: u32) -> bool {
    id & OUTSIDE != 0
}

/// Slots for tasks that are found by their thread id without hashing; a power of two, so that a
/// thread id is reduced by a mask.
pub const TASK_SLOT_COUNT: u32 = 4096;

/// Slots for the socks of listeners that are found without hashing; a power of two.
pub const SOCK_SLOT_COUNT: u32 = 256;

/// Index of the only entry of the control map.
pub const CONTROL_INDEX: u32 = 0;

/// What userspace tells the kernel programs while they run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// 1 while the window is open; 0 before every program is attached, and once it has closed.
    pub open: u32,
    /// Number of the interval: what is the greatest of an interval starts anew with each.
    pub interval: u32,
    /// What the tracepoints `sk_data_ready` and `inet_sock_set_state` are there for: [`READY_QUEUES`],
    /// [`READY_WAKES`] and [`STATE_LIFE`].
    pub ready: u32,
    /// 1 when accept calls were under way as the window opened.
    pub in_flight: u32,
    /// 1 when the end of a scan of an epoll instance's ready list will be seen.
    pub scan_ends: u32,
}
crate::assert_layout!(Control, 20);

impl Control {
    /// Before every program is attached.
    pub const CLOSED: Self = Self { open: 0, interval: 0, ready: 0, in_flight: 0, scan_ends: 0 };
}

/// `sk_data_ready` counts connections queued.
pub const READY_QUEUES: u32 = 1;
/// `sk_data_ready` opens the bracket of a notification.
pub const READY_WAKES: u32 = 2;
/// `inet_sock_set_state` tells births and deaths of listeners, and the ends of other socks.
pub const STATE_LIFE: u32 = 4;

/// 64-bit words of a bitmap of ports.
pub const PORT_WORDS: usize = 65_536 / 64;

/// A set of local ports, handed to the kernel programs as a global.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSet {
    /// Bit `n % 64` of word `n / 64` stands for port `n`.
    pub words: [u64; PORT_WORDS],
}
crate::assert_layout!(PortSet, 8192);

impl PortSet {
    /// The empty set.
    pub const EMPTY: Self = Self { words: [0; PORT_WORDS] };

    /// The set of `ports`.
    #[must_use]
    pub fn of(ports: &[u16]) -> Self {
        let mut set = Self::EMPTY;
        for port in ports {
            set.words[usize::from(*port / 64)] |= 1 << (port % 64);
        }
        set
    }

    /// Whether `port` is in the set.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.words[usize::from(port / 64)] >> (port % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::PortSet;

    #[test]
    fn a_set_of_ports_holds_what_was_put_in_and_nothing_else() {
        let held = [1, 63, 64, 8080, 65_535];
        let set = PortSet::of(&held);
        for port in 0..=u16::MAX {
            assert_eq!(set.contains(port), held.contains(&port), "{port}");
        }
    }
}
