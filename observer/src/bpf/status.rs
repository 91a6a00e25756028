//! How the attached programs fare: runs that the kernel skipped.

use std::{fs, os::fd::AsRawFd as _};

use aya::Ebpf;

/// Runs that the kernel skipped because the same program was already running on that CPU, over all
/// loaded programs; `None` where the kernel does not tell (before 5.12).
///
/// `bpf_prog_show_fdinfo` prints it as `recursion_misses`.
#[must_use]
pub fn missed_runs(ebpf: &Ebpf) -> Option<u64> {
    let mut sum = None;
    for (_, program) in ebpf.programs() {
        // A program that was not loaded has no descriptor, and missed nothing.
        let Ok(fd) = program.fd() else { continue };
        let path = format!("/proc/self/fdinfo/{}", std::os::fd::AsFd::as_fd(fd).as_raw_fd());
        let misses = fs::read_to_string(path).ok().and_then(|text| parse_misses(&text))?;
        sum = Some(sum.unwrap_or(0) + misses);
    }
    sum
}

fn parse_misses(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_misses;

    #[test]
    fn misses_are_read_from_fdinfo() {
        let text = "pos:\t0\nprog_type:\t26\nrun_cnt:\t0\nrecursion_misses:\t17\n";
        assert_eq!(parse_misses(text), Some(17));
        assert_eq!(parse_misses("pos:\t0\n"), None);
    }
}
