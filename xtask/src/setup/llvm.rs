//! Whether bpf-linker can read what a compiler makes: an LLVM reads what is as old as itself, or older.
//!
//! It is tried, because bpf-linker does not say which LLVM it was built with.

use std::{env, fs, path::Path, process::Command};

use super::needed::bpf_target;
use crate::process;

/// A crate that uses what LLVM describes in words of its own: references, slices, atomics, enums, loops.
const SOURCE: &str = "#![no_std]
use core::sync::atomic::{AtomicU64, Ordering};
pub enum Kind { A(u32), B([u8; 16]) }
pub fn add(total: &AtomicU64, bytes: &[u8], kind: Option<&Kind>) -> Result<u64, u8> {
    let sum = bytes.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
    match kind {
        Some(Kind::A(more)) => Ok(total.fetch_add(sum + u64::from(*more), Ordering::Relaxed)),
        Some(Kind::B(bytes)) => bytes.first().copied().map(u64::from).ok_or(1),
        None => Err(2),
    }
}
";

/// What a linker says against reading what a compiler made; `None` where it reads it, and where the compiler does not
/// work at all.
pub(super) fn mismatch(mut rustc: Command, linker: &Path) -> Option<String> {
    let scratch = env::temp_dir().join(format!("observer-llvm-{}", std::process::id()));
    fs::create_dir_all(&scratch).ok()?;
    let (source, bitcode) = (scratch.join("lib.rs"), scratch.join("lib.bc"));
    let written = fs::write(&source, SOURCE).is_ok();
    rustc.args(["--edition=2024", "--crate-type=lib", "--emit=llvm-bc", "-O", "-Cdebuginfo=2"]);
    rustc.arg("-o").arg(&bitcode).arg(&source);
    let compiled = written && process::ask(&mut rustc).is_some();
    let mut link = Command::new(linker);
    link.args(["--target", bpf_target(), "-o"]).arg(scratch.join("lib.o")).arg(&bitcode);
    let said = compiled.then(|| process::capture(link));
    // What stays in the directory for temporary files is removed by the system.
    let _ = fs::remove_dir_all(&scratch);
    match said? {
        Ok((status, _)) if status.success() => None,
        Ok((status, output)) => Some(reason(&output).unwrap_or(&status.to_string()).to_owned()),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// The linker's own words.
fn reason(output: &str) -> Option<&str> {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().find(|line| line.contains("Reader: ")).or_else(|| lines().next())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NEWER: &str = "ERROR llvm: Invalid record (Producer: 'LLVM23.1.0-rust-1.99.0-nightly' Reader: 'LLVM 22.1.2')";

    #[test]
    fn a_linker_that_cannot_read_is_told_in_its_own_words() {
        let root = env::temp_dir().join(format!("observer-linker-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a directory");
        let linker = |text: &str| {
            let path = root.join("bpf-linker");
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
            path
        };
        let rustc = || Command::new("rustc");
        let refuses = linker(&format!("echo 'one word' >&2; echo \"{NEWER}\" >&2; exit 1"));
        assert_eq!(mismatch(rustc(), &refuses).as_deref(), Some(NEWER));
        // The last argument is what is to be read.
        let reads = linker("for last; do :; done; test -s \"$last\"");
        assert_eq!(mismatch(rustc(), &reads), None);
        assert_eq!(mismatch(Command::new("false"), &refuses), None, "no compiler");
        fs::remove_dir_all(&root).expect("it was made");
    }

    #[test]
    fn the_line_that_names_both_versions_is_preferred() {
        assert_eq!(reason(&format!("one\n {NEWER}\nError: failure\n")), Some(NEWER));
        assert_eq!(reason("\n one\ntwo\n"), Some("one"));
        assert_eq!(reason("\n"), None);
    }
}
