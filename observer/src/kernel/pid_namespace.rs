//! The PID namespace whose numbers /proc shows. Kernel programs get those of the initial one.

use std::{fs, os::unix::fs::MetadataExt as _, sync::OnceLock};

/// Inode number of the initial PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL: u64 = 0xEFFF_FFFC;

/// Inode number of the PID namespace whose numbers /proc shows; `None` where that is the initial one, or
/// nothing tells.
#[must_use]
pub fn of_proc() -> Option<u32> {
    decide(inode_of("1"), inode_of("self"))
}

/// Whether the numbers of /proc are those that system calls of this process take. They are not where it
/// is in a PID namespace of its own, and still sees the /proc of the one around it.
#[must_use]
pub fn is_own() -> bool {
    static OWN: OnceLock<bool> = OnceLock::new();
    *OWN.get_or_init(|| inode_of("1").is_none_or(|first| inode_of("self") == Some(first)))
}

/// The namespace is that of the first process, which is its init. Where that process may not be looked
/// into, /proc is taken to be of this process's own namespace.
fn decide(first: Option<u64>, own: Option<u64>) -> Option<u32> {
    let inode = first.or(own).filter(|inode| *inode != INITIAL)?;
    u32::try_from(inode).ok()
}

fn inode_of(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/pid")).ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::{INITIAL, decide};

    #[test]
    fn the_namespace_of_the_first_process_is_that_of_proc() {
        assert_eq!(decide(Some(INITIAL), Some(INITIAL)), None);
        assert_eq!(decide(Some(4_026_532_400), Some(4_026_532_400)), Some(4_026_532_400));
        // In one of its own, with the /proc of the host.
        assert_eq!(decide(Some(INITIAL), Some(4_026_532_400)), None);
        // The first process is another user's.
        assert_eq!(decide(None, Some(4_026_532_400)), Some(4_026_532_400));
        assert_eq!(decide(None, Some(INITIAL)), None);
        assert_eq!(decide(None, None), None);
    }
}
