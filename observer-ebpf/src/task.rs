//! Tasks: who they are, what they wait in, and the latest wakeup of each.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{
        bpf_get_current_comm, bpf_get_current_task, bpf_get_current_task_btf,
        bpf_probe_read_kernel, bpf_task_pt_regs,
    },
};
use observer_common::calls::{SOCKETCALL_ACCEPTS, kind};

use crate::{
    globals::{
        COMPAT_WAIT_CALLS, FILE_PRIVATE, FILES_TABLE, HAS_TASK_REGISTERS, PID_NAMESPACE,
        PREEMPT_RT, REGS_ARGUMENT, REGS_COMPAT_ARGUMENT, REGS_PLACE, REGS_SYSCALL, SIGNAL_LIVE,
        SYSCALL_EXIT, SYSCALL_EXIT_GROUP, TABLE_FILES, TABLE_SIZE, TASK_BLOCKED_ON, TASK_COMM,
        TASK_COMPAT, TASK_COMPAT_MASK, TASK_DELAYED, TASK_FILES, TASK_MM, TASK_ON_QUEUE, TASK_PID,
        TASK_SIGNAL, TASK_TID, WAIT_CALLS, kind_of,
    },
    ids,
    kernel::{Address, Object, Typed, field, read, read_at},
    numbers,
};

/// The current task's process id and thread id, as userspace calls them.
#[inline(always)]
pub(crate) fn current_ids() -> (u32, u32) {
    if PID_NAMESPACE.load() != 0 {
        return ids::unpack(numbers::ids(current()));
    }
    ids::unpack(bpf_get_current_pid_tgid())
}

/// A task's name where a helper writes it. Helpers write zeros where they fail; to write them before takes
/// a loop over the bytes, which the verifier follows step by step.
type Name = MaybeUninit<[u8; 16]>;

/// The current task's name.
#[inline(always)]
pub(crate) fn current_comm() -> [u8; 16] {
    let mut name = Name::uninit();
    // SAFETY: the helper writes all bytes, whatever it returns.
    unsafe {
        bpf_get_current_comm(name.as_mut_ptr().cast(), size_of::<Name>() as u32);
        name.assume_init()
    }
}

/// The name of a task; of the current one where none is given.
#[inline(always)]
pub(crate) fn name(task: Address) -> [u8; 16] {
    if task.is_null() {
        return current_comm();
    }
    let mut name = Name::uninit();
    let from = task.cast::<u8>().wrapping_add(TASK_COMM.load() as usize);
    // SAFETY: the helper writes all bytes, and fails instead of faulting.
    unsafe {
        bpf_probe_read_kernel(name.as_mut_ptr().cast(), size_of::<Name>() as u32, from.cast());
        name.assume_init()
    }
}

/// The current task's address.
#[inline(always)]
pub(crate) fn current() -> Address {
    // SAFETY: the helper takes nothing and always succeeds.
    (unsafe { bpf_get_current_task() }) as Address
}

/// The call that a task waits in.
pub(crate) struct Waits {
    /// Its kind, by [`kind`].
    pub(crate) kind: u8,
    /// Its first argument.
    pub(crate) argument: u64,
}

/// The system call that a task is in, where that is one in which it can wait for a listener; a kind of 0
/// elsewhere.
///
/// A sleeping user task always sleeps in a system call or a fault, and its registers at entry lie at
/// the top of its kernel stack (`bpf_task_pt_regs`, `task_pt_regs` in the kernel). A kernel thread
/// has no such registers, and no `mm`. The threads that io_uring makes within a process have the `mm`, and
/// registers without a place in the program (`copy_thread`): all that they wait for is requests.
///
/// # Safety
///
/// `task` must come unchanged from the program's context.
#[inline(always)]
pub(crate) unsafe fn waits(task: Address) -> Waits {
    const NONE: Waits = Waits { kind: 0, argument: 0 };
    // SAFETY: the caller's promise about `task`, and the fields' types are as in the table: of a number of
    // eight bytes the lower half is read.
    unsafe {
        if HAS_TASK_REGISTERS.load() == 0 || field::<u64>(task, &TASK_MM) == 0 {
            return NONE;
        }
        let registers = bpf_task_pt_regs(task.cast_mut().cast()) as Address;
        let number = field::<u32>(registers, &REGS_SYSCALL);
        if TASK_COMPAT.load() != u32::MAX
            && field::<u32>(task, &TASK_COMPAT) & TASK_COMPAT_MASK.load() != 0
        {
            let argument = field::<u64>(registers, &REGS_COMPAT_ARGUMENT);
            return match kind_of(&COMPAT_WAIT_CALLS, number) {
                kind::SOCKETCALL if !SOCKETCALL_ACCEPTS.contains(&argument) => NONE,
                kind::SOCKETCALL => Waits { kind: kind::ACCEPT, argument },
                kind => Waits { kind, argument },
            };
        }
        if field::<u64>(registers, &REGS_PLACE) == 0 {
            return Waits { kind: kind::RING, argument: 0 };
        }
        let argument = field::<u64>(registers, &REGS_ARGUMENT);
        Waits { kind: kind_of(&WAIT_CALLS, number), argument }
    }
}

/// Whether the current task's system call is numbered as those of 32-bit programs, where the kernel tells.
#[inline(always)]
pub(crate) fn calls_are_compat() -> bool {
    TASK_COMPAT.load() != u32::MAX
        && read::<u32>(current(), &TASK_COMPAT)
            .is_some_and(|flags| flags & TASK_COMPAT_MASK.load() != 0)
}

/// Whether a task that ends does so by a call of its own, and not by a signal. Kernels that do not tell say
/// no.
///
/// # Safety
///
/// As for [`waits`]; the task must be of a process. Its `mm` is gone by now.
#[inline(always)]
pub(crate) unsafe fn ends_by_itself(task: Address) -> bool {
    if HAS_TASK_REGISTERS.load() == 0 {
        return false;
    }
    // SAFETY: the caller's promise, and the field's type is as in the table: of a number of eight bytes the
    // lower half is read.
    let number = u64::from(unsafe {
        let registers = bpf_task_pt_regs(task.cast_mut().cast()) as Address;
        field::<u32>(registers, &REGS_SYSCALL)
    });
    number == SYSCALL_EXIT.load() || number == SYSCALL_EXIT_GROUP.load()
}

/// How a task waits that may wait for a listener where it is, by [`kind`]; `None` where it is not known to.
/// Within a notification or a scan, interrupts wake what cannot: kernel threads (ksoftirqd, RCU's), a
/// timer's sleeper, the client itself. Kernels that do not tell what a task is doing tell at least whether
/// it belongs to a process, which is a kind of 0; what is left of strangers there is taken off when the
/// report is made.
///
/// # Safety
///
/// As for [`waits`].
#[inline(always)]
pub(crate) unsafe fn may_wait(task: Address) -> Option<u8> {
    // SAFETY: the caller's promise about `task`, and the field's type is as in the table.
    unsafe {
        if HAS_TASK_REGISTERS.load() == 0 {
            return (field::<u64>(task, &TASK_MM) != 0).then_some(0);
        }
        // Within a notification a real-time kernel also wakes who waits for a lock, in whatever call.
        if PREEMPT_RT.load() != u32::MAX
            && TASK_BLOCKED_ON.load() != u32::MAX
            && field::<u64>(task, &TASK_BLOCKED_ON) != 0
        {
            return None;
        }
        let kind = waits(task).kind;
        (kind != 0).then_some(kind)
    }
}

/// Whether a task that is being woken has not gone to sleep: it was about to, and is still on the run
/// queue. Waking such a task makes nothing runnable, and no switch follows. A sleeper whose removal
/// from the run queue is put off is on it too, and is marked.
///
/// # Safety
///
/// `task` must come unchanged from the program's context.
#[inline(always)]
pub(crate) unsafe fn is_still_awake(task: Address) -> bool {
    // SAFETY: the caller's promise about `task`, and the fields' types are as in the table.
    unsafe {
        // Its value is 0, 1 or 2, in an int up to Linux 6.18 and in a byte in 7.2: the lowest byte
        // is the same in both.
        field::<u8>(task, &TASK_ON_QUEUE) != 0
            && (TASK_DELAYED.load() == u32::MAX || field::<u8>(task, &TASK_DELAYED) == 0)
    }
}

/// A task's process id and thread id, as userspace calls them.
///
/// # Safety
///
/// `task` must come unchanged from the program's context.
#[inline(always)]
pub(crate) unsafe fn ids(task: Address) -> (u32, u32) {
    if PID_NAMESPACE.load() != 0 {
        return ids::unpack(numbers::ids(task));
    }
    // SAFETY: the caller's promise about `task`, and both ids are 32 bits wide.
    unsafe { (field::<u32>(task, &TASK_PID), field::<u32>(task, &TASK_TID)) }
}

/// Whether no thread of an ending task's process is left. Each has taken itself off before
/// `sched_process_exit` (`do_exit`); of two that end at once both may be told so.
///
/// # Safety
///
/// `task` must come unchanged from the program's context.
#[inline(always)]
pub(crate) unsafe fn ends_last(task: Address) -> bool {
    // SAFETY: the caller's promise, and the counter is an int.
    unsafe { field::<i32>(field(task, &TASK_SIGNAL), &SIGNAL_LIVE) == 0 }
}

/// Process id and thread id of a task of which only the address is known; `None` where it cannot be read.
#[inline(always)]
pub(crate) fn ids_by_address(task: Address) -> Option<(u32, u32)> {
    if PID_NAMESPACE.load() != 0 {
        return Some(ids::unpack(numbers::ids(task)));
    }
    Some((read(task, &TASK_PID)?, read(task, &TASK_TID)?))
}

/// `private_data` of the file that `task` has open as `descriptor`: the `socket` of a socket, the
/// `eventpoll` of an epoll instance.
#[inline(always)]
pub(crate) fn file_private(task: impl Object, descriptor: u64) -> Option<Address> {
    // Descriptors are ints; the upper half of the register is not part of the argument.
    let descriptor = descriptor as u32;
    let table = task.follow(&TASK_FILES)?.follow(&FILES_TABLE)?;
    if descriptor >= table.get::<u32>(&TABLE_SIZE)? {
        return None;
    }
    let files: Address = table.get(&TABLE_FILES)?;
    let file: Address = read_at(files, descriptor as usize * size_of::<Address>())?;
    read(file, &FILE_PRIVATE)
}

/// [`file_private`] of the current task.
#[inline(always)]
pub(crate) fn own_file_private(descriptor: u64) -> Option<Address> {
    // The helper that gives the task with its type came with Linux 5.11, before the one that is asked
    // for here.
    if HAS_TASK_REGISTERS.load() == 0 {
        return file_private(current(), descriptor);
    }
    // SAFETY: the helper takes nothing and always succeeds, and the verifier knows what it returns.
    let task = unsafe { Typed::new(bpf_get_current_task_btf().cast_const().cast::<c_void>()) };
    file_private(task, descriptor)
}
