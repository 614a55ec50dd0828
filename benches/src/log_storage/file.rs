//! The file that is written to, in one of three states, and the batch.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::sys;

/// What O_DIRECT wants offsets, lengths and addresses to be multiples of, on any disk.
pub const BLOCK_BYTES: usize = 4096;
/// One write while zeros are written.
const ZEROS_BYTES: usize = 1 << 20;
/// `FALLOC_FL_WRITE_ZEROES` of Linux 6.17: blocks that count as written, zeroed by the disk itself.
const WRITE_ZEROES: i32 = 0x80;

/// What lies where the next batch goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileState {
    /// Nothing: the file ends there.
    Grows,
    /// Blocks of fallocate(2), which are the file's but not written: each first write changes the extents.
    Allocated,
    /// Zeros, written and durable.
    Written,
}

impl FileState {
    /// All of them, in the order of the table.
    pub const ALL: [FileState; 3] = [FileState::Grows, FileState::Allocated, FileState::Written];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            FileState::Grows => "grows",
            FileState::Allocated => "allocated",
            FileState::Written => "written",
        }
    }
}

#[derive(Clone)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// Bytes at an address that O_DIRECT takes.
pub struct AlignedBytes {
    blocks: Vec<Block>,
    length: usize,
}

impl AlignedBytes {
    /// `length` bytes, all of them `byte`.
    pub fn new(length: usize, byte: u8) -> Self {
        let blocks = vec![Block([byte; BLOCK_BYTES]); length.div_ceil(BLOCK_BYTES)];
        AlignedBytes { blocks, length }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `length` is at most the bytes of the blocks, which lie one behind the other without padding, as
        // a block is as large as its alignment.
        unsafe { std::slice::from_raw_parts(self.blocks.as_ptr().cast(), self.length) }
    }
}

/// A file and the batch that is written to it over and over, each time behind the last.
pub struct LogFile {
    file: File,
    batch: AlignedBytes,
}

impl LogFile {
    /// A new file at `path`, prepared for `batches` batches; its state is durable when this returns.
    pub fn create(
        path: &Path,
        state: FileState,
        direct: bool,
        batch_bytes: usize,
        batches: usize,
    ) -> io::Result<Self> {
        let written_bytes = if direct { batch_bytes.next_multiple_of(BLOCK_BYTES) } else { batch_bytes };
        let bytes = (written_bytes * batches).next_multiple_of(ZEROS_BYTES);
        let file = create(path, direct)?;
        match state {
            FileState::Grows => {}
            FileState::Allocated => allocate(&file, bytes)?,
            FileState::Written => write_zeros(&file, bytes)?,
        }
        file.sync_all()?;
        Ok(LogFile { file, batch: AlignedBytes::new(written_bytes, 0xa5) })
    }

    /// A file that is open for reading only: every commit fails.
    #[cfg(test)]
    pub fn read_only(batch_bytes: usize) -> io::Result<Self> {
        let file = File::open("/dev/null")?;
        Ok(LogFile { file, batch: AlignedBytes::new(batch_bytes, 0xa5) })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its descriptor.
    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The bytes of one batch, padded to whole blocks where O_DIRECT wants it.
    pub fn batch(&self) -> &[u8] {
        self.batch.bytes()
    }
}

/// Creates a file that must not be there.
pub fn create(path: &Path, direct: bool) -> io::Result<File> {
    let flags = if direct { libc::O_DIRECT } else { 0 };
    OpenOptions::new().write(true).read(true).create_new(true).custom_flags(flags).open(path)
}

/// Gives the file blocks, which stay unwritten.
pub fn allocate(file: &File, bytes: usize) -> io::Result<()> {
    fallocate(file, 0, bytes)
}

/// Gives the file blocks that count as written, where disk and file system can.
pub fn allocate_zeroed(file: &File, bytes: usize) -> io::Result<()> {
    fallocate(file, WRITE_ZEROES, bytes)
}

fn fallocate(file: &File, mode: i32, bytes: usize) -> io::Result<()> {
    // SAFETY: takes integers and touches no memory.
    sys::check(unsafe { libc::fallocate(file.as_raw_fd(), mode, 0, bytes as libc::off_t) }).map(drop)
}

/// Writes `bytes` zeros, a megabyte at a time.
pub fn write_zeros(file: &File, bytes: usize) -> io::Result<()> {
    let zeros = AlignedBytes::new(ZEROS_BYTES, 0);
    (0..bytes).step_by(ZEROS_BYTES).try_for_each(|at| file.write_all_at(zeros.bytes(), at as u64))
}
