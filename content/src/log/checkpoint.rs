//! What is known to be on the disk: a small file beside the segments, written when a log is closed.
//!
//! The last batch of a partition has no later one that could say that it was durable. So a log that ends in peace says it here, and
//! damage to its last records is not taken for a torn tail. The file is never needed: without it, or with a bad one, nothing is known.

use crate::storage::{Storage, read_file, remove_if_there, replace_file};
use std::io;
use std::path::Path;

const NAME: &str = "checkpoint";
const MAGIC: &[u8; 8] = b"SWSCHKP1";
const BYTES: usize = 20;

fn encode(durable: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&durable.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let durable = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    (bytes == encode(durable)).then_some(durable)
}

/// One past the last offset that is known to be on the disk; 0 if nothing is known. A file that cannot be read is an error: it may know.
pub(super) fn read(storage: &dyn Storage, dir: &Path) -> io::Result<u64> {
    match read_file(storage, &dir.join(NAME), BYTES as u64) {
        Ok(bytes) => Ok(decode(&bytes).unwrap_or(0)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Says that all below `durable` is on the disk.
pub(super) fn write(storage: &dyn Storage, dir: &Path, durable: u64) -> io::Result<()> {
    replace_file(storage, &dir.join(NAME), &encode(durable))
}

/// Forgets what was known.
pub(super) fn remove(storage: &dyn Storage, dir: &Path) -> io::Result<()> {
    remove_if_there(storage, &dir.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_makes_it_unknown() {
        let good = encode(1234);
        assert_eq!(decode(&good), Some(1234));
        for at in 0..good.len() {
            let mut bad = good;
            bad[at] ^= 1;
            assert_eq!(decode(&bad), None, "byte {at}");
        }
        assert_eq!(decode(&good[..19]), None);
        assert_eq!(decode(b""), None);
    }
}
