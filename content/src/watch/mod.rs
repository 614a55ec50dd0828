//! Watching a tree of files: what was written whole, moved, linked or removed, in batches, once it is quiet.
//!
//! ```text
//! inotify --events--> tracker (pure) --scans, probes--> worker pool --what they found--> tracker --batch--> next()
//! ```
//!
//! The descriptor is polled by the worker's ring and read without blocking; folders are watched and listed on the pool for CPU
//! work. What a watcher guarantees:
//!
//! - A file that is being written is not told of before its writer closes it, nor told removed while its new version is written.
//! - What is in a new folder is told, also what was made before its watch was placed, at any depth.
//! - Watches follow folders that move within the tree and end with those that leave it.
//! - The root's end is told also when somebody has the folder open: the folder above it is watched for that, where it may be read.
//! - Lost events (the kernel's queue was full), a root that was replaced and more changes than are counted become a
//!   [rescan](Batch::rescan), with all watches placed anew.
//! - At the kernel's limit of watches it goes on with those it has, [says so](Batch::degraded), and knows
//!   [what to do](Watcher::limit).
//!
//! What it cannot know:
//!
//! - A creation alone (`open` with `O_CREAT`, `link`, `symlink`) does not say whether a writer follows. One that stays alone for the
//!   debounce is told if it is a symbolic link or has several names; else it is taken for a file that somebody has open, and told when
//!   it is closed. So an empty file made by `mknod`, and one with a single name that came by `link` (its other name gone, or an
//!   `O_TMPFILE`), are told with their next change only.
//! - A file that was opened before the watch of its new folder was placed, or before it was moved in, and whose writer pauses for
//!   longer than the debounce, is told twice: before, and when it is closed.
//! - `truncate` on a path says that somebody writes, and no close follows: it is told with the next close.
//! - What is behind a symbolic link, changed permissions, writes of other machines on a network file system, and a rename of a
//!   folder above the root are not seen.

mod error;
mod ignore;
mod inotify;
mod options;
mod tracker;

pub use error::{LimitKind, WatchError, WatchLimit};
pub use ignore::Ignore;
pub use options::{Batch, WatchOptions};

use self::inotify::{Above, Inotify, ScanBounds};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sws_runtime::{Interest, JoinError};
use tracker::{Step, Tracker};

/// Changes come in swarms: after the first, events are read at most once in this time.
const SWARM_PAUSE: Duration = Duration::from_millis(2);

/// Watches a folder and all below it, for a fiber.
///
/// ```
/// # use sws_runtime::Runtime;
/// use std::fs;
/// use sws_content::watch::Watcher;
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// # runtime.block_on_fiber(|| {
/// let root = std::env::temp_dir().join(format!("watch-example-{}", std::process::id()));
/// fs::create_dir_all(&root).unwrap();
/// let mut watcher = Watcher::new(&root, Default::default()).unwrap();
///
/// fs::write(root.join("post.md"), "# A post").unwrap();
/// let batch = watcher.next().unwrap();
/// assert_eq!(batch.changed, [std::path::Path::new("post.md")]);
/// # fs::remove_dir_all(&root).unwrap();
/// # });
/// ```
pub struct Watcher {
    inotify: Inotify,
    root: PathBuf,
    above: Option<Above>,
    options: WatchOptions,
    tracker: Tracker,
}

impl Watcher {
    /// Watches a folder. What changes from when this returns on, and maybe a little of what changed before, is told; so read the
    /// tree afterwards. Waits for the disk.
    ///
    /// # Errors
    /// [`WatchError::Limit`] when there is no inotify instance or not one watch to be had, [`WatchError::Io`] when the root is no
    /// folder or cannot be read, [`WatchError::Cancelled`].
    ///
    /// # Panics
    /// Off a fiber.
    pub fn new(root: impl Into<PathBuf>, options: WatchOptions) -> Result<Watcher, WatchError> {
        let root = root.into();
        let inotify = Inotify::open(&root)?;
        let at = root.clone();
        let is_dir = on_pool(&root, move || std::fs::read_dir(at).map(drop))?;
        is_dir.map_err(|source| WatchError::Io { path: root.clone(), source })?;
        let bounds = bounds(&options, 0);
        let scan = {
            let (inotify, root, ignore) = (inotify.clone(), root.clone(), options.ignore.clone());
            on_pool(&root.clone(), move || inotify.scan(&root, PathBuf::new(), &ignore, bounds))?
        };
        if let (Some(limit), Some(None) | None) = (&scan.limit, scan.folders.first().map(|found| found.wd)) {
            return Err(WatchError::Limit(limit.clone()));
        }
        if scan.folders.is_empty() {
            return Err(WatchError::RootGone { root });
        }
        let above = {
            let (inotify, root) = (inotify.clone(), root.clone());
            on_pool(&root.clone(), move || inotify.watch_above(&root))?
        };
        Ok(Watcher { inotify, root, above, tracker: Tracker::new(options.clone(), scan), options })
    }

    /// The root, as it was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Why some folders are not watched, if so. Changes in them are not seen: read the tree from time to time, and call
    /// [`rescan`](Watcher::rescan) when the limit was raised.
    pub fn limit(&self) -> Option<&WatchLimit> {
        self.tracker.limit()
    }

    /// How many folders are known, the root among them.
    pub fn folders_len(&self) -> usize {
        self.tracker.folders_len()
    }

    /// Has all watches placed anew, as after lost events; a batch that says `rescan` follows.
    ///
    /// # Panics
    /// Off a worker's thread.
    pub fn rescan(&mut self) {
        self.tracker.renew(sws_runtime::turn_time());
    }

    /// Waits until something has changed and it is quiet.
    ///
    /// # Errors
    /// [`WatchError::RootGone`] once when the root went away, [`WatchError::Cancelled`], [`WatchError::Io`]. The watcher can be asked
    /// again after each.
    ///
    /// # Panics
    /// Off a fiber.
    #[expect(clippy::should_implement_trait, reason = "a batch or an error, without end")]
    pub fn next(&mut self) -> Result<Batch, WatchError> {
        loop {
            if let Some(batch) = self.advance(Duration::MAX)? {
                return Ok(batch);
            }
        }
    }

    /// As [`next`](Watcher::next), for at most a time: nothing when it is over. A [`timeout`](sws_runtime::timeout) around `next` could
    /// lose a batch that comes in its last moment; this does not.
    ///
    /// # Errors
    /// As for [`next`](Watcher::next).
    ///
    /// # Panics
    /// Off a fiber.
    pub fn next_within(&mut self, time: Duration) -> Result<Option<Batch>, WatchError> {
        self.advance(sws_runtime::turn_time().saturating_add(time))
    }

    fn advance(&mut self, until: Duration) -> Result<Option<Batch>, WatchError> {
        loop {
            // After a scan that was cancelled the watches are not known yet whose events these would be.
            if !self.tracker.wants_scan() {
                self.read_events()?;
            }
            let now = sws_runtime::turn_time();
            match self.tracker.poll(now) {
                Step::Wait(_) if now >= until => return Ok(None),
                Step::Wait(time) => self.wait(time, until.saturating_sub(now))?,
                Step::Scan(paths) => self.scan(paths)?,
                Step::Probe(paths) => self.probe(paths)?,
                Step::RootGone => return Err(WatchError::RootGone { root: self.root.clone() }),
                Step::Deliver(batch) => {
                    for wd in self.tracker.take_strays() {
                        self.inotify.forget(wd);
                    }
                    return Ok(Some(batch));
                }
            }
        }
    }

    fn read_events(&mut self) -> Result<(), WatchError> {
        let now = sws_runtime::turn_time();
        let tracker = &mut self.tracker;
        let above = self.above.as_ref();
        let read = self.inotify.read(|event| match above.is_some_and(|above| above.says_gone(&event)) {
            true => tracker.renew(now),
            false => tracker.on_event(event, now),
        });
        match read {
            Ok(true) => self.tracker.on_caught_up(),
            Ok(false) => {}
            Err(errno) => return Err(WatchError::Io { path: self.root.clone(), source: errno.into() }),
        }
        Ok(())
    }

    /// Waits for events, not longer than `time`, where there is one, and `limit`.
    fn wait(&self, time: Option<Duration>, limit: Duration) -> Result<(), WatchError> {
        let Some(time) = time else {
            return match limit {
                Duration::MAX => self.wait_readable(),
                limit => sws_runtime::timeout(limit, || self.wait_readable()).unwrap_or(Ok(())),
            };
        };
        let time = time.min(limit);
        let pause = time.min(SWARM_PAUSE);
        sws_runtime::sleep(pause)?;
        match time - pause {
            Duration::ZERO => Ok(()),
            rest => sws_runtime::timeout(rest, || self.wait_readable()).unwrap_or(Ok(())),
        }
    }

    fn wait_readable(&self) -> Result<(), WatchError> {
        let descriptor = self.inotify.descriptor();
        let fiber = sws_runtime::current_fiber().expect("a watcher is used on a fiber");
        // Ended with its first call: unread events would be told of in each turn.
        sws_runtime::watch(descriptor, Interest::Readable, move |descriptor| {
            sws_runtime::unwatch(descriptor, Interest::Readable);
            sws_runtime::unpark(fiber);
        });
        let waited = sws_runtime::park("changes of files");
        sws_runtime::unwatch(descriptor.as_raw_fd(), Interest::Readable);
        Ok(waited?)
    }

    fn scan(&mut self, paths: Vec<PathBuf>) -> Result<(), WatchError> {
        for path in paths {
            let known = if path.as_os_str().is_empty() { 0 } else { self.tracker.folders_len() };
            let bounds = bounds(&self.options, known);
            let (inotify, root, ignore) =
                (self.inotify.clone(), self.root.clone(), self.options.ignore.clone());
            let scan = on_pool(&self.root, move || inotify.scan(&root, path, &ignore, bounds))?;
            self.tracker.on_scan(scan, sws_runtime::turn_time());
        }
        Ok(())
    }

    fn probe(&mut self, paths: Vec<PathBuf>) -> Result<(), WatchError> {
        let root = self.root.clone();
        let look = move || {
            let probes = paths.into_iter().map(|path| (inotify::probe(&root.join(&path)), path));
            probes.collect::<Vec<_>>()
        };
        for (probe, path) in on_pool(&self.root, look)? {
            self.tracker.on_probe(path, probe);
        }
        Ok(())
    }
}

fn bounds(options: &WatchOptions, known: usize) -> ScanBounds {
    let entries_max = options.entries_max;
    ScanBounds { folders_max: entries_max.saturating_sub(known), files_max: entries_max, entries_max }
}

/// Runs a job that looks at the disk, away from the loop.
fn on_pool<T: Send + 'static>(
    root: &Path,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WatchError> {
    sws_runtime::submit(job).join().map_err(|error| match error {
        JoinError::Cancelled => WatchError::Cancelled,
        other => WatchError::Io { path: root.to_owned(), source: io::Error::from(other) },
    })
}
