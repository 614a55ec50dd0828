//! Where the log keeps its files.
//!
//! The log is written against two small traits, so that the same code runs on the worker's ring, on plain system calls and on a
//! disk that fails as tests want it to. Their functions wait for what they do: on a fiber of a worker that suspends the fiber, elsewhere
//! it blocks the thread. Memory is borrowed for the time of the call.
//!
//! What the log relies on: a file's content is durable when [`StorageFile::sync`] has returned without an error; a name is durable when
//! [`Storage::sync_dir`] of its folder has; a rename replaces its target at once or not at all; a sector of 512 bytes is written
//! whole or not at all. Nothing else is assumed of what was not synced: it may be there in part and in any order.

mod direct;
pub mod faulty;
mod ring;
mod std_fs;

pub use faulty::FaultyStorage;
pub use ring::RingStorage;
pub use std_fs::StdStorage;
pub(crate) use std_fs::{NO_FILE, open_regular};

use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open file of a [`Storage`], shared by all who use it. It is closed when the last of them lets go.
pub type SharedFile = Arc<dyn StorageFile>;

/// A tree of files.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Makes a file that is not there yet, to be read and written.
    ///
    /// # Errors
    /// As `open(2)`; `AlreadyExists`.
    fn create(&self, path: &Path) -> io::Result<SharedFile>;

    /// Opens a file to read it, and to write it if `writable`.
    ///
    /// # Errors
    /// As `open(2)`.
    fn open(&self, path: &Path, writable: bool) -> io::Result<SharedFile>;

    /// Gives a file another name, in place of one that has it.
    ///
    /// # Errors
    /// As `rename(2)`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away. Who has it open can use it on.
    ///
    /// # Errors
    /// As `unlink(2)`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and those above it, as far as they are not there.
    ///
    /// # Errors
    /// As `mkdir(2)`.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes an empty folder away.
    ///
    /// # Errors
    /// As `rmdir(2)`.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// What a folder holds, in no order.
    ///
    /// # Errors
    /// As `readdir(3)`; `NotFound`.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Waits until the names in a folder are on the disk.
    ///
    /// # Errors
    /// As `fsync(2)`.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Keeps other processes out for as long as what it returns lives. A storage that nobody else can have needs no lock.
    ///
    /// # Errors
    /// `WouldBlock` when another process has it; others as `open(2)`.
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let _ = path;
        Ok(Lock { _file: None })
    }
}

/// Keeps other processes out of a storage until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Locked for as long as it is open.
    _file: Option<std::fs::File>,
}

impl Lock {
    /// By a lock on this file, which is made if it is not there.
    fn file(path: &Path) -> io::Result<Lock> {
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: Some(file) }),
            Err(std::fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A file of a [`Storage`].
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Reads at most `buffer.len()` bytes at an offset; 0 at the end of the file.
    ///
    /// # Errors
    /// As `pread(2)`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// As [`read_at`](StorageFile::read_at), at most `len` bytes, behind what the buffer has.
    ///
    /// # Errors
    /// As [`read_at`](StorageFile::read_at). The buffer is as it was then.
    fn read_into(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
        read_into_zeros(self, buffer, len, offset)
    }

    /// Writes at most `data.len()` bytes at an offset and returns how many.
    ///
    /// # Errors
    /// As `pwrite(2)`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize>;

    /// The open file of the operating system, for those who pass its bytes on without looking at them.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Waits until the content is on the disk. After an error nothing is known of what was written since the last sync that
    /// succeeded, also when a later one does.
    ///
    /// # Errors
    /// As `fdatasync(2)`.
    fn sync(&self) -> io::Result<()>;

    /// Bytes of the file.
    ///
    /// # Errors
    /// As `fstat(2)`.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file, or extends it by zeros.
    ///
    /// # Errors
    /// As `ftruncate(2)`.
    fn set_size(&self, bytes: u64) -> io::Result<()>;

    /// Has the file be at least that long, with its blocks reserved, so that writing below that length needs no new ones.
    ///
    /// # Errors
    /// As `fallocate(2)`. A file system that cannot reserve does not fail for it.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Makes blocks ready from `from` to `to`, multiples of 4096 behind all that was written, so that appending there is quick:
    /// they read as zeros then. What cannot be done so is left.
    ///
    /// # Errors
    /// As [`write_at`](StorageFile::write_at). The file may then be longer by a part of it.
    fn prepare(&self, from: u64, to: u64) -> io::Result<()> {
        let _ = from;
        self.allocate(to)
    }

    /// Writes all of `data` at an offset, calls `written`, and waits until it is on the disk. Up to a multiple of 4096 behind it zeros may
    /// be written too. One caller at a time; what lies in the last block below the offset is not written by anybody else.
    ///
    /// # Errors
    /// As [`write_at`](StorageFile::write_at) and [`sync`](StorageFile::sync), and [`AppendError`] says which of them.
    fn append(&self, data: &[u8], offset: u64, written: &mut dyn FnMut()) -> Result<(), AppendError> {
        append_buffered(self, data, offset, written)
    }
}

/// [`StorageFile::read_into`] by a read into memory that is written before.
fn read_into_zeros(
    file: &(impl StorageFile + ?Sized),
    buffer: &mut Vec<u8>,
    len: usize,
    offset: u64,
) -> io::Result<usize> {
    let begin = buffer.len();
    buffer.resize(begin + len, 0);
    let result = file.read_at(&mut buffer[begin..], offset);
    buffer.truncate(begin + result.as_ref().map_or(0, |&count| count));
    result
}

/// [`StorageFile::append`] by a write and a sync.
fn append_buffered(
    file: &(impl StorageFile + ?Sized),
    data: &[u8],
    offset: u64,
    written: &mut dyn FnMut(),
) -> Result<(), AppendError> {
    write_all_at(file, data, offset).map_err(AppendError::Write)?;
    written();
    file.sync().map_err(AppendError::Sync)
}

/// What of an [`append`](StorageFile::append) failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum AppendError {
    /// It was not begun, for lack of something that it takes: nothing of it is in the file.
    NotBegun(io::Error),
    /// The write: a part of it may be in the file.
    Write(io::Error),
    /// The sync: nothing is known of what is on the disk.
    Sync(io::Error),
}

impl From<AppendError> for io::Error {
    fn from(error: AppendError) -> io::Error {
        match error {
            AppendError::NotBegun(error) | AppendError::Write(error) | AppendError::Sync(error) => error,
        }
    }
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name; one that is not UTF-8 is not listed.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// Whether an error says that there is no room: other than a failure, it goes away when there is.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error says that no descriptor is left. Only what opens a file has it: nothing was written.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    errno == Some(Errno::MFILE.raw_os_error()) || errno == Some(Errno::NFILE.raw_os_error())
}

/// Writes all of `data` at an offset.
///
/// # Errors
/// As [`StorageFile::write_at`]; `WriteZero` when the file takes no more. A part may then be written.
pub fn write_all_at(file: &(impl StorageFile + ?Sized), mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        match file.write_at(data, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                data = &data[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends; returns how many bytes there were.
///
/// # Errors
/// As [`StorageFile::read_at`]. The buffer may then hold a part.
pub fn read_full_at(file: &(impl StorageFile + ?Sized), buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads `len` bytes at an offset, or what there is up to the end of the file.
///
/// # Errors
/// As [`StorageFile::read_at`].
pub fn read_range(file: &(impl StorageFile + ?Sized), offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let (rest, at) = (len - bytes.len(), offset + bytes.len() as u64);
        match file.read_into(&mut bytes, rest, at) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Reads a whole file of at most `bytes_max` bytes.
///
/// # Errors
/// As [`Storage::open`] and [`StorageFile::read_at`]; `InvalidData` when it is longer.
pub fn read_file(storage: &dyn Storage, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = storage.open(path, false)?;
    let size = file.size()?;
    if size > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{size} bytes, at most {bytes_max}")));
    }
    read_range(&*file, 0, size as usize)
}

/// Where a file is written before it takes its name.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Takes a file's name away, if it has one.
pub(crate) fn remove_if_there(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    match storage.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Puts a file with this content in place of what has the name, so that after a power cut it is the one or the other, whole.
///
/// # Errors
/// As the functions of [`Storage`]. What had the name is still there then.
pub fn replace_file(storage: &dyn Storage, path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary_path(path);
    remove_if_there(storage, &temporary)?;
    let file = storage.create(&temporary)?;
    write_all_at(&*file, content, 0)?;
    file.sync()?;
    storage.rename(&temporary, path)?;
    storage.sync_dir(folder)
}
