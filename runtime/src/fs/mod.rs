//! Files for fibers: opened, read, written and synced on the ring.
//!
//! A fiber waits in place; the loop goes on. Offsets are always given, so a file has no position to share.
//!
//! # Unsafe
//!
//! Paths, open flags, metadata and buffers that operations name belong to the calling function or its caller, which the
//! operation outlives in no case: `run_io` returns after the completion.

mod dir;
mod metadata;

pub use dir::{Dir, Symlinks};
pub use metadata::Metadata;

use crate::ops::{Lane, run_io};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sws_rings::{Descriptor, Op, OpenHow, Span};

/// An open file. Dropping it closes it.
///
/// Every function that reaches the file suspends the calling fiber, fails with an error that holds
/// [`Cancelled`](crate::Cancelled) when the fiber is cancelled (what was being written may then be written in part), and
/// panics when not called on a fiber.
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::fs::File;
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// # let path = std::env::temp_dir().join(format!("sws-doc-file-{}", std::process::id()));
/// # let kept = path.clone();
/// runtime.block_on_fiber(move || -> std::io::Result<()> {
///     let file = File::create(&path)?;
///     file.write_all_at(b"hello", 0)?;
///     file.sync()?;
///
///     let file = File::open(&path)?;
///     let mut bytes = vec![0; file.metadata()?.len() as usize];
///     file.read_exact_at(&mut bytes, 0)?;
///     assert_eq!(bytes, b"hello");
///     Ok(())
/// })?;
/// # std::fs::remove_file(kept)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
}

impl File {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// As `openat2(2)`; `InvalidInput` for a path with a NUL.
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to read and write it; makes it if it is not there, empties it if it is.
    ///
    /// # Errors
    /// As [`open`](File::open).
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
    }

    /// Reads at most `buffer.len()` bytes at an offset; 0 at the end of the file.
    ///
    /// # Errors
    /// As `pread(2)`.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let op = Op::Read {
            descriptor: self.descriptor(),
            buffer: Span::of_mut(buffer),
            offset: checked_offset(offset)?,
        };
        // SAFETY: the buffer is borrowed until this returns.
        unsafe { run_io(Lane::Main, &op, "file read", None) }.map(|count| count as usize)
    }

    /// As [`read_at`](File::read_at), at most `len` bytes, behind what the buffer has: its memory need not be written before.
    ///
    /// # Errors
    /// As [`read_at`](File::read_at). The buffer is as it was then.
    pub fn read_into(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
        buffer.reserve(len);
        let begin = buffer.len();
        let op = Op::Read {
            descriptor: self.descriptor(),
            buffer: Span::of_uninit(&mut buffer.spare_capacity_mut()[..len]),
            offset: checked_offset(offset)?,
        };
        // SAFETY: the memory is the buffer's, which is borrowed until this returns.
        let count = unsafe { run_io(Lane::Main, &op, "file read", None) }? as usize;
        assert!(count <= len, "a read returns no more than was asked for");
        // SAFETY: the kernel has written so many bytes behind `begin`, for which there was room.
        unsafe { buffer.set_len(begin + count) };
        Ok(count)
    }

    /// Reads exactly `buffer.len()` bytes at an offset.
    ///
    /// # Errors
    /// As [`read_at`](File::read_at); `UnexpectedEof` when the file ends first. The buffer may then hold a part.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let count = self.read_at(buffer, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer = &mut buffer[count..];
            offset += count as u64;
        }
        Ok(())
    }

    /// Writes at most `data.len()` bytes at an offset and returns how many.
    ///
    /// # Errors
    /// As `pwrite(2)`.
    pub fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        let op = Op::Write {
            descriptor: self.descriptor(),
            data: Span::of(data),
            offset: checked_offset(offset)?,
        };
        // SAFETY: the data are borrowed until this returns.
        unsafe { run_io(Lane::Main, &op, "file write", None) }.map(|count| count as usize)
    }

    /// Writes all of `data` at an offset.
    ///
    /// # Errors
    /// As [`write_at`](File::write_at); `WriteZero` when the file takes no more. A part may then be written.
    pub fn write_all_at(&self, mut data: &[u8], mut offset: u64) -> io::Result<()> {
        while !data.is_empty() {
            let count = self.write_at(data, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            data = &data[count..];
            offset += count as u64;
        }
        Ok(())
    }

    /// Waits until the data, and the metadata needed to read them, are on the disk (`fdatasync(2)`).
    ///
    /// # Errors
    /// As `fdatasync(2)`. After an error nothing is known of what was written, also when a later sync succeeds.
    pub fn sync(&self) -> io::Result<()> {
        self.fsync(true)
    }

    /// As [`sync`](File::sync), with all metadata (`fsync(2)`).
    ///
    /// # Errors
    /// As [`sync`](File::sync).
    pub fn sync_all(&self) -> io::Result<()> {
        self.fsync(false)
    }

    fn fsync(&self, data_only: bool) -> io::Result<()> {
        let op = Op::Fsync { descriptor: self.descriptor(), data_only };
        // SAFETY: names no memory.
        unsafe { run_io(Lane::Main, &op, "file sync", None) }.map(drop)
    }

    /// Size, time and kind of the open file, whatever its path names meanwhile.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub fn metadata(&self) -> io::Result<Metadata> {
        Metadata::of(self.fd.as_fd())
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor::Raw(self.fd.as_raw_fd())
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for File {
    /// Takes a descriptor over, such as one of `std::fs::File`.
    fn from(fd: OwnedFd) -> File {
        File { fd }
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.fd
    }
}

/// How a file is opened.
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::fs::OpenOptions;
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| {
///     let refused = OpenOptions::new().read(true).open("/nowhere/at/all");
///     assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// });
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    create: bool,
    create_new: bool,
    truncate: bool,
    mode: u32,
    flags: i32,
}

impl OpenOptions {
    /// Nothing allowed yet; a file that is made has mode 0o666 less the umask.
    #[expect(
        clippy::new_without_default,
        reason = "as std::fs::OpenOptions; options that allow nothing are no default"
    )]
    pub fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            create: false,
            create_new: false,
            truncate: false,
            mode: 0o666,
            flags: 0,
        }
    }

    /// Whether it may be read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.read = read;
        self
    }

    /// Whether it may be written.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.write = write;
        self
    }

    /// Whether it is made when it is not there.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.create = create;
        self
    }

    /// Whether it is made, and must not have been there.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.create_new = create_new;
        self
    }

    /// Whether it is emptied.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.truncate = truncate;
        self
    }

    /// The permissions of a file that is made, less the umask.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// Further flags of `open(2)`, such as `O_DIRECT`.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.flags = flags;
        self
    }

    /// Opens.
    ///
    /// # Errors
    /// As `openat2(2)`; `InvalidInput` for a path with a NUL, or options that contradict each other.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let access = match (self.read, self.write) {
            (true, false) => libc::O_RDONLY,
            (false, true) => libc::O_WRONLY,
            (true, true) => libc::O_RDWR,
            (false, false) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        if !self.write && (self.create || self.create_new || self.truncate) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let making = match (self.create_new, self.create) {
            (true, _) => libc::O_CREAT | libc::O_EXCL,
            (false, true) => libc::O_CREAT,
            (false, false) => 0,
        };
        let emptying = if self.truncate && !self.create_new { libc::O_TRUNC } else { 0 };
        let how = OpenHow::new()
            .flags((access | making | emptying | self.flags | libc::O_CLOEXEC) as u64)
            // openat2(2) refuses a mode where nothing can be made.
            .mode(if making == 0 { 0 } else { u64::from(self.mode & 0o7777) });
        let fd = open_how(libc::AT_FDCWD, path.as_ref(), &how)?;
        Ok(File { fd })
    }
}

/// Opens on the ring.
fn open_how(directory: RawFd, path: &Path, how: &OpenHow) -> io::Result<OwnedFd> {
    let path = to_c_string(path)?;
    let op = Op::OpenAt { directory, path: Span::of(path.as_bytes_with_nul()), how: Span::of_value(how) };
    // SAFETY: path and flags outlive the call.
    let fd = unsafe { run_io(Lane::Main, &op, "file open", None) }?;
    // SAFETY: the kernel has just made this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn to_c_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path with a NUL"))
}

/// The kernel reads `u64::MAX` as the file's own position, and other offsets as signed.
fn checked_offset(offset: u64) -> io::Result<u64> {
    match i64::try_from(offset) {
        Ok(_) => Ok(offset),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "an offset over 2^63")),
    }
}
