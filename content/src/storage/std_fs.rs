//! Files by plain system calls, which block the calling thread.

use super::{DirEntry, Lock, SharedFile, Storage, StorageFile};
use rustix::fs::{FallocateFlags, OFlags, fallocate, fcntl_setfl};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// The operating system's files, by plain calls: for programs that look at a log without a worker.
///
/// ```
/// use std::path::Path;
/// use sws_content::storage::{StdStorage, Storage};
///
/// let entries = StdStorage.list(Path::new("/"))?;
/// assert!(entries.iter().any(|entry| entry.name == "tmp" && entry.is_dir));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct StdStorage;

/// Said of pipes, sockets and devices in the place of a file.
pub(crate) const NO_FILE: &str = "it is not a regular file";

impl Storage for StdStorage {
    fn create(&self, path: &Path) -> io::Result<SharedFile> {
        Ok(Arc::new(create(path)?))
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<SharedFile> {
        Ok(Arc::new(open(path, writable)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir });
            }
        }
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        Lock::file(path)
    }
}

pub(super) fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

pub(super) fn open(path: &Path, writable: bool) -> io::Result<fs::File> {
    let file = open_regular(path, writable)?;
    // The ring takes the flag as a wish not to wait for the disk either.
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// Opens a file, if it is one: others would have the caller wait for a peer, or have no end. It is non-blocking.
pub(crate) fn open_regular(path: &Path, writable: bool) -> io::Result<fs::File> {
    let unwaiting = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(writable).custom_flags(unwaiting.bits() as i32).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NO_FILE));
    }
    Ok(file)
}

/// Reserves blocks up to a length. Where the file system cannot, the file is left as it is: writing extends it.
pub(super) fn allocate(file: impl AsFd, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

impl StorageFile for fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        allocate(self, bytes)
    }
}
