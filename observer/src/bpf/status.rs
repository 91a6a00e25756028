//! How the attached programs fare: runs that the kernel skipped.

use std::{fs, os::fd::AsRawFd as _};

use aya::{Ebpf, programs::Program};

use crate::bpf::missed::missed_hits;

/// Runs that the kernel skipped, over all loaded programs; `None` where the kernel does not tell
/// (before 5.12).
///
/// Skipped because the same program was already running on that CPU (`bpf_prog_show_fdinfo` prints
/// `recursion_misses`), or because a kprobe missed a hit (see [`missed_hits`]).
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
    let hits = missed_hits(&kprobes(ebpf));
    sum.zip(hits).map(|(runs, hits): (u64, u64)| runs + hits).or(sum).or(hits)
}

/// Whether this kernel tells what attached kprobes missed.
#[must_use]
pub fn kprobes_tell(ebpf: &Ebpf) -> bool {
    missed_hits(&kprobes(ebpf)).is_some()
}

/// The kprobes that are loaded, by id.
fn kprobes(ebpf: &Ebpf) -> Vec<u32> {
    let all = ebpf.programs().filter(|(_, program)| matches!(program, Program::KProbe(_)));
    all.filter_map(|(_, program)| Some(program.info().ok()?.id())).collect()
}

/// Whether kprobes count: not loaded, a program has no descriptor.
#[must_use]
pub fn has_kprobes(ebpf: &Ebpf) -> bool {
    ebpf.programs()
        .any(|(_, program)| matches!(program, Program::KProbe(_)) && program.fd().is_ok())
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
