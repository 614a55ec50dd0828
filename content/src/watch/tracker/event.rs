//! What goes into the tracker and what comes out of it, as plain values.

use crate::watch::{Batch, WatchLimit};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A watch descriptor: the kernel's name of a watched folder, whatever its path.
pub(crate) type Wd = i32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Create,
    Modify,
    CloseWrite,
    MovedFrom,
    MovedTo,
    Delete,
    /// The watched folder itself was deleted.
    DeleteSelf,
    /// The watched folder itself was moved.
    MoveSelf,
    Unmount,
    /// The watch has ended.
    Ignored,
    /// The kernel's queue was full: events are lost.
    Overflow,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub wd: Wd,
    pub kind: EventKind,
    /// What it is about, inside of the folder; empty for the folder itself.
    pub name: OsString,
    /// Whether it is about a folder.
    pub is_dir: bool,
    /// Joins the two events of a move.
    pub cookie: u32,
}

/// A folder found by a scan, its watch placed before it was listed.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub path: PathBuf,
    /// Absent where no watch could be placed.
    pub wd: Option<Wd>,
    /// With the lengths they had.
    pub files: Vec<(OsString, u64)>,
}

/// What a scan found at and below a path; no folder if there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    pub path: PathBuf,
    pub folders: Vec<Found>,
    pub limit: Option<WatchLimit>,
    /// There were more files than may be listed.
    pub truncated: bool,
}

/// What stands at the path of a file of which no event says who writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Nothing, a folder, or neither file nor link.
    Nothing,
    Symlink,
    File {
        links: u64,
        len: u64,
    },
}

/// What the tracker wants next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Events; or, after this time, another poll.
    Wait(Option<Duration>),
    /// A scan of each of these folders, with watches placed.
    Scan(Vec<PathBuf>),
    /// A look at each of these files.
    Probe(Vec<PathBuf>),
    /// The root is gone; said once.
    RootGone,
    Deliver(Batch),
}
