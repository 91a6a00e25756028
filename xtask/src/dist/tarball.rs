//! The tarball: the same files give the same bytes.

use anyhow::{Context as _, Result};
use std::path::Path;
use tar::{Builder, EntryType, Header};

use super::{
    files,
    source::Source,
    stage::{self, Stage},
};

/// Writes it into `out`.
pub(super) fn write(stage: &Stage, source: &Source, out: &Path) -> Result<()> {
    let name = stage.name();
    let files = stage.files.iter();
    let files = files.map(|file| (format!("{name}/{}", file.given), file.program, &*file.bytes));
    let bytes = stage::gzip(&archive(files, source.time)?)?;
    files::write(&out.join(format!("{name}.tar.gz")), &bytes)
}

/// An archive of files, each with its path and whether it can be run, in this order. Directories are not in it: what
/// unpacks it makes them.
pub(super) fn archive<'a>(
    files: impl Iterator<Item = (String, bool, &'a [u8])>,
    time: u64,
) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, program, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(if program { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(time);
        header.set_size(u64::try_from(bytes.len())?);
        archive
            .append_data(&mut header, &path, bytes)
            .with_context(|| format!("{path} cannot be archived"))?;
    }
    Ok(archive.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::archive;

    #[test]
    fn what_is_written_can_be_read_and_tells_of_nobody() {
        let files = || {
            [("a/observer".to_owned(), true, &b"program"[..]), ("a/b".to_owned(), false, b"")]
                .into_iter()
        };
        let bytes = archive(files(), 7).expect("room");
        assert_eq!(bytes, archive(files(), 7).expect("room"));
        let mut read = tar::Archive::new(&*bytes);
        let mut seen = Vec::new();
        for entry in read.entries().expect("an archive") {
            let entry = entry.expect("an entry");
            let header = entry.header();
            assert_eq!(header.uid().ok(), Some(0));
            assert_eq!(header.mtime().ok(), Some(7));
            let path = entry.path().expect("a path").display().to_string();
            seen.push((path, header.mode().expect("a mode"), entry.size()));
        }
        assert_eq!(seen, [("a/observer".to_owned(), 0o755, 7), ("a/b".to_owned(), 0o644, 0)]);
    }
}
