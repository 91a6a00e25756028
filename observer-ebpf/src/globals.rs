//! Constants that userspace finds out and writes before loading, among them the offsets of kernel fields.

use core::ptr;

use aya_ebpf::Global;
use observer_common::{
    calls::{CALLS, WaitCalls},
    config::{PORT_WORDS, PortSet},
    kernel_fields,
};

macro_rules! globals {
    ($($name:ident: $container:expr, $path:expr;)*) => {
        $(
            #[doc = concat!("Offset of `", $container, ".", stringify!($name), "`, set at load.")]
            #[unsafe(no_mangle)]
            pub(crate) static $name: Global<u32> = Global::new(u32::MAX);
        )*
    };
}
kernel_fields!(globals);

/// `TCP_LISTEN`, set at load.
#[unsafe(no_mangle)]
pub(crate) static STATE_LISTEN: Global<u32> = Global::new(u32::MAX);
/// `TCP_CLOSE`, set at load.
#[unsafe(no_mangle)]
pub(crate) static STATE_CLOSE: Global<u32> = Global::new(u32::MAX);
/// `TCP_SYN_RECV`, set at load.
#[unsafe(no_mangle)]
pub(crate) static STATE_SYN_RECV: Global<u32> = Global::new(u32::MAX);
/// `TCP_ESTABLISHED`, set at load.
#[unsafe(no_mangle)]
pub(crate) static STATE_ESTABLISHED: Global<u32> = Global::new(u32::MAX);
/// `LINUX_MIB_TCPREQQFULLDOCOOKIES`, set at load.
#[unsafe(no_mangle)]
pub(crate) static MIB_FULL_COOKIES: Global<u32> = Global::new(u32::MAX);
/// `LINUX_MIB_TCPREQQFULLDROP`, set at load.
#[unsafe(no_mangle)]
pub(crate) static MIB_FULL_DROPS: Global<u32> = Global::new(u32::MAX);
/// `SKB_DROP_REASON_TCP_LISTEN_OVERFLOW`, set at load; its greatest value where there is none.
#[unsafe(no_mangle)]
pub(crate) static DROP_LISTEN_OVERFLOW: Global<u32> = Global::new(u32::MAX);
/// Offset of `sock.__sk_common.skc_v6_rcv_saddr`, set at load; its greatest value where there is none.
#[unsafe(no_mangle)]
pub(crate) static SOCK_ADDRESS6: Global<u32> = Global::new(u32::MAX);
/// Offset of `sock.__sk_common.skc_v6_daddr`, set at load; its greatest value where there is none.
#[unsafe(no_mangle)]
pub(crate) static SOCK_PEER6: Global<u32> = Global::new(u32::MAX);
/// Offset of `net.net_cookie`, set at load; its greatest value where there is none.
#[unsafe(no_mangle)]
pub(crate) static NET_COOKIE: Global<u32> = Global::new(u32::MAX);
/// Offset of what says that a task's system calls are numbered as those of 32-bit programs, set at load; its
/// greatest value where there is none.
#[unsafe(no_mangle)]
pub(crate) static TASK_COMPAT: Global<u32> = Global::new(u32::MAX);
/// What is set there then, set at load.
#[unsafe(no_mangle)]
pub(crate) static TASK_COMPAT_MASK: Global<u32> = Global::new(0);

macro_rules! optional {
    ($($name:ident)*) => {
        $(
            /// The offset or value of this name, set at load; its greatest value where there is none.
            #[unsafe(no_mangle)]
            pub(crate) static $name: Global<u32> = Global::new(u32::MAX);
        )*
    };
}
optional!(
    PREEMPT_RT TASK_STATE TASK_STATE_OLD TASK_BLOCKED_ON TASK_DELAYED EPOLL_OWNER EPOLL_OVERFLOW RING_FILE RING_RESULT RING_OPCODE RING_FLAGS RING_OWNER
    RING_DATA RING_DESCRIPTOR RING_SLOT CQE_DATA CQE_RESULT RING_ACCEPT RING_MULTISHOT_BIT
);

macro_rules! argument_counts {
    ($($name:ident)*) => {
        $(
            /// How many arguments the function of this name has, set at load.
            #[unsafe(no_mangle)]
            pub(crate) static $name: Global<u32> = Global::new(u32::MAX);
        )*
    };
}
argument_counts!(
    ARGS_INET_CSK_ACCEPT ARGS_SYS_ACCEPT4 ARGS_IO_ACCEPT ARGS_SYN_RECV_V4 ARGS_SYN_RECV_V6 ARGS_REQUEST_ALLOC
    ARGS_CREATE_CHILD ARGS_ROUTE_V6 ARGS_LISTEN_START ARGS_RING_COMPLETE ARGS_PEER_PROVEN
);

/// 1 when the kernel has the helper `bpf_task_pt_regs` (Linux 5.15), set at load.
#[unsafe(no_mangle)]
pub(crate) static HAS_TASK_REGISTERS: Global<u8> = Global::new(0);

/// Inode number of the PID namespace whose numbers /proc shows, set at load; 0 for the initial one.
#[unsafe(no_mangle)]
pub(crate) static PID_NAMESPACE: Global<u32> = Global::new(0);
/// Size of `struct upid`, set at load.
#[unsafe(no_mangle)]
pub(crate) static NUMBER_SIZE: Global<u32> = Global::new(0);

/// Byte of `sock_common` that `skc_reuseport` is a bit of, set at load.
#[unsafe(no_mangle)]
pub(crate) static REUSEPORT_BYTE: Global<u32> = Global::new(u32::MAX);
/// That bit, as a mask.
#[unsafe(no_mangle)]
pub(crate) static REUSEPORT_MASK: Global<u32> = Global::new(0);
/// Number of the accept system call, set at load.
#[unsafe(no_mangle)]
pub(crate) static SYSCALL_ACCEPT: Global<u64> = Global::new(u64::MAX);
/// Number of the accept4 system call, set at load.
#[unsafe(no_mangle)]
pub(crate) static SYSCALL_ACCEPT4: Global<u64> = Global::new(u64::MAX);
/// Number of the exit system call, set at load.
#[unsafe(no_mangle)]
pub(crate) static SYSCALL_EXIT: Global<u64> = Global::new(u64::MAX);
/// Number of the exit_group system call, set at load.
#[unsafe(no_mangle)]
pub(crate) static SYSCALL_EXIT_GROUP: Global<u64> = Global::new(u64::MAX);
/// Number of the listen system call, set at load.
#[unsafe(no_mangle)]
pub(crate) static SYSCALL_LISTEN: Global<u64> = Global::new(u64::MAX);
/// System calls in which a task can wait for a listener, set at load.
#[unsafe(no_mangle)]
pub(crate) static WAIT_CALLS: Global<WaitCalls> = Global::new(WaitCalls::EMPTY);
/// System calls in which a task can wait for a listener, as 32-bit programs number them, set at load.
#[unsafe(no_mangle)]
pub(crate) static COMPAT_WAIT_CALLS: Global<WaitCalls> = Global::new(WaitCalls::EMPTY);

/// The kinds of events that somebody reads, by [`observer_common::event::EventKind::bit`], set at load; no
/// other is sent.
#[unsafe(no_mangle)]
pub(crate) static EVENT_KINDS: Global<u32> = Global::new(0);

/// Whether events of some listeners only are read, set at load: [`observer_common::event::MUTES_SOME`] or
/// [`observer_common::event::MUTES_STRANGERS`]. Those of [`crate::maps::MUTED`] are not sent.
#[unsafe(no_mangle)]
pub(crate) static MUTES: Global<u8> = Global::new(0);

/// 1 when somebody asks what wakeups in vain cost, set at load.
#[unsafe(no_mangle)]
pub(crate) static COST_ASKED: Global<u8> = Global::new(0);

/// 1 when only listeners on some ports are asked for, set at load.
#[unsafe(no_mangle)]
pub(crate) static PORTS_GIVEN: Global<u8> = Global::new(0);
/// The ports that are asked for, set at load.
#[unsafe(no_mangle)]
pub(crate) static PORTS: Global<PortSet> = Global::new(PortSet::EMPTY);

/// AF_INET (uapi, the same on every architecture).
pub(crate) const AF_INET: u16 = 2;
/// AF_INET6 (uapi, the same on every architecture).
pub(crate) const AF_INET6: u16 = 10;
/// Whether a socket of this family has IPv6 addresses. Without IPv6 in the kernel there are none, and the
/// verifier does not let an offset pass that no field has.
#[inline(always)]
pub(crate) fn has_address6(family: u16) -> bool {
    SOCK_ADDRESS6.load() != u32::MAX && SOCK_PEER6.load() != u32::MAX && family == AF_INET6
}

/// The kind of a system call by one of the tables; 0 where it is not in it.
#[inline(always)]
pub(crate) fn kind_of(calls: &Global<WaitCalls>, number: u32) -> u8 {
    if number >= CALLS as u32 {
        return 0;
    }
    let place = number as usize & (CALLS - 1);
    // SAFETY: `place` is within the table; volatile, because userspace patches the value at load.
    unsafe { ptr::read_volatile(ptr::from_ref(calls).cast::<u8>().add(place)) }
}

/// Whether listeners on a port are asked for.
#[inline(always)]
pub(crate) fn wants_port(port: u16) -> bool {
    let word = usize::from(port / 64) & (PORT_WORDS - 1);
    // SAFETY: `word` is within the set; volatile, because userspace patches the value at load.
    let bits = unsafe { ptr::read_volatile(ptr::from_ref(&PORTS).cast::<u64>().add(word)) };
    bits >> (port % 64) & 1 == 1
}
