//! Appending past the page cache.
//!
//! A write with O_DIRECT names whole blocks of memory and file. So what is appended is copied behind the bytes of the file's last
//! block, which are kept here, and filled up with zeros; the next append writes that block again. Its old bytes are the same in
//! both writes, and a sector is written whole or not at all, so they are never at risk.

use std::io;
use sws_runtime::fs::File;

/// Alignment of memory, offsets and lengths. Every disk takes it.
const BLOCK: usize = 4096;
/// Memory that is kept for the next append, at most.
const KEPT_MAX: usize = 256 * 1024;

/// Bytes that begin at a multiple of [`BLOCK`].
#[derive(Debug, Default)]
struct Aligned {
    memory: Vec<u8>,
    start: usize,
}

impl Aligned {
    /// Has room for `len` bytes; what was there is lost.
    fn reserve(&mut self, len: usize) {
        if self.memory.len() < self.start + len || self.memory.is_empty() {
            self.memory = vec![0; len + BLOCK];
            self.start = self.memory.as_ptr().align_offset(BLOCK);
        }
    }

    fn bytes(&mut self, len: usize) -> &mut [u8] {
        &mut self.memory[self.start..self.start + len]
    }
}

/// The writing end of a file that is appended to.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    staging: Aligned,
    /// Where the next append goes if the tail is known, and the bytes of the block before it.
    end: u64,
    tail: Vec<u8>,
}

impl Direct {
    /// Over a file that was opened with O_DIRECT.
    pub(super) fn new(file: File) -> Direct {
        Direct { file, staging: Aligned::default(), end: 0, tail: Vec::new() }
    }

    /// Writes `data` at an offset, and waits until it is on the disk. `read` reads the file; it is asked for the block that lies before
    /// the offset, unless the last append ended there.
    pub(super) fn append(
        &mut self,
        data: &[u8],
        offset: u64,
        read: impl FnOnce(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<()> {
        let block = offset - offset % BLOCK as u64;
        let before = (offset - block) as usize;
        if self.end != offset || self.tail.len() != before {
            self.tail.resize(before, 0);
            let filled = read(&mut self.tail, block)?;
            self.tail[filled..].fill(0);
        }
        let len = before + data.len();
        let padded = len.next_multiple_of(BLOCK);
        self.staging.reserve(padded);
        let bytes = self.staging.bytes(padded);
        bytes[..before].copy_from_slice(&self.tail);
        bytes[before..len].copy_from_slice(data);
        bytes[len..].fill(0);
        self.end = u64::MAX;
        write_durable(&self.file, bytes, block)?;
        self.end = offset + data.len() as u64;
        let tail = len - len % BLOCK;
        self.tail.clear();
        self.tail.extend_from_slice(&self.staging.bytes(padded)[tail..len]);
        if self.staging.memory.len() > KEPT_MAX {
            self.staging = Aligned::default();
        }
        Ok(())
    }

    /// Writes zeros from `from` to `to`, both multiples of a block.
    pub(super) fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let mut zeros = Aligned::default();
        let step = (to - from).min(KEPT_MAX as u64) as usize;
        zeros.reserve(step);
        let mut at = from;
        while at < to {
            let len = step.min((to - at) as usize);
            match self.file.write_at(zeros.bytes(len), at)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => at += (count - count % BLOCK).max(BLOCK) as u64,
            }
        }
        Ok(())
    }
}

/// Writes all, again from the last whole block after a short write.
fn write_durable(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = file.write_durable_at(bytes, offset)?;
        let whole = if count >= bytes.len() { bytes.len() } else { count - count % BLOCK };
        if whole == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[whole..];
        offset += whole as u64;
    }
    Ok(())
}
