//! Every kernel field that is read, in one table.
//!
//! The table names fields; the numbers come from the running kernel's BTF when observer starts, and
//! reach the kernel programs as globals of the same name. Offsets move even inside a stable series,
//! so none is written down anywhere.

/// Calls `$callback!` with the table: a global's name, the struct, and the path of the field in it.
#[macro_export]
macro_rules! kernel_fields {
    ($callback:ident) => {
        $callback! {
            SOCK_STATE: "sock", "__sk_common.skc_state";
            SOCK_FAMILY: "sock", "__sk_common.skc_family";
            SOCK_PORT: "sock", "__sk_common.skc_num";
            SOCK_SOURCE_PORT: "inet_sock", "inet_sport";
            SOCK_ADDRESS4: "sock", "__sk_common.skc_rcv_saddr";
            SOCK_PEER4: "sock", "__sk_common.skc_daddr";
            SOCK_PEER_PORT: "sock", "__sk_common.skc_dport";
            SOCK_NET: "sock", "__sk_common.skc_net.net";
            SOCK_COOKIE: "sock", "__sk_common.skc_cookie.counter";
            SOCK_SOCKET: "sock", "sk_socket";
            SOCK_PROTOCOL: "sock", "sk_protocol";
            SOCK_BACKLOG: "sock", "sk_ack_backlog";
            SOCK_BACKLOG_LIMIT: "sock", "sk_max_ack_backlog";
            SOCK_DROPS: "sock", "sk_drops.counter";
            SOCK_SHUTDOWN: "sock", "sk_shutdown";
            CSK_SYN_QUEUE: "inet_connection_sock", "icsk_accept_queue.qlen.counter";
            REQUEST_LISTENER: "request_sock", "__req_common.skc_listener";
            REQUEST_SEQUENCE: "tcp_request_sock", "snt_isn";
            PACKET_HEAD: "sk_buff", "head";
            PACKET_NETWORK: "sk_buff", "network_header";
            PACKET_TRANSPORT: "sk_buff", "transport_header";
            SOCKET_SOCK: "socket", "sk";
            // From the start of the socket, which is the first member (checked at start).
            SOCKET_INODE: "socket_alloc", "vfs_inode.i_ino";
            NET_INODE: "net", "ns.inum";
            // What stands for the TcpExt counters of all CPUs, and where they are in those of one.
            NET_COUNTERS: "net", "mib.net_statistics";
            MIB_COUNTERS: "linux_mib", "mibs";
            // What stands for the values of all CPUs of a per-CPU array.
            ARRAY_COPIES: "bpf_array", "pptrs";
            TASK_TID: "task_struct", "pid";
            TASK_PID: "task_struct", "tgid";
            TASK_MM: "task_struct", "mm";
            TASK_COMM: "task_struct", "comm";
            TASK_FILES: "task_struct", "files";
            TASK_ON_QUEUE: "task_struct", "on_rq";
            TASK_SLEPT: "task_struct", "nvcsw";
            TASK_SIGNAL: "task_struct", "signal";
            SIGNAL_LIVE: "signal_struct", "live.counter";
            TASK_LEADER: "task_struct", "group_leader";
            TASK_NUMBERS: "task_struct", "thread_pid";
            NUMBERS_LEVEL: "pid", "level";
            NUMBERS_FIRST: "pid", "numbers";
            NUMBER_VALUE: "upid", "nr";
            NUMBER_NAMESPACE: "upid", "ns";
            PID_NAMESPACE_INODE: "pid_namespace", "ns.inum";
            FILES_TABLE: "files_struct", "fdt";
            TABLE_SIZE: "fdtable", "max_fds";
            TABLE_FILES: "fdtable", "fd";
            FILE_PRIVATE: "file", "private_data";
            FILE_FLAGS: "file", "f_flags";
            SIGNAL_HANDLER: "k_sigaction", "sa.sa_handler";
            SIGNAL_FLAGS: "k_sigaction", "sa.sa_flags";
            TASK_PENDING: "task_struct", "pending.signal.sig[0]";
            TASK_BLOCKED: "task_struct", "blocked.sig[0]";
            TASK_STOPS: "task_struct", "jobctl";
            PROCESS_PENDING: "signal_struct", "shared_pending.signal.sig[0]";
            SOCK_RECEIVE_TIMEOUT: "sock", "sk_rcvtimeo";
            SOCKET_FILE: "socket", "file";
            SOCK_WAIT_QUEUE: "sock", "sk_wq";
            WAIT_QUEUE_FIRST: "socket_wq", "wait.head";
            FILE_INODE: "file", "f_inode";
            INODE_MODE: "inode", "i_mode";
            EPOLL_FILE: "eventpoll", "file";
            // What an epoll instance has in the wait queue of a file that it watches.
            HOOK_ENTRY: "eppoll_entry", "wait";
            HOOK_ITEM: "eppoll_entry", "base";
            HOOK_QUEUE: "eppoll_entry", "whead";
            // What poll and select have there.
            POLL_ENTRY: "poll_table_entry", "wait";
            POLL_FILE: "poll_table_entry", "filp";
            POLL_QUEUE: "poll_table_entry", "wait_address";
            POLL_KEY: "poll_table_entry", "key";
            POLL_TASK: "poll_wqueues", "polling_task";
            ITEM_EPOLL: "epitem", "ep";
            ITEM_EVENTS: "epitem", "event.events";
            WAIT_QUEUE: "socket_wq", "wait";
            EPOLL_READY: "eventpoll", "rdllist";
            EPOLL_WAITERS: "eventpoll", "wq.head";
            WAITER_TASK: "wait_queue_entry", "private";
            WAITER_LINK: "wait_queue_entry", "entry";
            ITEM_READY: "epitem", "rdllink";
            ITEM_FILE: "epitem", "ffd.file";
            LIST_NEXT: "list_head", "next";
            LIST_PREVIOUS: "list_head", "prev";
            REGS_SYSCALL: "pt_regs", $crate::fields::REGS_SYSCALL_PATH;
            REGS_ARGUMENT: "pt_regs", $crate::fields::REGS_ARGUMENT_PATH;
            REGS_SECOND: "pt_regs", $crate::fields::REGS_SECOND_PATH;
            REGS_PLACE: "pt_regs", $crate::fields::REGS_PLACE_PATH;
            REGS_COMPAT_ARGUMENT: "pt_regs", $crate::fields::REGS_COMPAT_ARGUMENT_PATH;
        }
    };
}

/// Where a task's saved registers keep the number of its system call.
#[cfg(not(target_arch = "aarch64"))]
pub const REGS_SYSCALL_PATH: &str = "orig_ax";
/// Where a task's saved registers keep the number of its system call.
#[cfg(target_arch = "aarch64")]
pub const REGS_SYSCALL_PATH: &str = "syscallno";

/// Where a task's saved registers keep the first argument of its system call, also at its exit.
#[cfg(not(target_arch = "aarch64"))]
pub const REGS_ARGUMENT_PATH: &str = "di";
/// Where a task's saved registers keep the first argument of its system call, also at its exit.
#[cfg(target_arch = "aarch64")]
pub const REGS_ARGUMENT_PATH: &str = "orig_x0";

/// Where they keep the second argument.
#[cfg(not(target_arch = "aarch64"))]
pub const REGS_SECOND_PATH: &str = "si";
/// Where they keep the second argument.
#[cfg(target_arch = "aarch64")]
pub const REGS_SECOND_PATH: &str = "regs[1]";

/// Where they keep the place in the program.
#[cfg(not(target_arch = "aarch64"))]
pub const REGS_PLACE_PATH: &str = "ip";
/// Where they keep the place in the program.
#[cfg(target_arch = "aarch64")]
pub const REGS_PLACE_PATH: &str = "pc";

/// Where they keep the first argument of a 32-bit task.
#[cfg(not(target_arch = "aarch64"))]
pub const REGS_COMPAT_ARGUMENT_PATH: &str = "bx";
/// Where they keep the first argument of a 32-bit task.
#[cfg(target_arch = "aarch64")]
pub const REGS_COMPAT_ARGUMENT_PATH: &str = "orig_x0";

/// Where a task says that it is in a 32-bit system call: while it is in one (`TS_COMPAT`).
#[cfg(not(target_arch = "aarch64"))]
pub const TASK_COMPAT_PATH: &str = "thread_info.status";
/// Where a task says that it is a 32-bit one (`TIF_32BIT`).
#[cfg(target_arch = "aarch64")]
pub const TASK_COMPAT_PATH: &str = "thread_info.flags";

/// What it says there: `TS_COMPAT` (arch/x86/include/asm/thread_info.h).
#[cfg(not(target_arch = "aarch64"))]
pub const TASK_COMPAT_MASK: u32 = 1 << 1;
/// What it says there: `TIF_32BIT` (arch/arm64/include/asm/thread_info.h).
#[cfg(target_arch = "aarch64")]
pub const TASK_COMPAT_MASK: u32 = 1 << 22;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the global that takes the offset.
    pub global: &'static str,
    /// Name of the struct in BTF.
    pub container: &'static str,
    /// The field's path from the struct, dots between the steps.
    pub path: &'static str,
}

macro_rules! table {
    ($($name:ident: $container:expr, $path:expr;)*) => {
        /// The table as data: what userspace resolves.
        pub const FIELDS: &[Field] = &[
            $(Field { global: stringify!($name), container: $container, path: $path },)*
        ];
    };
}
kernel_fields!(table);

/// Fields that only some kernels have: the global stays at its greatest value elsewhere.
pub const OPTIONAL_FIELDS: &[Field] = &[
    // Not in a kernel that is built without IPv6.
    Field { global: "SOCK_ADDRESS6", container: "sock", path: "__sk_common.skc_v6_rcv_saddr" },
    Field { global: "SOCK_PEER6", container: "sock", path: "__sk_common.skc_v6_daddr" },
    // Linux 5.7; before 5.12 it stays 0 until a program asks for it.
    Field { global: "NET_COOKIE", container: "net", path: "net_cookie" },
    // Linux 6.12: a task that sleeps may stay on the run queue for a while.
    Field { global: "TASK_DELAYED", container: "task_struct", path: "se.sched_delayed" },
    // Whether a task that leaves a CPU goes to sleep: one of these, by the kernel.
    Field { global: "TASK_STATE", container: "task_struct", path: "__state" },
    Field { global: "TASK_STATE_OLD", container: "task_struct", path: "state" },
    // Whether a task's system calls are numbered as those of 32-bit programs.
    Field { global: "TASK_COMPAT", container: "task_struct", path: TASK_COMPAT_PATH },
    // Only a real-time kernel makes mutexes of these (PREEMPT_RT): that it is there is what is asked.
    Field { global: "PREEMPT_RT", container: "mutex", path: "rtmutex" },
    // What a task is blocked on that waits for a lock of that kind.
    Field { global: "TASK_BLOCKED_ON", container: "task_struct", path: "pi_blocked_on" },
    // Whose epoll instance is locked: a task, in the upper bits; and the list of what becomes ready
    // while its ready list is being gone through. A real-time kernel keeps the first elsewhere.
    Field { global: "EPOLL_OWNER", container: "eventpoll", path: "mtx.owner.counter" },
    Field { global: "EPOLL_OVERFLOW", container: "eventpoll", path: "ovflist" },
    // A request of io_uring: its file, and since Linux 6.0 its result.
    Field { global: "RING_FILE", container: "io_kiocb", path: "file" },
    Field { global: "RING_RESULT", container: "io_kiocb", path: "cqe.res" },
    // What a request is, whose it is, and what its program called it; before its file is known, the
    // descriptor.
    Field { global: "RING_OPCODE", container: "io_kiocb", path: "opcode" },
    Field { global: "RING_FLAGS", container: "io_kiocb", path: "flags" },
    Field { global: "RING_OWNER", container: "io_kiocb", path: "ctx" },
    Field { global: "RING_DATA", container: "io_kiocb", path: "cqe.user_data" },
    Field { global: "RING_DESCRIPTOR", container: "io_kiocb", path: "cqe.fd" },
    Field { global: "RING_SLOT", container: "io_accept", path: "file_slot" },
    // A completion.
    Field { global: "CQE_DATA", container: "io_uring_cqe", path: "user_data" },
    Field { global: "CQE_RESULT", container: "io_uring_cqe", path: "res" },
];

/// Functions whose number of arguments is needed: what an exit program finds behind the last of
/// them is the return value. The numbers change even inside a stable series. Tracepoints are there by the
/// type that BTF has of them, `btf_trace_NAME`.
pub const ARGUMENT_COUNTS: &[(&str, &str)] = &[
    ("ARGS_INET_CSK_ACCEPT", "inet_csk_accept"),
    ("ARGS_SYS_ACCEPT4", "__sys_accept4"),
    ("ARGS_IO_ACCEPT", "io_accept"),
    ("ARGS_SYN_RECV_V4", "tcp_v4_syn_recv_sock"),
    ("ARGS_SYN_RECV_V6", "tcp_v6_syn_recv_sock"),
    ("ARGS_REQUEST_ALLOC", "inet_reqsk_alloc"),
    ("ARGS_CREATE_CHILD", "tcp_create_openreq_child"),
    ("ARGS_ROUTE_V6", "inet6_csk_route_req"),
    ("ARGS_PEER_PROVEN", "tcp_peer_is_proven"),
    ("ARGS_LISTEN_START", "inet_csk_listen_start"),
    ("ARGS_RING_COMPLETE", "btf_trace_io_uring_complete"),
];

/// The enumerators that are compared with, by the global that takes the value.
///
/// They are in anonymous enums of the kernel (include/net/tcp_states.h, include/uapi/linux/snmp.h), found by
/// enumerator.
pub const ENUMERATORS: &[(&str, &str)] = &[
    ("STATE_LISTEN", "TCP_LISTEN"),
    ("STATE_CLOSE", "TCP_CLOSE"),
    ("STATE_SYN_RECV", "TCP_SYN_RECV"),
    ("STATE_ESTABLISHED", "TCP_ESTABLISHED"),
    ("MIB_FULL_COOKIES", "LINUX_MIB_TCPREQQFULLDOCOOKIES"),
    ("MIB_FULL_DROPS", "LINUX_MIB_TCPREQQFULLDROP"),
];

/// Enumerators that only some kernels have: the global stays at its greatest value elsewhere, which
/// equals nothing that a program compares it with.
pub const OPTIONAL_ENUMERATORS: &[(&str, &str)] = &[
    ("DROP_LISTEN_OVERFLOW", "SKB_DROP_REASON_TCP_LISTEN_OVERFLOW"),
    ("RING_ACCEPT", "IORING_OP_ACCEPT"),
    ("RING_MULTISHOT_BIT", "REQ_F_APOLL_MULTISHOT_BIT"),
];
