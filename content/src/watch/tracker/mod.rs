//! What inotify's events mean for a tree: events, scans and the time in; scans to make and batches out. Pure.
//!
//! A path is in at most one of two places. `pending` is what the next batch tells; `writing` is what somebody writes at the
//! moment, and it is told only when its writer has closed it:
//!
//! ```text
//! CREATE ----------> Created --probe--> Changed (a link) or writing (opened by somebody, not written yet)
//! MODIFY ----------> writing            also from Changed and Removed: a half-written file is not told, nor is it told removed
//! CLOSE_WRITE -----> Changed
//! MOVED_TO --------> Changed            or what it was under its old name, if that was writing or Created
//! DELETE, MOVED_FROM -> Removed
//! found by a scan -> Found --probe--> Changed (as long as it was) or writing (it grows: its writer was there before the watch)
//! ```
//!
//! Folders are known by watch descriptor. A scan is the truth about paths and descriptors at its time, and events that are older
//! than a scan but read after it are replayed over it: the last event of a name decides, so the end is the same.

mod event;
#[cfg(test)]
mod model_tests;
mod settle;
#[cfg(test)]
mod tests;

pub(crate) use event::{Event, EventKind, Found, Probe, Scan, Step, Wd};

use super::{WatchLimit, WatchOptions};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There since its creation, with no sign of a writer.
    Created,
    /// Met by the scan of a new folder, so long.
    Found {
        len: u64,
    },
    Changed,
    Removed,
}

impl State {
    /// Whether a probe is to say what it is.
    fn is_unsure(self) -> bool {
        matches!(self, State::Created | State::Found { .. })
    }
}

/// Why a file is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// An event tells of a writer.
    Seen,
    /// It was created, and a probe found no other reason. The probe may have found another file than it was sent for, so it is sent again
    /// when the file moves.
    Opener,
    /// What was found is not as long any more. A scan may have found another file than the one that moves away later, so a move ends
    /// this.
    Grower,
}

/// The first half of a move, with what was known of files that were not told.
enum Moving {
    File { held: Option<Held> },
    Folder { watches: Vec<(PathBuf, Wd)>, held: Vec<(PathBuf, Held)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Writing,
    Created,
}

impl Held {
    fn of(writer: Writer) -> Option<Held> {
        match writer {
            Writer::Seen => Some(Held::Writing),
            Writer::Opener => Some(Held::Created),
            Writer::Grower => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Watched,
    /// Events are lost, or the root is another: all watches are placed anew when it is quiet.
    Stale,
    Gone {
        retry_at: Duration,
        told: bool,
    },
}

pub(crate) struct Tracker {
    options: WatchOptions,
    root: Root,
    /// Known folders, relative to the root (itself the empty path), with their watches.
    folders: BTreeMap<PathBuf, Option<Wd>>,
    paths: HashMap<Wd, PathBuf>,
    /// Watches of folders that have left the tree.
    strays: BTreeSet<Wd>,
    pending: BTreeMap<PathBuf, State>,
    writing: BTreeMap<PathBuf, Writer>,
    removed_dirs: BTreeSet<PathBuf>,
    moves: HashMap<u32, Moving>,
    scans: BTreeSet<PathBuf>,
    rescan: bool,
    /// The caller has read the whole tree since events were last read to their end. It may know files that went from a new folder
    /// before its watch was placed.
    reread: bool,
    /// The watches were just placed anew: the batch does not wait.
    due: bool,
    limit: Option<WatchLimit>,
    limit_told: bool,
    /// When the batch began, and when something was last added to it.
    first: Duration,
    last: Duration,
}

impl Tracker {
    /// A tracker of the tree that a scan of the root found.
    pub(crate) fn new(options: WatchOptions, scan: Scan) -> Tracker {
        let mut tracker = Tracker {
            options,
            root: Root::Watched,
            folders: BTreeMap::new(),
            paths: HashMap::new(),
            strays: BTreeSet::new(),
            pending: BTreeMap::new(),
            writing: BTreeMap::new(),
            removed_dirs: BTreeSet::new(),
            moves: HashMap::new(),
            scans: BTreeSet::new(),
            rescan: false,
            reread: true,
            due: false,
            limit: None,
            limit_told: false,
            first: Duration::ZERO,
            last: Duration::ZERO,
        };
        tracker.on_scan(scan, Duration::ZERO);
        tracker.rescan = false;
        tracker.due = false;
        tracker
    }

    pub(crate) fn limit(&self) -> Option<&WatchLimit> {
        self.limit.as_ref()
    }

    /// Whether scans are wanted: they come before further events.
    pub(crate) fn wants_scan(&self) -> bool {
        !self.scans.is_empty()
    }

    pub(crate) fn folders_len(&self) -> usize {
        self.folders.len()
    }

    /// Has all watches placed anew.
    pub(crate) fn renew(&mut self, now: Duration) {
        self.touch(now);
        if matches!(self.root, Root::Watched) {
            self.root = Root::Stale;
        }
        self.rescan = true;
        self.due = false;
        self.pending.clear();
        self.writing.clear();
        self.removed_dirs.clear();
        self.moves.clear();
        self.scans.clear();
    }

    pub(crate) fn on_event(&mut self, event: Event, now: Duration) {
        match event.kind {
            EventKind::Overflow => return self.renew(now),
            EventKind::Ignored => return self.on_ignored(event.wd, now),
            _ => {}
        }
        let Some(folder) = self.paths.get(&event.wd).cloned() else { return };
        if self.root != Root::Watched {
            return self.touch(now);
        }
        match event.kind {
            EventKind::DeleteSelf => self.on_folder_lost(&folder, now),
            EventKind::MoveSelf if folder.as_os_str().is_empty() => self.renew(now),
            EventKind::Unmount => {
                self.on_folder_lost(&folder, now);
                if self.root == Root::Watched {
                    self.scans.insert(folder);
                }
            }
            _ if event.name.is_empty() || self.options.ignore.matches(&event.name) => {}
            kind => {
                let path = folder.join(&event.name);
                if event.is_dir {
                    self.on_folder_event(kind, path, event.cookie, now);
                } else {
                    self.on_file_event(kind, path, event.cookie, now);
                }
            }
        }
    }

    /// A watch ended by itself: its folder is gone, or its file system.
    fn on_ignored(&mut self, wd: Wd, now: Duration) {
        self.strays.remove(&wd);
        let Some(folder) = self.paths.remove(&wd) else { return };
        if let Some(place) = self.folders.get_mut(&folder) {
            *place = None;
        }
        if self.root == Root::Watched {
            self.on_folder_lost(&folder, now);
        }
    }

    fn on_folder_lost(&mut self, folder: &Path, now: Duration) {
        if folder.as_os_str().is_empty() {
            self.renew(now);
        } else {
            self.remove_folder(folder, now);
        }
    }

    fn on_file_event(&mut self, kind: EventKind, path: PathBuf, cookie: u32, now: Duration) {
        match kind {
            EventKind::Create => {
                self.writing.remove(&path);
                self.note(path, State::Created, now);
            }
            EventKind::Modify => {
                self.pending.remove(&path);
                self.write(path, Writer::Seen);
            }
            EventKind::CloseWrite => {
                self.writing.remove(&path);
                self.note(path, State::Changed, now);
            }
            EventKind::Delete => {
                self.writing.remove(&path);
                self.note(path, State::Removed, now);
            }
            EventKind::MovedFrom => {
                let created = self.pending.get(&path) == Some(&State::Created);
                let held = match self.writing.remove(&path) {
                    Some(writer) => Held::of(writer),
                    None => created.then_some(Held::Created),
                };
                self.begin_move(cookie, Moving::File { held });
                self.note(path, State::Removed, now);
            }
            EventKind::MovedTo => {
                self.writing.remove(&path);
                match self.moves.remove(&cookie) {
                    Some(Moving::File { held: Some(Held::Writing) }) => {
                        self.pending.remove(&path);
                        self.write(path, Writer::Seen);
                    }
                    Some(Moving::File { held: Some(Held::Created) }) => {
                        self.note(path, State::Created, now);
                    }
                    Some(Moving::File { held: None } | Moving::Folder { .. }) | None => {
                        self.note(path, State::Changed, now);
                    }
                }
            }
            EventKind::DeleteSelf
            | EventKind::MoveSelf
            | EventKind::Unmount
            | EventKind::Ignored
            | EventKind::Overflow => {}
        }
    }

    fn on_folder_event(&mut self, kind: EventKind, path: PathBuf, cookie: u32, now: Duration) {
        match kind {
            EventKind::Create => self.on_new_folder(path, now),
            EventKind::Delete => self.remove_folder(&path, now),
            EventKind::MovedFrom => {
                let watches = take_below(&mut self.folders, &path);
                let relative = |inner: &Path| inner.strip_prefix(&path).unwrap_or(inner).to_owned();
                let watches: Vec<(PathBuf, Wd)> =
                    watches.into_iter().filter_map(|(inner, wd)| Some((relative(&inner), wd?))).collect();
                for (_, wd) in &watches {
                    self.unbind(*wd);
                }
                let written = take_below(&mut self.writing, &path).into_iter();
                let written = written.filter_map(|(inner, writer)| Some((inner, Held::of(writer)?)));
                let created =
                    below_map(&mut self.pending, &path).filter(|(_, state)| **state == State::Created);
                let created = created.map(|(inner, _)| (inner.clone(), Held::Created));
                let held = written.chain(created).map(|(inner, held)| (relative(&inner), held)).collect();
                self.begin_move(cookie, Moving::Folder { watches, held });
                self.remove_folder(&path, now);
            }
            EventKind::MovedTo => {
                // A folder may be moved over an empty one.
                if self.folders.contains_key(&path) {
                    self.remove_folder(&path, now);
                }
                if let Some(Moving::Folder { watches, held }) = self.moves.remove(&cookie) {
                    for (inner, wd) in watches {
                        self.bind(join(&path, &inner), Some(wd));
                    }
                    for (inner, held) in held {
                        match held {
                            Held::Writing => self.write(join(&path, &inner), Writer::Seen),
                            Held::Created => self.note(join(&path, &inner), State::Created, now),
                        }
                    }
                }
                self.on_new_folder(path, now);
            }
            EventKind::Modify
            | EventKind::CloseWrite
            | EventKind::DeleteSelf
            | EventKind::MoveSelf
            | EventKind::Unmount
            | EventKind::Ignored
            | EventKind::Overflow => {}
        }
    }

    fn on_new_folder(&mut self, path: PathBuf, now: Duration) {
        if self.reread && !self.rescan {
            self.touch(now);
            self.removed_dirs.insert(path.clone());
            self.check_bound(now);
        }
        self.scans.insert(path);
    }

    /// There were no more events.
    pub(crate) fn on_caught_up(&mut self) {
        self.reread = false;
    }

    /// Takes in what a scan found: the paths and watches at and below its path are these, and no others.
    pub(crate) fn on_scan(&mut self, scan: Scan, now: Duration) {
        let full = scan.path.as_os_str().is_empty();
        self.scans.remove(&scan.path);
        let before = take_below(&mut self.folders, &scan.path);
        for wd in before.values().flatten() {
            self.unbind(*wd);
        }
        if full {
            self.on_root_scanned(!scan.folders.is_empty(), now);
            self.limit = None;
            self.limit_told = false;
        }
        if scan.limit.is_some() && self.limit.is_none() {
            self.touch(now);
            self.limit = scan.limit;
        }
        for found in scan.folders {
            let known = found.wd.is_some() && before.get(&found.path) == Some(&found.wd);
            self.bind(found.path.clone(), found.wd);
            if !full {
                self.reconcile(found, known, now);
            }
        }
        if scan.truncated && !full {
            self.collapse(now);
        }
    }

    fn on_root_scanned(&mut self, is_there: bool, now: Duration) {
        let told = matches!(self.root, Root::Gone { told: true, .. });
        self.root = match is_there {
            true => Root::Watched,
            false => Root::Gone { retry_at: now.saturating_add(self.options.root_retry), told },
        };
        self.touch(now);
        self.rescan = true;
        self.due = is_there;
    }

    /// The files of a folder that was listed. In one whose watch is `known`, events have told better. In another, what they told may
    /// have been about another folder.
    fn reconcile(&mut self, found: Found, known: bool, now: Duration) {
        let is_child = |path: &Path| path.parent() == Some(&found.path);
        if !known {
            let stale = below_map(&mut self.writing, &found.path).map(|(path, _)| path.clone());
            for path in stale.filter(|path| is_child(path)).collect::<Vec<_>>() {
                self.writing.remove(&path);
                self.note(path, State::Removed, now);
            }
            for (path, state) in below_map(&mut self.pending, &found.path) {
                if is_child(path) {
                    *state = State::Removed;
                }
            }
        }
        for (name, len) in found.files {
            let path = found.path.join(name);
            let is_told = known && self.pending.contains_key(&path);
            if !is_told && !self.writing.contains_key(&path) {
                self.note(path, State::Found { len }, now);
            }
        }
    }

    /// What stands at paths that a [`Step::Probe`] named.
    pub(crate) fn on_probe(&mut self, path: PathBuf, probe: Probe) {
        let Some(state) = self.pending.get_mut(&path) else { return };
        let is_whole = match (*state, probe) {
            (State::Changed | State::Removed, _) => return,
            // Who has deleted or moved it has left an event.
            (State::Created | State::Found { .. }, Probe::Nothing) => false,
            (State::Created | State::Found { .. }, Probe::Symlink) => true,
            (State::Created, Probe::File { links, .. }) => links > 1,
            (State::Found { len: before }, Probe::File { len, .. }) => len == before,
        };
        if is_whole {
            *state = State::Changed;
        } else {
            let writer = if *state == State::Created { Writer::Opener } else { Writer::Grower };
            self.pending.remove(&path);
            self.write(path, writer);
        }
    }

    fn remove_folder(&mut self, path: &Path, now: Duration) {
        for (_, wd) in take_below(&mut self.folders, path) {
            wd.into_iter().for_each(|wd| self.unbind(wd));
        }
        take_below(&mut self.pending, path);
        take_below(&mut self.writing, path);
        take_set_below(&mut self.scans, path);
        take_set_below(&mut self.removed_dirs, path);
        self.touch(now);
        if self.rescan {
            return;
        }
        self.removed_dirs.insert(path.to_owned());
        self.check_bound(now);
    }

    fn bind(&mut self, path: PathBuf, wd: Option<Wd>) {
        if let Some(wd) = wd {
            self.strays.remove(&wd);
            if let Some(before) = self.paths.insert(wd, path.clone())
                && before != path
                && let Some(place) = self.folders.get_mut(&before)
            {
                *place = None;
            }
        }
        if let Some(Some(replaced)) = self.folders.insert(path, wd)
            && Some(replaced) != wd
        {
            self.unbind(replaced);
        }
    }

    fn unbind(&mut self, wd: Wd) {
        if self.paths.remove(&wd).is_some() {
            self.strays.insert(wd);
        }
    }

    fn begin_move(&mut self, cookie: u32, moving: Moving) {
        if self.moves.len() >= self.options.entries_max {
            self.moves.clear();
        }
        self.moves.insert(cookie, moving);
    }

    /// Somebody writes this file.
    fn write(&mut self, path: PathBuf, writer: Writer) {
        if self.writing.len() >= self.options.entries_max {
            self.writing.clear();
        }
        self.writing.insert(path, writer);
    }

    fn note(&mut self, path: PathBuf, state: State, now: Duration) {
        self.touch(now);
        if !self.rescan {
            self.pending.insert(path, state);
            self.check_bound(now);
        }
    }

    fn check_bound(&mut self, now: Duration) {
        if self.pending.len() + self.removed_dirs.len() > self.options.entries_max {
            self.collapse(now);
        }
    }

    /// There is too much to tell: the batch is a rescan.
    fn collapse(&mut self, now: Duration) {
        self.touch(now);
        self.rescan = true;
        self.pending.clear();
        self.removed_dirs.clear();
    }
}

/// Joins without a slash at the end when there is nothing to join.
fn join(path: &Path, inner: &Path) -> PathBuf {
    if inner.as_os_str().is_empty() { path.to_owned() } else { path.join(inner) }
}

/// What is kept for the paths at and below one.
fn below_map<'a, V>(
    map: &'a mut BTreeMap<PathBuf, V>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a mut V)> {
    map.range_mut(path.to_owned()..).take_while(move |(inner, _)| inner.starts_with(path))
}

fn take_below<V>(map: &mut BTreeMap<PathBuf, V>, path: &Path) -> BTreeMap<PathBuf, V> {
    let keys: Vec<PathBuf> = below_map(map, path).map(|(inner, _)| inner.clone()).collect();
    keys.into_iter().filter_map(|key| map.remove_entry(&key)).collect()
}

fn take_set_below(set: &mut BTreeSet<PathBuf>, path: &Path) -> BTreeSet<PathBuf> {
    let inner = set.range(path.to_owned()..).take_while(|inner| inner.starts_with(path));
    let taken: BTreeSet<PathBuf> = inner.cloned().collect();
    taken.iter().for_each(|inner| {
        set.remove(inner);
    });
    taken
}
