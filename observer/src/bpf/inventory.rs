//! `observer inventory`: every kernel program and map that is loaded now, whoever loaded it.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use anyhow::Result;
use aya::{maps::loaded_maps, programs::loaded_programs};
use serde::Serialize;

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "lowercase")]
enum Item {
    /// A program.
    Program {
        id: u32,
        name: String,
        /// Instructions after the verifier, and bytes of machine code.
        instructions: Option<u32>,
        code_bytes: u32,
        /// Runs, and the time of those that began while `kernel.bpf_stats_enabled` was set.
        runs: u64,
        nanoseconds: u64,
    },
    /// A map.
    Map { id: u32, name: String, entries: u32, bytes: Option<u64> },
}

/// One line of JSON for each of them.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn all() -> Result<Vec<u8>> {
    let mut items = Vec::new();
    for program in loaded_programs() {
        let program = program?;
        items.push(Item::Program {
            id: program.id(),
            name: String::from_utf8_lossy(program.name()).into_owned(),
            instructions: program.size_translated().map(|bytes| bytes / 8),
            code_bytes: program.size_jitted(),
            runs: program.run_count(),
            nanoseconds: program.run_time().as_nanos().try_into()?,
        });
    }
    for map in loaded_maps() {
        let map = map?;
        items.push(Item::Map {
            id: map.id(),
            name: String::from_utf8_lossy(map.name()).into_owned(),
            entries: map.max_entries(),
            bytes: map.fd().ok().and_then(|fd| memory(fd.as_fd())),
        });
    }
    let mut lines = Vec::new();
    for item in items {
        serde_json::to_writer(&mut lines, &item)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// What the kernel says of a map's memory in `/proc/self/fdinfo` (`bpf_map_show_fdinfo`).
fn memory(descriptor: BorrowedFd<'_>) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd());
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse().ok()
}
