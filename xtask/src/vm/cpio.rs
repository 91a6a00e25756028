//! Writing a cpio archive in the format `newc`, which the kernel unpacks as its first root
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive that is being written.
#[derive(Debug)]
pub(crate) struct Archive<W> {
    out: W,
    /// The next entry's number: the kernel takes entries of one number for links to each other.
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// Begins one.
    pub(crate) fn new(out: W) -> Self {
        Self { out, inode: 1 }
    }

    /// Adds a directory; those above it must be there already.
    pub(crate) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, name: &str, permissions: u32, data: &[u8]) -> io::Result<()> {
        self.entry(name, REGULAR | permissions, (0, 0), data)
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, name: &str, number: (u32, u32)) -> io::Result<()> {
        self.entry(name, CHARACTER_DEVICE | 0o600, number, &[])
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) -> io::Result<()> {
        let size = |bytes: usize| {
            u32::try_from(bytes).map_err(|_| io::Error::other(format!("{name} is too large")))
        };
        let (length, name_length) = (size(data.len())?, size(name.len() + 1)?);
        let (links, time) = (1, 0);
        let fields = [
            self.inode,
            mode,
            0, // user
            0, // group
            links,
            time,
            length,
            0, // the device that the file is on
            0,
            device.0,
            device.1,
            name_length,
            0, // checksum, of another format
        ];
        self.inode += 1;
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(name.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(110 + name.len() + 1)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    /// Headers with their names, and data, are each padded to four bytes.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..written.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back: name, mode, data of each entry.
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let at = 6 + 8 * index;
                let text = std::str::from_utf8(&bytes[at..at + 8]).expect("hexadecimal");
                usize::from_str_radix(text, 16).expect("hexadecimal")
            };
            let (mode, length, name) = (field(1), field(6), field(11));
            let data = (110 + name).next_multiple_of(4);
            let text = std::str::from_utf8(&bytes[110..110 + name - 1]).expect("a name");
            assert_eq!(bytes[110 + name - 1], 0);
            let mode = u32::try_from(mode).expect("a mode");
            entries.push((text.to_owned(), mode, bytes[data..data + length].to_vec()));
            bytes = &bytes[(data + length).next_multiple_of(4)..];
        }
        entries
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut archive = Archive::new(Vec::new());
        archive.directory("dev").expect("room");
        archive.device("dev/console", (5, 1)).expect("room");
        for length in 0..9 {
            archive.file(&"n".repeat(length + 1), 0o755, &vec![7; length]).expect("room");
        }
        let bytes = archive.finish().expect("room");
        let entries = entries(&bytes);
        assert_eq!(entries[0], ("dev".to_owned(), 0o040_755, Vec::new()));
        assert_eq!(entries[1].1, 0o020_600);
        for length in 0..9 {
            assert_eq!(
                entries[2 + length],
                ("n".repeat(length + 1), 0o100_755, vec![7; length]),
                "{length}"
            );
        }
        assert_eq!(entries.last().expect("an entry").0, "TRAILER!!!");
    }
}
