//! Files on the worker's ring.
//!
//! Reading, writing and syncing are operations of the ring. What happens once for a segment (names, folders, reserving blocks) goes
//! to the pool for CPU work as plain calls. Off a fiber everything is a plain call, so that a log can be opened before its worker runs.

use super::std_fs::{self, StdStorage};
use super::{DirEntry, SharedFile, Storage, StorageFile};
use rustix::fs::{fdatasync, fstat, ftruncate};
use rustix::io::{pread, pwrite};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use sws_runtime::fs::File;
use sws_runtime::{JoinError, on_fiber, submit};

/// The operating system's files, on the ring of the worker on whose fiber they are used.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingStorage;

/// An open file, for the ring and for plain calls.
#[derive(Debug)]
struct RingFile(File);

impl RingFile {
    fn share(file: std::fs::File) -> SharedFile {
        Arc::new(RingFile(File::from(OwnedFd::from(file))))
    }

    /// For a plain call on another thread: it has the file open for itself.
    fn plain(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
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

impl Storage for RingStorage {
    fn create(&self, path: &Path) -> io::Result<SharedFile> {
        let path = path.to_owned();
        Ok(RingFile::share(aside(move || std_fs::create(&path))?))
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<SharedFile> {
        let path = path.to_owned();
        Ok(RingFile::share(aside(move || std_fs::open(&path, writable))?))
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
}

impl StorageFile for RingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if on_fiber() { self.0.read_at(buffer, offset) } else { Ok(pread(&self.0, buffer, offset)?) }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        if on_fiber() { self.0.write_at(data, offset) } else { Ok(pwrite(&self.0, data, offset)?) }
    }

    fn sync(&self) -> io::Result<()> {
        if on_fiber() { self.0.sync() } else { Ok(fdatasync(&self.0)?) }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(fstat(&self.0)?.st_size.try_into().unwrap_or(0))
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        let plain = self.plain()?;
        aside(move || Ok(ftruncate(&plain, bytes)?))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let plain = self.plain()?;
        aside(move || std_fs::allocate(&plain, bytes))
    }
}
