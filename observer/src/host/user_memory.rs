//! What a task that sleeps in a call has in its memory about what it waits for.

use std::io::IoSliceMut;

use nix::{
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};

/// Descriptors of one call that are looked at, at most: each poll of a server with thousands of connections
/// has them all.
const MOST: usize = 4096;

/// POLLIN (uapi).
const POLLIN: i16 = 1;

/// The descriptors of a `struct pollfd[count]` that are polled for connections; `None` where they cannot be
/// read, or are more than are looked at.
pub(super) fn polled(pid: u32, address: u64, count: u64) -> Option<Vec<i32>> {
    let count = usize::try_from(count).ok().filter(|count| *count <= MOST)?;
    let mut bytes = vec![0; count * 8];
    read(pid, address, &mut bytes)?;
    let entries = bytes.as_chunks::<8>().0.iter();
    Some(
        entries
            .filter_map(|[a, b, c, d, events, more, ..]| {
                let polls = i16::from_ne_bytes([*events, *more]) & POLLIN != 0;
                polls.then(|| i32::from_ne_bytes([*a, *b, *c, *d]))
            })
            .collect(),
    )
}

/// The descriptors of an `fd_set` that are below `count`.
pub(super) fn selected(pid: u32, count: u64, address: u64) -> Option<Vec<i32>> {
    let count = usize::try_from(count).ok().filter(|count| *count <= MOST)?;
    // Whole words of 32 bits, of which also the sets of 64-bit programs are made.
    let mut bytes = vec![0; count.div_ceil(32) * 4];
    read(pid, address, &mut bytes)?;
    let is_set = |at: &usize| bytes.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    Some((0..count).filter(is_set).filter_map(|at| i32::try_from(at).ok()).collect())
}

/// A word of 32 bits.
pub(super) fn word(pid: u32, address: u64) -> Option<i32> {
    let mut bytes = [0; 4];
    read(pid, address, &mut bytes)?;
    Some(i32::from_ne_bytes(bytes))
}

fn read(pid: u32, address: u64, bytes: &mut [u8]) -> Option<()> {
    let remote = RemoteIoVec { base: usize::try_from(address).ok()?, len: bytes.len() };
    let pid = Pid::from_raw(i32::try_from(pid).ok()?);
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(bytes)], &[remote]).ok()?;
    (read == remote.len).then_some(())
}

#[cfg(test)]
mod tests {
    use super::{MOST, polled, selected, word};

    #[test]
    fn what_this_process_would_wait_for() {
        let own = std::process::id();
        let entries = [(5, POLLIN), (6, POLLOUT), (-1, POLLIN), (7, POLLIN | POLLOUT)]
            .map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
        let address = entries.as_ptr() as u64;
        assert_eq!(polled(own, address, 4), Some(vec![5, -1, 7]));
        assert_eq!(polled(own, address, 1), Some(vec![5]));
        assert_eq!(polled(own, 8, 4), None);
        assert_eq!(polled(own, address, MOST as u64 + 1), None);
        let set = [0x21_u8, 0, 0, 0x80, 0, 0, 0, 0xff];
        let address = set.as_ptr() as u64;
        assert_eq!(selected(own, 32, address), Some(vec![0, 5, 31]));
        assert_eq!(selected(own, 31, address), Some(vec![0, 5]));
        assert_eq!(word(own, address), Some(i32::from_ne_bytes([0x21, 0, 0, 0x80])));
    }

    use libc::{POLLIN, POLLOUT};
}
