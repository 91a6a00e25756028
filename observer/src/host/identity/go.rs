//! Whether a program was built by Go, by the section that Go's linker makes in each (`.go.buildinfo`).

use std::{fs::File, io, os::unix::fs::FileExt};

/// Name of the section.
const SECTION: &[u8] = b".go.buildinfo\0";

/// Most sections that are looked at.
const MOST_SECTIONS: u16 = 256;

/// Most bytes of the sections' names that are looked at.
const MOST_NAMES: u64 = 16 * 1024;

/// Sizes of the headers of a file and of a section, for 64 bits.
const HEADER: usize = 64;

/// Whether the program that a process runs was built by Go; `None` where it cannot be read. This may take for
/// ever.
pub(super) fn runs(pid: u32) -> Option<bool> {
    is_built(&File::open(format!("/proc/{pid}/exe")).ok()?).ok()
}

fn is_built(file: &impl FileExt) -> io::Result<bool> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    // 64 bits, the lower byte first: where the names of the sections are differs elsewhere.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let (sections, size) = (long(&header, 0x28), short(&header, 0x3a));
    let (count, names) = (short(&header, 0x3c), short(&header, 0x3e));
    if usize::from(size) != HEADER || count > MOST_SECTIONS {
        return Ok(false);
    }
    let section = |index: u16| {
        let mut section = [0; HEADER];
        let at = sections.saturating_add(u64::from(index) * u64::from(size));
        file.read_exact_at(&mut section, at).map(|()| section)
    };
    let of_names = section(names)?;
    let length = usize::try_from(long(&of_names, 0x20).min(MOST_NAMES)).unwrap_or(0);
    let mut all = vec![0; length];
    file.read_exact_at(&mut all, long(&of_names, 0x18))?;
    for index in 0..count {
        let name = usize::try_from(word(&section(index)?, 0)).unwrap_or(usize::MAX);
        if all.get(name..).is_some_and(|name| name.starts_with(SECTION)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn bytes<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut value = [0; N];
    if let Some(found) = header.get(at..at + N) {
        value.copy_from_slice(found);
    }
    value
}

fn short(header: &[u8; HEADER], at: usize) -> u16 {
    u16::from_le_bytes(bytes(header, at))
}

fn word(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes(bytes(header, at))
}

fn long(header: &[u8; HEADER], at: usize) -> u64 {
    u64::from_le_bytes(bytes(header, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two sections: their names, and one of this name.
    fn program(name: &[u8]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(HEADER, 0);
        file[0x28] = 64;
        file[0x3a] = 64;
        file[0x3c] = 2;
        let mut names = [0; HEADER];
        names[0x18] = 192;
        names[0x20] = u8::try_from(name.len() + 1).expect("a short name");
        let mut other = [0; HEADER];
        other[0] = 1;
        [&file[..], &names, &other, b"\0", name].concat()
    }

    fn told(file: &[u8]) -> io::Result<bool> {
        let mut kept = tempfile::tempfile()?;
        io::Write::write_all(&mut kept, file)?;
        is_built(&kept)
    }

    #[test]
    fn the_section_tells() {
        assert!(told(&program(b".go.buildinfo\0")).expect("it is whole"));
        for other in [&b".text\0"[..], b".go.buildinfo2\0", b".go.build"] {
            assert!(!told(&program(other)).expect("it is whole"), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_such_file_is_no_program_of_go() {
        assert!(told(b"#!/bin/sh\n").is_err());
        assert!(!told(&[0; 100]).expect("it is whole"));
        let whole = program(b".go.buildinfo\0");
        for length in 0..whole.len() {
            assert!(!told(&whole[..length]).unwrap_or(false), "{length} bytes");
        }
        // Offsets and counts that lead nowhere.
        for at in 0x28..0x40 {
            let mut broken = whole.clone();
            broken[at] = 0xff;
            let _whatever = told(&broken);
        }
        assert_eq!(runs(std::process::id()), Some(false));
        assert_eq!(runs(u32::MAX >> 2), None);
    }
}
