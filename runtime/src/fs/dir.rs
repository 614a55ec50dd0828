//! A folder below which files are opened, and outside of which none.

use super::{File, Metadata, open_how};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sws_rings::OpenHow;

/// The path lies below the folder at every step, or is refused (EXDEV).
const RESOLVE_BENEATH: u64 = libc::RESOLVE_BENEATH;
/// No links of /proc, which lead anywhere.
const RESOLVE_NO_MAGICLINKS: u64 = libc::RESOLVE_NO_MAGICLINKS;
/// No links at all (ELOOP).
const RESOLVE_NO_SYMLINKS: u64 = libc::RESOLVE_NO_SYMLINKS;
/// The kernel gives up on `..` while something is being renamed, and asks to be asked again.
const ATTEMPTS_MAX: u32 = 16;

/// What is done with symbolic links below a [`Dir`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// Those that stay below the folder are followed, those that lead out of it are refused.
    #[default]
    FollowBeneath,
    /// All are refused.
    Refuse,
}

/// An open folder. What is opened by it lies below it: the kernel checks each step of the path, with its links and `..`, while
/// it walks, so there is no time between the check and the opening. An absolute path, or one that leads out, is refused with
/// EXDEV (`CrossesDevices`).
///
/// Every function suspends the calling fiber, and panics when not called on one.
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::fs::{Dir, Symlinks};
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// # let path = std::env::temp_dir().join(format!("sws-doc-dir-{}", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// # std::fs::write(path.join("index.html"), "<p>")?;
/// # let kept = path.clone();
/// runtime.block_on_fiber(move || -> std::io::Result<()> {
///     let site = Dir::open(&path)?;
///     let page = site.open_beneath("index.html", Symlinks::FollowBeneath)?;
///     assert_eq!(page.metadata()?.len(), 3);
///     assert!(site.open_beneath("../etc/passwd", Symlinks::FollowBeneath).is_err());
///     Ok(())
/// })?;
/// # std::fs::remove_dir_all(kept)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

impl Dir {
    /// Opens a folder.
    ///
    /// # Errors
    /// As `openat2(2)`; `NotADirectory` for something else, `InvalidInput` for a path with a NUL.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Dir> {
        let how = OpenHow::new().flags((libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64);
        let fd = open_how(libc::AT_FDCWD, path.as_ref(), &how)?;
        Ok(Dir { fd })
    }

    /// Opens what lies at a relative path, to read it. It may be a folder, a FIFO or a device: [`File::metadata`] says. Opening
    /// a FIFO does not wait for its writer.
    ///
    /// # Errors
    /// As `openat2(2)`: EXDEV for a path that leads out, ELOOP for a link that is refused; `InvalidInput` for a NUL.
    pub fn open_beneath(&self, path: impl AsRef<Path>, symlinks: Symlinks) -> io::Result<File> {
        // A read of a regular file is never asked not to wait, so that O_NONBLOCK ends with the opening.
        let fd =
            self.open_inside(path.as_ref(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY, symlinks)?;
        set_blocking(fd.as_fd())?;
        Ok(File::from(fd))
    }

    /// Size, time and kind of what lies at a relative path, without opening it for reading.
    ///
    /// # Errors
    /// As [`open_beneath`](Dir::open_beneath), but no permission to read is needed.
    pub fn metadata_beneath(&self, path: impl AsRef<Path>, symlinks: Symlinks) -> io::Result<Metadata> {
        let fd = self.open_inside(path.as_ref(), libc::O_PATH, symlinks)?;
        Metadata::of(fd.as_fd())
    }

    /// Of the folder itself.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub fn metadata(&self) -> io::Result<Metadata> {
        Metadata::of(self.fd.as_fd())
    }

    fn open_inside(&self, path: &Path, flags: i32, symlinks: Symlinks) -> io::Result<OwnedFd> {
        let resolve = match symlinks {
            Symlinks::FollowBeneath => RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
            Symlinks::Refuse => RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
        };
        let how = OpenHow::new().flags((flags | libc::O_CLOEXEC) as u64).resolve(resolve);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match open_how(self.fd.as_raw_fd(), path, &how) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && attempts < ATTEMPTS_MAX => {}
                result => return result,
            }
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Clears O_NONBLOCK: it would make some kernels answer a read that has to wait for the disk with EAGAIN.
fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointers. The descriptor was opened without any other flag that F_SETFL changes.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
