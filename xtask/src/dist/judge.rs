//! Whether a program is what is promised: one file, small, of no place. Pure.

use anyhow::{Context as _, Result};
use object::{
    Endianness,
    elf::{DT_NEEDED, FileHeader64, PT_DYNAMIC, PT_INTERP},
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _},
};

/// Most bytes that it may have.
const LIMIT: usize = 8 << 20;

/// Functions of glibc that load the host's libraries even in a static program, which fail or crash where those are of
/// another version. The linker leaves its warnings about them in the program.
const OF_THE_HOST: [&str; 4] = ["getaddrinfo", "gethostbyname", "getpwnam", "getpwuid"];

/// One sentence for each promise that is broken. `local` are paths of this machine.
pub(super) fn complaints(program: &[u8], local: &[String]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    if program.len() >= LIMIT {
        complaints.push(format!("it has {} bytes, and {LIMIT} are too many", program.len()));
    }
    complaints.extend(needs(program)?);
    if let Some(path) = self::local(program, local) {
        complaints.push(format!("this machine's path {path} is in it"));
    }
    for function in OF_THE_HOST {
        if contains(program, &format!("Using '{function}'")) {
            complaints.push(format!("it calls {function}, which loads libraries of the host"));
        }
    }
    Ok(complaints)
}

/// The first of these paths of this machine that is in a file.
pub(super) fn local<'a>(file: &[u8], local: &'a [String]) -> Option<&'a String> {
    local.iter().find(|path| contains(file, path))
}

/// What it needs of its host beside a kernel.
fn needs(program: &[u8]) -> Result<Vec<String>> {
    let header = FileHeader64::<Endianness>::parse(program).context("it is no 64-bit ELF file")?;
    let endian = header.endian()?;
    let mut needs = Vec::new();
    for segment in header.program_headers(endian, program)? {
        if segment.p_type(endian) == PT_INTERP {
            needs.push("it asks for a dynamic linker".to_owned());
        }
        if segment.p_type(endian) == PT_DYNAMIC {
            let entries = segment.dynamic(endian, program)?.unwrap_or_default();
            if entries.iter().any(|entry| entry.tag(endian) == DT_NEEDED) {
                needs.push("it needs libraries".to_owned());
            }
        }
    }
    Ok(needs)
}

fn contains(program: &[u8], text: &str) -> bool {
    // Billions of comparisons in a debug build, unless most are left out by the first byte.
    let Some((first, rest)) = text.as_bytes().split_first() else { return false };
    let mut left = program;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = &left[at + 1..];
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_a_program_with_needs() {
        let path = std::env::current_exe().expect("a path");
        let bytes = std::fs::read(path).expect("a program");
        let local = env!("CARGO_MANIFEST_DIR").to_owned();
        let said = complaints(&bytes, &[local]).expect("an ELF file").join("\n");
        for part in ["dynamic linker", "needs libraries", "this machine's path", "too many"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn the_linkers_warning_is_found() {
        assert!(contains(b"..Using 'getaddrinfo' in statically linked", "Using 'getaddrinfo'"));
        assert!(contains(b"ab", "b") && contains(b"aab", "ab"));
        assert!(!contains(b"Using 'dlopen'", "Using 'getaddrinfo'") && !contains(b"", "a"));
    }

    #[test]
    fn what_is_no_program_is_an_error() {
        assert!(complaints(b"#!/bin/sh", &[]).is_err());
    }
}
