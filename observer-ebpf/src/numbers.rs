//! Process and thread ids in a PID namespace that is not the initial one.
//!
//! A task has a number in its own PID namespace and in each around that (`struct pid`, `numbers`), and
//! helpers tell that of the initial one. Userspace knows the numbers that its /proc shows, so those are
//! taken where they differ.

use observer_common::config::OUTSIDE;

use crate::{
    globals::{
        NUMBER_NAMESPACE, NUMBER_SIZE, NUMBER_VALUE, NUMBERS_FIRST, NUMBERS_LEVEL, PID_NAMESPACE,
        PID_NAMESPACE_INODE, TASK_LEADER, TASK_NUMBERS, TASK_PID, TASK_TID,
    },
    ids,
    kernel::{Address, read},
};

/// The deepest level of PID namespaces (include/linux/pid_namespace.h, `MAX_PID_NS_LEVEL`).
const MAX_LEVEL: u32 = 32;

/// A task's process id and thread id as userspace knows them, in one word as [`ids::pack`] makes it; with
/// [`OUTSIDE`] those of a task that it does not know. A function of its own: it is rare.
#[inline(never)]
pub(crate) fn ids(task: Address) -> u64 {
    let leader = read::<Address>(task, &TASK_LEADER).unwrap_or(task);
    let pid = number(read(leader, &TASK_NUMBERS).unwrap_or(core::ptr::null()))
        .unwrap_or_else(|| OUTSIDE | read::<u32>(task, &TASK_PID).unwrap_or(0));
    let tid = number(read(task, &TASK_NUMBERS).unwrap_or(core::ptr::null()))
        .unwrap_or_else(|| OUTSIDE | read::<u32>(task, &TASK_TID).unwrap_or(0));
    ids::pack(pid, tid)
}

/// How deep that namespace is, by a task that is in it or below it; 0 where it is not.
#[inline(never)]
pub(crate) fn level(task: Address) -> u32 {
    let pid: Address = read(task, &TASK_NUMBERS).unwrap_or(core::ptr::null());
    let Some(mut level) = read::<u32>(pid, &NUMBERS_LEVEL) else { return 0 };
    for _ in 0..MAX_LEVEL {
        if level == 0 || level > MAX_LEVEL || number_at(pid, level).is_some() {
            break;
        }
        level -= 1;
    }
    level
}

/// A task's process id and thread id in that namespace, which is at this level: for many tasks, without a search for
/// each. Those of a task outside are told as [`ids`] does.
#[inline(always)]
pub(crate) fn ids_at(task: Address, level: u32) -> Option<(u32, u32)> {
    let leader: Address = read(task, &TASK_LEADER)?;
    let number = |task: Address| number_at(read(task, &TASK_NUMBERS)?, level);
    let pid = match number(leader) {
        Some(pid) => pid,
        None => OUTSIDE | read::<u32>(task, &TASK_PID)?,
    };
    let tid = match number(task) {
        Some(tid) => tid,
        None => OUTSIDE | read::<u32>(task, &TASK_TID)?,
    };
    Some((pid, tid))
}

/// The number of a `struct pid` at a level, if that is of this namespace.
#[inline(always)]
fn number_at(pid: Address, level: u32) -> Option<u32> {
    if level == 0 || level > read(pid, &NUMBERS_LEVEL)? {
        return None;
    }
    let first = pid.cast::<u8>().wrapping_add(NUMBERS_FIRST.load() as usize);
    let one = first.wrapping_add((level * NUMBER_SIZE.load()) as usize) as Address;
    let namespace: Address = read(one, &NUMBER_NAMESPACE)?;
    let is_it = read::<u32>(namespace, &PID_NAMESPACE_INODE)? == PID_NAMESPACE.load();
    is_it.then(|| read(one, &NUMBER_VALUE)).flatten()
}

/// The number of a `struct pid` in that namespace, from the innermost outwards.
#[inline(always)]
fn number(pid: Address) -> Option<u32> {
    match number_in(pid) {
        0 => None,
        number => Some(number),
    }
}

#[inline(never)]
fn number_in(pid: Address) -> u32 {
    let Some(mut level) = read::<u32>(pid, &NUMBERS_LEVEL) else { return 0 };
    let first = pid.cast::<u8>().wrapping_add(NUMBERS_FIRST.load() as usize);
    for _ in 0..MAX_LEVEL {
        // That of the initial namespace is the first.
        if level == 0 || level > MAX_LEVEL {
            return 0;
        }
        let one = first.wrapping_add((level * NUMBER_SIZE.load()) as usize) as Address;
        let Some(namespace) = read::<Address>(one, &NUMBER_NAMESPACE) else { return 0 };
        if read::<u32>(namespace, &PID_NAMESPACE_INODE) == Some(PID_NAMESPACE.load()) {
            return read(one, &NUMBER_VALUE).unwrap_or(0);
        }
        level -= 1;
    }
    0
}
