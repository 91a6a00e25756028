//! Reading what the kernel's iterator over files tells.

use std::io::{self, Read};

use observer_common::watch::WatchRecord;

/// Bytes of one pass that are read at most: the records of some 700,000 epoll instances and waiters.
const MOST: u64 = 32 << 20;

/// Records of one pass, up to 32 MiB of them.
///
/// # Errors
///
/// When the kernel ends the pass early.
pub fn records(pass: impl Read) -> io::Result<Vec<WatchRecord>> {
    let mut pass = pass.take(MOST);
    let mut bytes = Vec::new();
    loop {
        match pass.read_to_end(&mut bytes) {
            Ok(_) => return Ok(parse(&bytes)),
            // It rests after a million files that it had nothing to tell of (`bpf_seq_read`).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse(bytes: &[u8]) -> Vec<WatchRecord> {
    let (records, _cut) = bytes.as_chunks::<{ size_of::<WatchRecord>() }>();
    records
        .iter()
        // SAFETY: the record is as long, holds integers only and has no padding.
        .map(|bytes| unsafe { bytes.as_ptr().cast::<WatchRecord>().read_unaligned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::records;

    /// A pass that rests once.
    struct Resting(Vec<io::Result<Vec<u8>>>);

    impl Read for Resting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.pop() {
                None => Ok(0),
                Some(Err(error)) => Err(error),
                Some(Ok(bytes)) => {
                    let (now, later) = bytes.split_at(bytes.len().min(buffer.len()));
                    buffer[..now.len()].copy_from_slice(now);
                    if !later.is_empty() {
                        self.0.push(Ok(later.to_vec()));
                    }
                    Ok(now.len())
                }
            }
        }
    }

    #[test]
    fn records_are_read_to_the_end_and_what_is_cut_off_is_left() {
        let mut bytes = [0; 48 + 20];
        bytes[..4].copy_from_slice(&5_u32.to_ne_bytes());
        bytes[16..24].copy_from_slice(&77_u64.to_ne_bytes());
        let rests = io::Error::from(io::ErrorKind::WouldBlock);
        let (first, rest) = bytes.split_at(10);
        let pass = Resting(vec![Ok(rest.to_vec()), Err(rests), Ok(first.to_vec())]);
        let found = records(pass).expect("a pass");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].listener), (5, 77));
        let fails = Resting(vec![Err(io::Error::from(io::ErrorKind::OutOfMemory))]);
        assert!(records(fails).is_err());
    }
}
