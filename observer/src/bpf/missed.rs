//! Hits that kprobes missed: a return probe takes one of few instances for as long as its function
//! runs, and one that finds none is not run. The kernel counts that for each link since Linux 6.7
//! (`bpf_perf_link_fill_kprobe`), and tells nobody before.
//!
//! aya reads a link's information but keeps it to itself, so that it is asked for here.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::programs::{links::LinkType, loaded_links};

/// Commands of bpf(2) (include/uapi/linux/bpf.h).
const LINK_GET_FD_BY_ID: libc::c_int = 30;
/// Gives information about what a descriptor stands for.
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
/// `BPF_PERF_EVENT_KPROBE` and `BPF_PERF_EVENT_KRETPROBE`.
const KPROBES: [u32; 2] = [3, 4];

/// The part of `union bpf_attr` that opens a link by its id.
#[repr(C)]
struct LinkById {
    id: u32,
    next: u32,
    flags: u32,
}

/// The part of it that asks for information.
#[repr(C)]
struct InfoByFd {
    descriptor: u32,
    size: u32,
    info: u64,
}

/// `struct bpf_link_info` of a kprobe, as far as it is asked for.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    zero: u32,
    event: u32,
    also_zero: u32,
    name: u64,
    name_size: u32,
    offset: u32,
    address: u64,
    missed: u64,
}
const _: () = assert!(size_of::<LinkInfo>() == 56);

/// Hits that the kprobes of these programs missed; `None` where the kernel does not tell.
pub fn missed_hits(programs: &[u32]) -> Option<u64> {
    if programs.is_empty() {
        return None;
    }
    let ours = loaded_links().filter_map(Result::ok).filter(|link| {
        programs.contains(&link.program_id())
            && link.link_type().is_ok_and(|kind| kind == LinkType::PerfEvent)
    });
    // A link that is gone meanwhile tells nothing any more.
    let told: Vec<u64> = ours.filter_map(|link| of_link(link.id())).collect();
    log::debug!("{} links tell what they missed", told.len());
    (!told.is_empty()).then(|| told.iter().sum())
}

fn of_link(id: u32) -> Option<u64> {
    let mut by_id = LinkById { id, next: 0, flags: 0 };
    let descriptor = bpf(LINK_GET_FD_BY_ID, &mut by_id).ok()?;
    // SAFETY: the kernel has just made this descriptor for this process.
    let link = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let mut info = LinkInfo::default();
    let mut by_fd = InfoByFd {
        descriptor: link.as_raw_fd().cast_unsigned(),
        size: u32::try_from(size_of::<LinkInfo>()).ok()?,
        info: (&raw mut info).addr() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut by_fd).ok()?;
    // A kernel that knows fewer fields says that it wrote less.
    (by_fd.size as usize == size_of::<LinkInfo>() && KPROBES.contains(&info.event))
        .then_some(info.missed)
}

/// The system call, with attributes of the command's own layout.
pub(super) fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are of the command's own layout and size, the kernel takes the rest for
    // zeroes, and what they point to lives until after the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
