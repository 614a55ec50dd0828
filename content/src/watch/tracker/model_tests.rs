//! The tracker against a model of a file system and of inotify, in virtual time: every operation may fall between any two steps of
//! a scan, a probe or the reading of events, and the queue may overflow.

use super::*;
use crate::watch::Batch;
use std::ffi::{OsStr, OsString};

type Ino = usize;

enum Node {
    /// With the entries and the watch.
    Folder {
        entries: BTreeMap<OsString, Ino>,
        wd: Option<Wd>,
    },
    /// With what was written last, and its writer's handle.
    File {
        version: u64,
        is_open: bool,
        links: u64,
    },
    Symlink,
}

/// A tree with a watched root (0) and a place beside it (1).
struct World {
    nodes: Vec<Node>,
    queue: Vec<Event>,
    queue_max: usize,
    next_wd: Wd,
    next_cookie: u32,
    version: u64,
    /// Open files, to be written to and closed.
    open: Vec<(Ino, Ino, OsString)>,
    rng: fastrand::Rng,
    now: Duration,
}

const ROOT: Ino = 0;
const BESIDE: Ino = 1;

impl World {
    fn new(seed: u64) -> World {
        let folder = || Node::Folder { entries: BTreeMap::new(), wd: None };
        World {
            nodes: vec![folder(), folder()],
            queue: Vec::new(),
            queue_max: usize::MAX,
            next_wd: 1,
            next_cookie: 1,
            version: 0,
            open: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            now: Duration::from_secs(1),
        }
    }

    fn entries(&self, ino: Ino) -> &BTreeMap<OsString, Ino> {
        match &self.nodes[ino] {
            Node::Folder { entries, .. } => entries,
            Node::File { .. } | Node::Symlink => panic!("no folder"),
        }
    }

    fn entries_mut(&mut self, ino: Ino) -> &mut BTreeMap<OsString, Ino> {
        match &mut self.nodes[ino] {
            Node::Folder { entries, .. } => entries,
            Node::File { .. } | Node::Symlink => panic!("no folder"),
        }
    }

    fn is_dir(&self, ino: Ino) -> bool {
        matches!(self.nodes[ino], Node::Folder { .. })
    }

    fn find(&self, path: &Path) -> Option<Ino> {
        path.iter().try_fold(ROOT, |at, name| match &self.nodes[at] {
            Node::Folder { entries, .. } => entries.get(name).copied(),
            Node::File { .. } | Node::Symlink => None,
        })
    }

    fn emit(&mut self, folder: Ino, kind: EventKind, name: &OsStr, is_dir: bool, cookie: u32) {
        let Node::Folder { wd: Some(wd), .. } = self.nodes[folder] else { return };
        if self.queue.len() >= self.queue_max {
            if self.queue.last().is_some_and(|last| last.kind == EventKind::Overflow) {
                return;
            }
            self.queue.push(Event {
                wd: -1,
                kind: EventKind::Overflow,
                name: OsString::new(),
                is_dir: false,
                cookie: 0,
            });
        } else {
            self.queue.push(Event { wd, kind, name: name.to_owned(), is_dir, cookie });
        }
    }

    fn some_folder(&mut self, at: Ino) -> Ino {
        let mut at = at;
        while self.rng.u8(0..3) > 0 {
            let inner: Vec<Ino> =
                self.entries(at).values().copied().filter(|ino| self.is_dir(*ino)).collect();
            match self.rng.choice(inner) {
                Some(ino) => at = ino,
                None => break,
            }
        }
        at
    }

    fn contains(&self, at: Ino, sought: Ino) -> bool {
        at == sought
            || (self.is_dir(at) && self.entries(at).values().any(|inner| self.contains(*inner, sought)))
    }

    fn add(&mut self, folder: Ino, name: &OsStr, node: Node) {
        if self.entries(folder).contains_key(name) {
            return;
        }
        let is_dir = matches!(node, Node::Folder { .. });
        self.nodes.push(node);
        let ino = self.nodes.len() - 1;
        self.entries_mut(folder).insert(name.to_owned(), ino);
        self.emit(folder, EventKind::Create, name, is_dir, 0);
    }

    /// A writer opens a file, there or not.
    fn open(&mut self, folder: Ino, name: &OsStr) {
        self.add(folder, name, Node::File { version: 0, is_open: false, links: 1 });
        let ino = self.entries(folder)[name];
        if let Node::File { is_open: is_open @ false, .. } = &mut self.nodes[ino] {
            *is_open = true;
            self.open.push((ino, folder, name.to_owned()));
        }
    }

    fn write(&mut self, n: usize) {
        let Some((ino, folder, name)) = self.open.get(n).cloned() else { return };
        self.version += 1;
        let new = self.version;
        if let Node::File { version, .. } = &mut self.nodes[ino] {
            *version = new;
        }
        // The events of a file whose name is gone are not wanted.
        // A copy within the kernel says so at its end.
        if self.entries(folder).get(&name) == Some(&ino) && self.rng.u8(0..4) > 0 {
            self.emit(folder, EventKind::Modify, &name, false, 0);
        }
    }

    fn close(&mut self, n: usize) {
        if n >= self.open.len() {
            return;
        }
        let (ino, folder, name) = self.open.swap_remove(n);
        if let Node::File { is_open, .. } = &mut self.nodes[ino] {
            *is_open = false;
        }
        if self.entries(folder).get(&name) == Some(&ino) {
            self.emit(folder, EventKind::CloseWrite, &name, false, 0);
        }
    }

    fn remove(&mut self, folder: Ino, name: &OsStr) {
        let Some(&ino) = self.entries(folder).get(name) else { return };
        let is_dir = self.is_dir(ino);
        if is_dir {
            let inner: Vec<OsString> = self.entries(ino).keys().cloned().collect();
            inner.iter().for_each(|name| self.remove(ino, name));
            if self.rng.bool() {
                self.disturb();
            }
            if !self.entries(ino).is_empty() || self.entries(folder).get(name) != Some(&ino) {
                return;
            }
            self.emit(ino, EventKind::DeleteSelf, OsStr::new(""), true, 0);
            self.emit(ino, EventKind::Ignored, OsStr::new(""), false, 0);
            if let Node::Folder { wd, .. } = &mut self.nodes[ino] {
                *wd = None;
            }
        }
        self.entries_mut(folder).remove(name);
        self.emit(folder, EventKind::Delete, name, is_dir, 0);
    }

    fn rename(&mut self, from: Ino, old: &OsStr, to: Ino, new: &OsStr) {
        let Some(&ino) = self.entries(from).get(old) else { return };
        let is_dir = self.is_dir(ino);
        if is_dir && self.contains(ino, to) {
            return;
        }
        if let Some(&there) = self.entries(to).get(new) {
            let fits = match is_dir {
                true => self.is_dir(there) && self.entries(there).is_empty(),
                false => !self.is_dir(there),
            };
            if !fits || there == ino {
                return;
            }
        }
        self.entries_mut(from).remove(old);
        self.entries_mut(to).insert(new.to_owned(), ino);
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.emit(from, EventKind::MovedFrom, old, is_dir, cookie);
        self.emit(to, EventKind::MovedTo, new, is_dir, cookie);
        for (file, folder, name) in &mut self.open {
            if *file == ino {
                (*folder, *name) = (to, new.to_owned());
            }
        }
    }

    fn disturb(&mut self) {
        let names = ["a", "b", "c", ".hidden"];
        let old: &OsStr = self.rng.choice(names).unwrap().as_ref();
        let new: &OsStr = self.rng.choice(names).unwrap().as_ref();
        let (from, to) = (self.some_folder(ROOT), self.some_folder(ROOT));
        let handle = self.rng.usize(0..4);
        match self.rng.u8(0..20) {
            0..=3 => self.open(from, old),
            4 | 5 => self.write(handle),
            6..=8 => self.close(handle),
            9..=11 => self.add(from, old, Node::Folder { entries: BTreeMap::new(), wd: None }),
            12 => self.remove(from, old),
            13..=15 => self.rename(from, old, to, new),
            16 => self.rename(from, old, BESIDE, new),
            17 => self.rename(BESIDE, old, to, new),
            18 => self.add(from, old, Node::Symlink),
            _ => self.add(from, old, Node::File { version: 7, is_open: false, links: 2 }),
        }
    }

    fn maybe_disturb(&mut self) {
        while self.rng.u8(0..3) == 0 {
            self.disturb();
        }
        self.now += Duration::from_micros(self.rng.u64(0..2000));
    }

    /// As the scan on disk: each folder is watched, then listed.
    fn scan(&mut self, path: PathBuf, busy: bool) -> Scan {
        let mut scan = Scan { path: path.clone(), ..Scan::default() };
        let mut open = vec![path];
        while let Some(path) = open.pop() {
            if busy {
                self.maybe_disturb();
            }
            let Some(ino) = self.find(&path).filter(|ino| self.is_dir(*ino)) else { continue };
            let next_wd = self.next_wd;
            let Node::Folder { wd, .. } = &mut self.nodes[ino] else { unreachable!() };
            let placed = *wd.get_or_insert(next_wd);
            self.next_wd += 1;
            let mut found = Found { path, wd: Some(placed), files: Vec::new() };
            if busy {
                self.maybe_disturb();
            }
            let listed = self.find(&found.path).filter(|ino| self.is_dir(*ino));
            for (name, inner) in listed.map(|ino| self.entries(ino).clone()).unwrap_or_default() {
                if name.to_string_lossy().starts_with('.') {
                } else if self.is_dir(inner) {
                    open.push(found.path.join(name));
                } else {
                    found.files.push((name, self.len(inner)));
                }
            }
            scan.folders.push(found);
        }
        scan
    }

    fn len(&self, ino: Ino) -> u64 {
        if let Node::File { version, .. } = self.nodes[ino] { version } else { u64::MAX }
    }

    fn probe(&self, path: &Path) -> Probe {
        match self.find(path).map(|ino| &self.nodes[ino]) {
            None | Some(Node::Folder { .. }) => Probe::Nothing,
            Some(Node::Symlink) => Probe::Symlink,
            Some(Node::File { links, version, .. }) => Probe::File { links: *links, len: *version },
        }
    }

    /// All visible files and links, by path.
    fn inodes(&self) -> BTreeMap<PathBuf, Ino> {
        let mut files = BTreeMap::new();
        let mut open = vec![(PathBuf::new(), ROOT)];
        while let Some((path, ino)) = open.pop() {
            match &self.nodes[ino] {
                Node::Folder { entries, .. } => {
                    let visible = entries.iter().filter(|(name, _)| !name.to_string_lossy().starts_with('.'));
                    open.extend(visible.map(|(name, ino)| (path.join(name), *ino)));
                }
                Node::File { .. } | Node::Symlink => drop(files.insert(path, ino)),
            }
        }
        files
    }

    /// What a reader finds: each file's version.
    fn files(&self) -> BTreeMap<PathBuf, u64> {
        self.inodes().into_iter().map(|(path, ino)| (path, self.len(ino))).collect()
    }

    /// Each writer writes; what it has under a visible name is returned.
    fn write_all(&mut self) -> BTreeSet<Ino> {
        let visible: BTreeSet<Ino> = self.inodes().into_values().collect();
        for (ino, folder, name) in self.open.clone() {
            if self.entries(folder).get(&name) == Some(&ino) {
                self.emit(folder, EventKind::Modify, &name, false, 0);
            }
        }
        self.open.iter().map(|(ino, ..)| *ino).filter(|ino| visible.contains(ino)).collect()
    }

    fn rename_visible(&mut self) {
        let names = ["a", "b", "c"];
        let old: &OsStr = self.rng.choice(names).unwrap().as_ref();
        let new: &OsStr = self.rng.choice(names).unwrap().as_ref();
        let (from, to) = (self.some_folder(ROOT), self.some_folder(ROOT));
        let is_hidden = |world: &World, folder| folder != ROOT && !world.is_visible(ROOT, folder);
        if !is_hidden(self, from) && !is_hidden(self, to) {
            self.rename(from, old, to, new);
        }
    }

    fn is_visible(&self, at: Ino, sought: Ino) -> bool {
        let visible = self.entries(at).iter().filter(|(name, _)| !name.to_string_lossy().starts_with('.'));
        visible
            .map(|(_, ino)| *ino)
            .any(|ino| ino == sought || (self.is_dir(ino) && self.is_visible(ino, sought)))
    }

    fn forget(&mut self, stray: Wd) {
        for node in &mut self.nodes {
            if let Node::Folder { wd, .. } = node
                && *wd == Some(stray)
            {
                *wd = None;
            }
        }
    }

    fn watched(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node, Node::Folder { wd: Some(_), .. })).count()
    }

    fn folders(&self, at: Ino) -> usize {
        let visible = self.entries(at).iter().filter(|(name, _)| !name.to_string_lossy().starts_with('.'));
        1 + visible.filter(|(_, ino)| self.is_dir(**ino)).map(|(_, ino)| self.folders(*ino)).sum::<usize>()
    }
}

fn apply(copy: &mut BTreeMap<PathBuf, u64>, batch: &Batch, world: &World) {
    let files = world.files();
    if batch.rescan {
        *copy = files.clone();
    }
    copy.retain(|path, _| !batch.removed_dirs.iter().any(|dir| path.starts_with(dir)));
    copy.retain(|path, _| !batch.removed.contains(path));
    for path in &batch.changed {
        match files.get(path) {
            Some(version) => copy.insert(path.clone(), *version),
            None => copy.remove(path),
        };
    }
}

/// Runs the watcher's loop over the model until it wants to wait for events alone and there are none.
fn run(
    world: &mut World,
    tracker: &mut Tracker,
    copy: &mut BTreeMap<PathBuf, u64>,
    busy: bool,
) -> Vec<Batch> {
    let mut batches = Vec::new();
    for _ in 0..10_000 {
        if busy {
            world.maybe_disturb();
        }
        let part = world.rng.usize(0..=world.queue.len());
        let read = if busy { part } else { world.queue.len() };
        for event in world.queue.drain(..read).collect::<Vec<_>>() {
            tracker.on_event(event, world.now);
        }
        if world.queue.is_empty() {
            tracker.on_caught_up();
        }
        match tracker.poll(world.now) {
            Step::Wait(None) if busy => return batches,
            Step::Wait(None) if world.queue.is_empty() => return batches,
            Step::Wait(time) => world.now += time.unwrap_or_default(),
            Step::Scan(paths) => {
                for path in paths {
                    let scan = world.scan(path, busy);
                    tracker.on_scan(scan, world.now);
                }
            }
            Step::Probe(paths) => {
                for path in paths {
                    if busy {
                        world.maybe_disturb();
                    }
                    let probe = world.probe(&path);
                    tracker.on_probe(path, probe);
                }
            }
            Step::RootGone => panic!("the root does not go"),
            Step::Deliver(batch) => {
                if busy {
                    world.maybe_disturb();
                }
                tracker.take_strays().for_each(|wd| world.forget(wd));
                apply(copy, &batch, world);
                batches.push(batch);
            }
        }
    }
    panic!("it does not come to rest");
}

fn check(seed: u64, queue_max: usize) -> usize {
    let mut world = World::new(seed);
    (0..30).for_each(|_| world.disturb());
    let scan = world.scan(PathBuf::new(), true);
    let mut tracker = Tracker::new(WatchOptions::default(), scan);
    (0..5).for_each(|_| world.disturb());
    let mut copy = world.files();
    world.queue_max = queue_max;
    let mut batches = 0;
    for round in 0..15 {
        for _ in 0..20 {
            world.maybe_disturb();
            batches += run(&mut world, &mut tracker, &mut copy, true).len();
        }
        if queue_max == usize::MAX {
            run(&mut world, &mut tracker, &mut copy, false);
            let held = world.write_all();
            (0..3).for_each(|_| world.rename_visible());
            let told = run(&mut world, &mut tracker, &mut copy, false);
            let inodes = world.inodes();
            for path in told.iter().flat_map(|batch| &batch.changed) {
                let ino = inodes.get(path);
                assert!(
                    !ino.is_some_and(|ino| held.contains(ino)),
                    "seed {seed}, round {round}: {path:?} is half-written"
                );
            }
        }
        while !world.open.is_empty() {
            world.write(0);
            world.close(0);
        }
        batches += run(&mut world, &mut tracker, &mut copy, false).len();
        assert_eq!(copy, world.files(), "seed {seed}, round {round}");
        assert_eq!(tracker.folders_len(), world.folders(ROOT), "seed {seed}, round {round}: folders known");
        assert!(
            tracker.folders.values().all(Option::is_some),
            "seed {seed}, round {round}: a folder without watch"
        );
        assert_eq!(
            world.watched(),
            tracker.paths.len() + tracker.strays.len(),
            "seed {seed}, round {round}: watches"
        );
        assert!(tracker.writing.is_empty(), "seed {seed}, round {round}: {:?}", tracker.writing);
    }
    batches
}

#[test]
fn any_interleaving_leaves_the_copy_equal() {
    let batches: usize = (0..300).map(|seed| check(seed, usize::MAX)).sum();
    assert!(batches > 300, "{batches}");
}

#[test]
fn any_loss_of_events_leaves_the_copy_equal() {
    for seed in 0..300 {
        check(seed, 3 + usize::try_from(seed % 20).unwrap());
    }
}
