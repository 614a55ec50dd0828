//! What is known of a file.

use crate::ops::{Lane, run_io};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sws_rings::{Op, Span, Statx};

/// Size, time and kind of a file, all read at one time from the open file.
///
/// ```
/// # use sws_runtime::Runtime;
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| -> std::io::Result<()> {
///     let root = sws_runtime::fs::Dir::open("/")?;
///     let metadata = root.metadata()?;
///     assert!(metadata.is_dir() && !metadata.is_file());
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    len: u64,
    modified: SystemTime,
    mode: u32,
    inode: u64,
    device: (u32, u32),
}

impl Metadata {
    /// Asks the ring for what an open descriptor stands for.
    pub(super) fn of(file: BorrowedFd<'_>) -> io::Result<Metadata> {
        let mut statx = MaybeUninit::<Statx>::zeroed();
        // SAFETY: statx is integers, for which zero is a value.
        let statx = unsafe { statx.assume_init_mut() };
        let op = Op::Statx {
            directory: file.as_raw_fd(),
            path: Span::of(b"\0"),
            flags: libc::AT_EMPTY_PATH,
            mask: libc::STATX_BASIC_STATS,
            out: Span::of_value_mut(statx),
        };
        // SAFETY: path and result outlive the call, and nobody else uses them.
        unsafe { run_io(Lane::Main, &op, "file metadata", None) }?;
        Ok(Metadata {
            len: statx.stx_size,
            modified: time(statx.stx_mtime.tv_sec, statx.stx_mtime.tv_nsec),
            mode: u32::from(statx.stx_mode),
            inode: statx.stx_ino,
            device: (statx.stx_dev_major, statx.stx_dev_minor),
        })
    }

    /// Bytes of a file.
    #[expect(clippy::len_without_is_empty, reason = "as std::fs::Metadata: a length, not a collection")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// When its content last changed, to the nanosecond.
    pub fn modified(&self) -> SystemTime {
        self.modified
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.is_kind(libc::S_IFREG)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.is_kind(libc::S_IFDIR)
    }

    fn is_kind(&self, kind: u32) -> bool {
        self.mode & libc::S_IFMT == kind
    }

    /// Kind and permissions as `st_mode`.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// Its number within its file system.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Major and minor number of its file system's device. Together with [`inode`](Metadata::inode) it names the file.
    pub fn device(&self) -> (u32, u32) {
        self.device
    }
}

/// A time of the file system, which may lie before 1970 and, on a broken one, anywhere.
fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    base.and_then(|base| base.checked_add(Duration::from_nanos(u64::from(nanoseconds)))).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_and_out_of_range_are_times() {
        assert_eq!(time(1, 5), UNIX_EPOCH + Duration::new(1, 5));
        assert_eq!(time(-1, 250_000_000), UNIX_EPOCH - Duration::from_millis(750));
        assert_eq!(
            time(i64::MIN, 0),
            UNIX_EPOCH.checked_sub(Duration::from_secs(1 << 63)).unwrap_or(UNIX_EPOCH)
        );
    }
}
