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

/// Id of the parent, and when it began in clock ticks since boot: the second and the 20th field behind its name,
/// which may have blanks and brackets in it (`do_task_stat`).
pub(super) fn parent_and_start(pid: u32) -> Option<(u32, u64)> {
    let stat = text(format!("/proc/{pid}/stat"))?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    Some((parent, fields.nth(17)?.parse().ok()?))
}

/// Soft and hard limit on open files; `None` where there is none, too.
pub(super) fn open_files_limits(pid: u32) -> [Option<u64>; 2] {
    parse_limits(&text(format!("/proc/{pid}/limits")).unwrap_or_default())
}

fn parse_limits(limits: &str) -> [Option<u64>; 2] {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut values = line.unwrap_or_default().split_whitespace();
    std::array::from_fn(|_| values.next()?.parse().ok())
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
    fn limits_are_soft_and_hard() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(parse_limits(limits), [Some(1024), Some(524_288)]);
        let unlimited = limits.replace("1024  ", "unlimited");
        assert_eq!(parse_limits(&unlimited), [None, Some(524_288)]);
        assert_eq!(parse_limits(""), [None, None]);
    }

    #[test]
    fn this_process_is_told() {
        let own = std::process::id();
        assert!(exe(own).is_some_and(|exe| exe.starts_with("observer-")), "{:?}", exe(own));
        let (parent, began) = parent_and_start(own).expect("it is there");
        assert_eq!(parent, std::os::unix::process::parent_id());
        assert!(began > 0);
        assert!(argv(own).is_some_and(|argv| !argv.is_empty()));
        assert_eq!(parent_and_start(u32::MAX >> 2), None);
    }
}
