//! What a watcher is told, and what it tells. Pure.

use super::Ignore;
use std::path::PathBuf;
use std::time::Duration;

/// How a [`Watcher`](super::Watcher) works.
///
/// ```
/// use std::time::Duration;
/// use sws_content::watch::{Ignore, WatchOptions};
///
/// let options = WatchOptions { debounce: Duration::from_millis(50), ignore: Ignore::default().name("*.log"), ..Default::default() };
/// assert_eq!(options.debounce_max, Duration::from_millis(500));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// A batch is delivered when nothing has changed for this time (default 20 ms).
    pub debounce: Duration,
    /// A batch is delivered at the latest this time after its first change, also in a storm that does not end (default 500 ms).
    pub debounce_max: Duration,
    /// Names that are not seen.
    pub ignore: Ignore,
    /// The most folders that are watched, and the most paths in a batch (default 65,536). More folders leave the watcher degraded;
    /// more paths make the batch a rescan.
    pub entries_max: usize,
    /// How often a root that is gone is looked for (default 250 ms).
    pub root_retry: Duration,
}

impl Default for WatchOptions {
    fn default() -> WatchOptions {
        WatchOptions {
            debounce: Duration::from_millis(20),
            debounce_max: Duration::from_millis(500),
            ignore: Ignore::default(),
            entries_max: 65_536,
            root_retry: Duration::from_millis(250),
        }
    }
}

/// What has changed between two calls of [`Watcher::next`](super::Watcher::next). Paths are relative to the root, sorted, each at
/// most once in a list. Apply it in this order: `removed_dirs` with all below them, then `removed`, then `changed`.
///
/// A batch tells where to look; the disk may have moved on when it is read. A changed path that is not there is a removed one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Files that were written to their end, moved in, linked, or found in a new folder; and symbolic links, never followed. The
    /// content may be the same as before.
    pub changed: Vec<PathBuf>,
    /// Files that were deleted or moved away.
    pub removed: Vec<PathBuf>,
    /// Folders that were deleted or moved away, with all below them. What is there again is in `changed`. Also folders that came
    /// while the caller read the whole tree, at the beginning or for a rescan: what it read of them may be gone.
    pub removed_dirs: Vec<PathBuf>,
    /// Anything may have changed: read the whole tree again. The lists are empty then.
    pub rescan: bool,
    /// Some folders are not watched: see [`Watcher::limit`](super::Watcher::limit).
    pub degraded: bool,
}

impl Batch {
    /// Whether the batch names no change; one that only says `degraded` does not.
    pub fn is_empty(&self) -> bool {
        !self.rescan && self.changed.is_empty() && self.removed.is_empty() && self.removed_dirs.is_empty()
    }
}
