//! A task's two ids in one word, as functions of their own take them.

/// A process id and a thread id in one word, for functions of their own, which take no more than five
/// words.
#[inline(always)]
pub(crate) fn pack(pid: u32, tid: u32) -> u64 {
    u64::from(pid) << 32 | u64::from(tid)
}

/// The two ids that are in one word.
#[inline(always)]
pub(crate) fn unpack(ids: u64) -> (u32, u32) {
    ((ids >> 32) as u32, ids as u32)
}
