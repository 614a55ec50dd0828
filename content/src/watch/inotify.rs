//! The kernel's side: watches placed, folders listed, events read. Nothing here waits but for the disk; what looks at the disk runs
//! on the pool.

use super::tracker::{Event, EventKind, Found, Probe, Scan, Wd};
use super::{Ignore, LimitKind, WatchError, WatchLimit};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Room for at least 230 events of the longest names, and some 2,000 of usual ones.
const EVENTS_BYTES: usize = 64 * 1024;

/// Reads in a row before the loop is let go on.
const READS_MAX: usize = 8;

/// An inotify instance. Clones are the same one.
#[derive(Clone)]
pub(super) struct Inotify {
    fd: Arc<OwnedFd>,
}

/// What a scan is bounded by.
#[derive(Clone, Copy)]
pub(super) struct ScanBounds {
    pub folders_max: usize,
    pub files_max: usize,
    /// What is said of it: `entries_max`.
    pub entries_max: usize,
}

impl Inotify {
    pub(super) fn open(root: &Path) -> Result<Inotify, WatchError> {
        match inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC) {
            Ok(fd) => Ok(Inotify { fd: Arc::new(fd) }),
            Err(Errno::MFILE) => Err(WatchError::Limit(limit(LimitKind::Instances, root))),
            Err(errno) => Err(WatchError::Io { path: root.to_owned(), source: errno.into() }),
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Takes events that wait, not more than a few thousand; whether these were all.
    pub(super) fn read(&self, mut take: impl FnMut(Event)) -> Result<bool, Errno> {
        let mut buffer = vec![MaybeUninit::<u8>::uninit(); EVENTS_BYTES];
        let mut reader = Reader::new(&*self.fd, &mut buffer);
        let mut reads = 0;
        loop {
            if reader.is_buffer_empty() {
                if reads == READS_MAX {
                    return Ok(false);
                }
                reads += 1;
            }
            match reader.next() {
                Ok(event) => decode(&event).into_iter().for_each(&mut take),
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Watches the folder in which the root stands, for the root's own removal: of a folder that somebody has open or stands in, the
    /// kernel does not say itself that it is gone. None where that cannot be.
    pub(super) fn watch_above(&self, root: &Path) -> Option<Above> {
        let root = fs::canonicalize(root).ok()?;
        let name = root.file_name()?.to_owned();
        let wd =
            inotify::add_watch(&*self.fd, root.parent()?, WatchFlags::DELETE | WatchFlags::ONLYDIR).ok()?;
        Some(Above { wd, name })
    }

    /// Ends a watch; the kernel may have ended it already.
    pub(super) fn forget(&self, wd: Wd) {
        let _ = inotify::remove_watch(&*self.fd, wd);
    }

    /// Watches a folder and all below it, each before it is listed, so that what is made in it from then on leaves an event.
    pub(super) fn scan(&self, root: &Path, path: PathBuf, ignore: &Ignore, bounds: ScanBounds) -> Scan {
        let mut scan = Scan { path: path.clone(), ..Scan::default() };
        let mut open = vec![path];
        let mut files = 0;
        while let Some(path) = open.pop() {
            let place = root.join(&path);
            let wd = match self.place_watch(&place, path.as_os_str().is_empty(), scan.folders.len(), bounds) {
                Ok(wd) => Some(wd),
                Err(Placing::Skip) => continue,
                Err(Placing::Limit(limit)) => {
                    scan.limit.get_or_insert(limit);
                    None
                }
            };
            let mut found = Found { path, wd, files: Vec::new() };
            // A folder that went away between the two is told of by its parent's events.
            for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Ok(kind) = entry.file_type() else { continue };
                if ignore.matches(&name) {
                    continue;
                }
                if kind.is_dir() {
                    open.push(found.path.join(name));
                } else if kind.is_file() || kind.is_symlink() {
                    files += 1;
                    scan.truncated = files > bounds.files_max;
                    if !scan.truncated {
                        let len = entry.metadata().map_or(0, |metadata| metadata.len());
                        found.files.push((name, len));
                    }
                }
            }
            scan.folders.push(found);
        }
        scan
    }

    fn place_watch(
        &self,
        place: &Path,
        is_root: bool,
        placed: usize,
        bounds: ScanBounds,
    ) -> Result<Wd, Placing> {
        if placed >= bounds.folders_max {
            let current = u64::try_from(bounds.entries_max).ok();
            return Err(Placing::Limit(WatchLimit {
                kind: LimitKind::Entries,
                current,
                sysctl: None,
                path: place.to_owned(),
            }));
        }
        // Events of the file that a deleted name once was are left out (EXCL_UNLINK): the name may be another's.
        let mut flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        if !is_root {
            flags |= WatchFlags::DONT_FOLLOW;
        }
        inotify::add_watch(&*self.fd, place, flags).map_err(|errno| match errno {
            Errno::NOSPC => Placing::Limit(limit(LimitKind::Watches, place)),
            _ => Placing::Skip,
        })
    }
}

/// The watch above the root.
pub(super) struct Above {
    wd: Wd,
    name: OsString,
}

impl Above {
    /// Whether an event says that the root is gone.
    pub(super) fn says_gone(&self, event: &Event) -> bool {
        (event.wd, event.kind) == (self.wd, EventKind::Delete) && event.name == self.name
    }
}

enum Placing {
    /// It is gone, no folder, or not ours to read.
    Skip,
    Limit(WatchLimit),
}

/// A user namespace may have a lower limit than the machine.
fn limit(kind: LimitKind, path: &Path) -> WatchLimit {
    let settings = match kind {
        LimitKind::Watches => ["fs.inotify.max_user_watches", "user.max_inotify_watches"].as_slice(),
        LimitKind::Instances => &["fs.inotify.max_user_instances", "user.max_inotify_instances"],
        LimitKind::Entries => &[],
    };
    let values = settings.iter().filter_map(|sysctl| Some((read_setting(sysctl)?, *sysctl)));
    let lowest = values.min_by_key(|(value, _)| *value);
    WatchLimit {
        kind,
        current: lowest.map(|(value, _)| value),
        sysctl: lowest.map(|(_, sysctl)| sysctl).or(settings.first().copied()),
        path: path.to_owned(),
    }
}

fn read_setting(sysctl: &str) -> Option<u64> {
    let file = Path::new("/proc/sys").join(sysctl.replace('.', "/"));
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// What stands at a path.
pub(super) fn probe(place: &Path) -> Probe {
    match fs::symlink_metadata(place) {
        Ok(metadata) if metadata.is_symlink() => Probe::Symlink,
        Ok(metadata) if metadata.is_file() => Probe::File { links: metadata.nlink(), len: metadata.len() },
        Ok(_) | Err(_) => Probe::Nothing,
    }
}

fn decode(event: &inotify::Event<'_>) -> Option<Event> {
    const KINDS: [(ReadFlags, EventKind); 11] = [
        (ReadFlags::QUEUE_OVERFLOW, EventKind::Overflow),
        (ReadFlags::IGNORED, EventKind::Ignored),
        (ReadFlags::UNMOUNT, EventKind::Unmount),
        (ReadFlags::DELETE_SELF, EventKind::DeleteSelf),
        (ReadFlags::MOVE_SELF, EventKind::MoveSelf),
        (ReadFlags::CREATE, EventKind::Create),
        (ReadFlags::DELETE, EventKind::Delete),
        (ReadFlags::MOVED_FROM, EventKind::MovedFrom),
        (ReadFlags::MOVED_TO, EventKind::MovedTo),
        (ReadFlags::CLOSE_WRITE, EventKind::CloseWrite),
        (ReadFlags::MODIFY, EventKind::Modify),
    ];
    let flags = event.events();
    let (_, kind) = KINDS.iter().find(|(flag, _)| flags.contains(*flag))?;
    let name =
        event.file_name().map_or_else(OsString::new, |name| OsStr::from_bytes(name.to_bytes()).to_owned());
    Some(Event {
        wd: event.wd(),
        kind: *kind,
        name,
        is_dir: flags.contains(ReadFlags::ISDIR),
        cookie: event.cookie(),
    })
}
