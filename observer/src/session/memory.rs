//! Memory that is needed to start and not any more.

use aya::Btf;

/// Gives what was freed back to the system. The kernel's types are some ten megabytes of small pieces
/// while they are read, which the allocator would keep for good.
pub(super) fn give_back() {
    // Other C libraries give back by themselves, or cannot.
    #[cfg(target_env = "gnu")]
    // SAFETY: this takes nothing away that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Stands for the kernel's types until they are needed again.
pub(super) fn without_types(types: &mut Btf) {
    *types = Btf::new();
}

/// Reads the kernel's types again; whether they are there.
pub(super) fn with_types(types: &mut Btf) -> bool {
    match Btf::from_sys_fs() {
        Ok(read) => {
            *types = read;
            true
        }
        Err(error) => {
            log::debug!("the kernel's types cannot be read again: {error}");
            false
        }
    }
}
