//! Files on the worker's ring.
//!
//! Reading, writing and syncing are operations of the ring. What happens once for a segment (names, folders, reserving blocks) goes
//! to the pool for CPU work as plain calls. Appending goes past the page cache where the file system lets it, on a thread of its own. Off a fiber everything is a plain call, so that a log can be opened before its worker runs.

use super::direct::{Direct, Writers};
use super::std_fs::{self, StdStorage};
use super::{AppendError, DirEntry, Lock, SharedFile, Storage, StorageFile};
use super::{append_buffered, is_full, read_full_at, read_into_zeros};
use rustix::fs::{OFlags, fdatasync, fstat, ftruncate};
use rustix::io::{Errno, pread, pwrite};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use sws_runtime::fs::{File, OpenOptions};
use sws_runtime::{JoinError, on_fiber, submit};

/// The operating system's files, on the ring of the worker on whose fiber they are used.
#[derive(Clone, Debug, Default)]
pub struct RingStorage {
    writers: Arc<Writers>,
}

/// An open file, for the ring and for plain calls.
#[derive(Debug)]
struct RingFile {
    file: File,
    writers: Arc<Writers>,
    /// The same file past the page cache; `None` where the file system cannot.
    direct: OnceLock<Option<Arc<OwnedFd>>>,
    /// Taken out while it is used.
    append: Mutex<Append>,
}

/// How a file is appended to.
#[derive(Debug)]
enum Append {
    /// It is not known yet.
    Unknown,
    /// Past the page cache.
    Direct(Box<Direct>),
    /// Through it: the file system cannot do otherwise, or somebody else is just appending.
    Buffered,
}

impl RingFile {
    /// For a plain call on another thread: it has the file open for itself.
    fn plain(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    /// Takes the way to append.
    fn take_append(&self) -> io::Result<Append> {
        let known = std::mem::replace(&mut *self.lock(), Append::Buffered);
        let Append::Unknown = known else { return Ok(known) };
        match self.direct() {
            Ok(Some(file)) => Ok(Append::Direct(Box::new(Direct::new(file)))),
            Ok(None) => Ok(Append::Buffered),
            Err(error) => {
                *self.lock() = Append::Unknown;
                Err(error)
            }
        }
    }

    /// The file past the page cache, opened when it is first wanted.
    fn direct(&self) -> io::Result<Option<Arc<OwnedFd>>> {
        let known = self.direct.get();
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let opened = self.open_direct()?.map(|file| Arc::new(OwnedFd::from(file)));
        // Another fiber may have opened it meanwhile: either will do.
        Ok(self.direct.get_or_init(|| opened).clone())
    }

    /// Opens the file past the page cache. `None` where the file system has no such way.
    fn open_direct(&self) -> io::Result<Option<File>> {
        let flags = OFlags::DIRECT.bits() as i32;
        // This file, whatever has its name meanwhile. Without /proc there is no other way to it.
        let path = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
        match OpenOptions::new().write(true).custom_flags(flags).open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Append> {
        self.append.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a plain call off the loop's thread if this is a fiber.
fn aside<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    if !on_fiber() {
        return call();
    }
    match submit(call).join() {
        Ok(result) => result,
        Err(JoinError::Cancelled) => Err(sws_runtime::Cancelled.into()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

impl RingStorage {
    fn share(&self, file: std::fs::File) -> SharedFile {
        Arc::new(RingFile {
            file: File::from(OwnedFd::from(file)),
            writers: Arc::clone(&self.writers),
            direct: OnceLock::new(),
            append: Mutex::new(Append::Unknown),
        })
    }
}

/// A durable write is write and sync in one: only of a lack of space it is certain that it was the write.
fn durable_error(error: io::Error) -> AppendError {
    if is_full(&error) { AppendError::Write(error) } else { AppendError::Sync(error) }
}

impl Storage for RingStorage {
    fn create(&self, path: &Path) -> io::Result<SharedFile> {
        let name = path.to_owned();
        Ok(self.share(aside(move || std_fs::create(&name))?))
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<SharedFile> {
        let name = path.to_owned();
        Ok(self.share(aside(move || std_fs::open(&name, writable))?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        aside(move || StdStorage.rename(&from, &to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        aside(move || StdStorage.remove(&path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        aside(move || StdStorage.create_dir(&path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        aside(move || StdStorage.remove_dir(&path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let path = path.to_owned();
        aside(move || StdStorage.list(&path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        aside(move || StdStorage.sync_dir(&path))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        Lock::file(path)
    }
}

impl StorageFile for RingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if on_fiber() { self.file.read_at(buffer, offset) } else { Ok(pread(&self.file, buffer, offset)?) }
    }

    fn read_into(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
        match on_fiber() {
            true => self.file.read_into(buffer, len, offset),
            false => read_into_zeros(self, buffer, len, offset),
        }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        if on_fiber() { self.file.write_at(data, offset) } else { Ok(pwrite(&self.file, data, offset)?) }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn sync(&self) -> io::Result<()> {
        if on_fiber() { self.file.sync() } else { Ok(fdatasync(&self.file)?) }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(fstat(&self.file)?.st_size.try_into().unwrap_or(0))
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        let plain = self.plain()?;
        aside(move || Ok(ftruncate(&plain, bytes)?))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let plain = self.plain()?;
        aside(move || std_fs::allocate(&plain, bytes))
    }

    fn prepare(&self, from: u64, to: u64) -> io::Result<()> {
        if !on_fiber() {
            return Ok(());
        }
        let Some(file) = self.direct()? else { return Ok(()) };
        self.writers.zero(&file, from, to)
    }

    fn append(&self, data: &[u8], offset: u64, written: &mut dyn FnMut()) -> Result<(), AppendError> {
        if !on_fiber() {
            return append_buffered(self, data, offset, written);
        }
        let mut way = self.take_append().map_err(AppendError::NotBegun)?;
        let result = match &mut way {
            Append::Direct(_) if let Err(error) = self.writers.start() => Err(AppendError::NotBegun(error)),
            Append::Direct(direct) => direct
                .append(&self.writers, data, offset, |block, at| read_full_at(self, block, at))
                .map(|()| written())
                .map_err(durable_error),
            Append::Buffered | Append::Unknown => append_buffered(self, data, offset, written),
        };
        *self.lock() = way;
        result
    }
}
