//! Files of a process in /proc, each read up to a bound.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use crate::findings::identity::base;

/// Most bytes of a process's arguments that are read: those of programs in Java are long.
const MOST_ARGUMENTS: u64 = 16 * 1024;

/// Most bytes of one argument that are kept: what tells a server is short, and lists of libraries are not.
const MOST_ARGUMENT: usize = 256;

/// Most bytes of another file that are read.
const MOST: u64 = 8 * 1024;

/// What the kernel writes behind the path of an executable that was removed, as by an upgrade.
const DELETED: &str = " (deleted)";

/// At most so many bytes of a file.
fn read(path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    read(path, MOST).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Name of the executable, without its path.
pub(super) fn exe(pid: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let path = path.to_string_lossy();
    let path = path.strip_suffix(DELETED).unwrap_or(&path);
    Some(base(path).to_owned())
}

/// Arguments. This may take for ever.
pub(super) fn argv(pid: u32) -> Option<Vec<String>> {
    let bytes = read(format!("/proc/{pid}/cmdline"), MOST_ARGUMENTS).ok()?;
    Some(split(&bytes))
}

/// Arguments are ended by a zero each; a title may be followed by many.
fn split(bytes: &[u8]) -> Vec<String> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let arguments = bytes[..end].split(|byte| *byte == 0);
    let kept =
        |one: &[u8]| String::from_utf8_lossy(&one[..one.len().min(MOST_ARGUMENT)]).into_owned();
    arguments.filter(|_| end > 0).map(kept).collect()
}

/// The lines that say which cgroups it is in.
pub(super) fn cgroups(pid: u32) -> Option<String> {
    text(format!("/proc/{pid}/cgroup"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_where_they_end() {
        assert_eq!(split(b"nginx: worker process\0\0\0"), ["nginx: worker process"]);
        assert_eq!(split(b"python3\0-m\0\0gunicorn\0"), ["python3", "-m", "", "gunicorn"]);
        assert_eq!(split(b"cut"), ["cut"]);
        assert_eq!(split(&[b'a'; 9000]), ["a".repeat(MOST_ARGUMENT)]);
        assert!(split(b"").is_empty() && split(b"\0\0").is_empty());
    }

    #[test]
    fn this_process_is_told() {
        let own = std::process::id();
        assert!(exe(own).is_some_and(|exe| exe.starts_with("observer-")), "{:?}", exe(own));
        assert!(argv(own).is_some_and(|argv| !argv.is_empty()));
    }
}
