//! Reading a hash map of the kernel in few calls (`BPF_MAP_LOOKUP_BATCH`, Linux 5.6), which aya does not
//! offer: an iteration takes two calls for each row.
//!
//! Not where kprobes count. While a map operation is under way, their programs do not run on that CPU
//! (`bpf_prog_active`), and one that looks through a whole map is under way for much longer at a time.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{Pod, maps::MapData};

use super::missed::bpf;

/// The command of bpf(2) (include/uapi/linux/bpf.h).
const MAP_LOOKUP_BATCH: libc::c_int = 24;

/// Number of rows that the first call asks for, and the greatest that any does: there may be few, and each takes
/// room here.
const FIRST: usize = 64;
const MOST: usize = 1024;

/// The part of `union bpf_attr` that asks for many rows.
#[repr(C)]
#[derive(Default)]
struct Batch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}
const _: () = assert!(size_of::<Batch>() == 56);

/// Tells every row of a hash map with its values: one, or one for each of the possible CPUs where it is
/// a map per CPU.
///
/// # Errors
///
/// When the kernel cannot do that; some rows may have been told by then.
pub(super) fn for_each<K: Pod, V: Pod>(
    map: &MapData,
    values: usize,
    mut tell: impl FnMut(K, &[V]),
) -> io::Result<()> {
    let descriptor = map.fd().as_fd().as_raw_fd().cast_unsigned();
    // Values of several CPUs are each padded to eight bytes.
    if values > 1 && !size_of::<V>().is_multiple_of(8) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut room = FIRST;
    let (mut keys, mut rows) = (Vec::<K>::new(), Vec::<V>::new());
    // Where a call left off: a bucket's number, which the first call does not look at.
    let mut position = [0_u32; 2];
    let mut is_first = true;
    loop {
        keys.clear();
        keys.reserve(room);
        rows.clear();
        rows.reserve(room * values);
        let [from, next] = &mut position;
        let mut batch = Batch {
            from: if is_first { 0 } else { (&raw const *from).addr() as u64 },
            next: (&raw mut *next).addr() as u64,
            keys: keys.as_mut_ptr().addr() as u64,
            values: rows.as_mut_ptr().addr() as u64,
            count: u32::try_from(room).map_err(io::Error::other)?,
            map: descriptor,
            ..Batch::default()
        };
        let done = match bpf(MAP_LOOKUP_BATCH, &mut batch) {
            Ok(_) => false,
            Err(error) => match error.raw_os_error() {
                // The end of the map, and it may have brought rows.
                Some(libc::ENOENT) => true,
                // One bucket holds more than there was room for.
                Some(libc::ENOSPC) if room < MOST => {
                    room *= 4;
                    continue;
                }
                _ => return Err(error),
            },
        };
        let count = (batch.count as usize).min(room);
        // SAFETY: there is room for these, the kernel has written as many keys and, for each, as many
        // values of this size, and a Pod may be of any bytes.
        unsafe {
            keys.set_len(count);
            rows.set_len(count * values);
        }
        keys.iter().zip(rows.chunks_exact(values)).for_each(|(key, row)| tell(*key, row));
        if done {
            return Ok(());
        }
        position[0] = position[1];
        is_first = false;
        room = (room * 4).min(MOST);
    }
}
