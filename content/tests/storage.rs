//! Every storage does the same: a random sequence of calls has the same results on each of them.
#![cfg(not(sws_sim))]

use fastrand::Rng;
use std::io;
use std::path::{Path, PathBuf};
use sws_content::storage::{
    AppendError, FaultyStorage, RingStorage, SharedFile, StdStorage, Storage, StorageFile, read_full_at,
    write_all_at,
};
use sws_runtime::{Config, Runtime};

/// What a call gave: a value to compare, or the error's number.
type Outcome = Result<Vec<u8>, Option<i32>>;

const CALLS: usize = 300;
const SEEDS: u64 = 60;
const FILES: [&str; 8] = ["a", "b", "d/a", "d/b", "d/e/a", "a/x", "f/a", "no/a"];
const FOLDERS: [&str; 7] = ["d", "d/e", "f", "f/d", "a", "a/x", "."];
const OPEN_MAX: usize = 4;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("sws-storage-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a new folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The test has said what it had to say.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One random sequence of calls, with what each gave.
struct Calls<'a> {
    storage: &'a dyn Storage,
    root: &'a Path,
    rng: Rng,
    open: Vec<Open>,
    said: Vec<(String, Outcome)>,
}

/// An open file.
struct Open {
    file: SharedFile,
    /// Whether it can be appended to: it was opened to be written, and has the name that it was opened by.
    appends: bool,
    appended: bool,
}

fn outcome<T>(result: io::Result<T>, value: impl FnOnce(T) -> Vec<u8>) -> Outcome {
    result.map(value).map_err(|error| error.raw_os_error())
}

fn nothing(_: ()) -> Vec<u8> {
    Vec::new()
}

impl Calls<'_> {
    fn say(&mut self, call: String, outcome: Outcome) {
        self.said.push((call, outcome));
    }

    fn pick(&mut self, names: &[&str]) -> (String, PathBuf) {
        let name = names[self.rng.usize(..names.len())];
        (name.to_owned(), self.root.join(name))
    }

    fn step(&mut self) {
        match self.rng.u32(..24) {
            0..=2 => {
                let (name, path) = self.pick(&FILES);
                let result = self.storage.create(&path);
                self.keep(format!("create {name}"), result, true);
            }
            3..=4 => {
                let (name, path) = self.pick(&FILES);
                let writable = self.rng.bool();
                // A folder can be opened to be read on some systems.
                if self.storage.list(&path).is_err() {
                    let result = self.storage.open(&path, writable);
                    self.keep(format!("open {name} {writable}"), result, writable);
                }
            }
            5 => {
                let names = if self.rng.bool() { &FILES[..] } else { &FOLDERS[..6] };
                let ((from_name, from), (to_name, to)) = (self.pick(names), self.pick(names));
                self.open.iter_mut().for_each(|open| open.appends = false);
                let result = self.storage.rename(&from, &to);
                self.say(format!("rename {from_name} {to_name}"), outcome(result, nothing));
            }
            6 => {
                let (name, path) = self.pick(&FILES);
                self.open.iter_mut().for_each(|open| open.appends = false);
                let result = self.storage.remove(&path);
                self.say(format!("remove {name}"), outcome(result, nothing));
            }
            7..=8 => {
                let (name, path) = self.pick(&FOLDERS);
                let result = self.storage.create_dir(&path);
                self.say(format!("create_dir {name}"), outcome(result, nothing));
            }
            9 => {
                let (name, path) = self.pick(&FOLDERS[..6]);
                let result = self.storage.remove_dir(&path);
                self.say(format!("remove_dir {name}"), outcome(result, nothing));
            }
            10 => self.look(),
            _ => self.use_file(),
        }
    }

    fn keep(&mut self, call: String, result: io::Result<SharedFile>, appends: bool) {
        let outcome = result.map(|file| {
            if self.open.len() == OPEN_MAX {
                self.open.remove(0);
            }
            self.open.push(Open { file, appends, appended: false });
            Vec::new()
        });
        self.say(call, outcome.map_err(|error| error.raw_os_error()));
    }

    fn look(&mut self) {
        let (name, path) = self.pick(&FOLDERS);
        let listed = self.storage.list(&path).map(|mut entries| {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            format!("{entries:?}").into_bytes()
        });
        // What is no folder may be synced as a file.
        if listed.is_ok() {
            let result = self.storage.sync_dir(&path);
            self.say(format!("sync_dir {name}"), outcome(result, nothing));
        }
        self.say(format!("list {name}"), outcome(listed, |bytes| bytes));
    }

    fn use_file(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let number = self.rng.usize(..self.open.len());
        let Open { ref file, appends, .. } = self.open[number];
        let file = file.clone();
        let offset = self.rng.u64(..6000);
        let len = self.rng.usize(..3000);
        let data: Vec<u8> = (0..len).map(|_| self.rng.u8(1..)).collect();
        let kind = self.rng.u32(..if appends { 9 } else { 7 });
        match kind {
            // Who appends knows the block before the end and writes it again: nobody else may have changed it.
            0..=1 | 5 => self.open.iter_mut().for_each(|open| open.appends &= !open.appended),
            7 => self.open[number].appended = true,
            _ => {}
        }
        let (call, outcome) = match kind {
            0..=1 => (format!("write {offset} {len}"), outcome(write_all_at(&*file, &data, offset), nothing)),
            2..=3 => {
                let mut buffer = vec![0; len];
                let result = read_full_at(&*file, &mut buffer, offset);
                (format!("read {offset} {len}"), outcome(result, |count| buffer[..count].to_vec()))
            }
            4 => ("sync".to_owned(), outcome(file.sync(), nothing)),
            5 => (format!("set_size {offset}"), outcome(file.set_size(offset), nothing)),
            6 => (format!("allocate {offset}"), outcome(file.allocate(offset), nothing)),
            7 => (format!("append {len}"), outcome(append(&*file, &data), nothing)),
            _ => ("prepare".to_owned(), outcome(prepare(&*file), nothing)),
        };
        let size = file.size().map(|size| size.to_be_bytes().to_vec());
        self.say(format!("file {number}: {call}"), outcome);
        self.say("size".to_owned(), size.map_err(|error| error.raw_os_error()));
    }

    /// Of all files, all bytes.
    fn look_at_all(&mut self) {
        let mut folders = vec![self.root.to_owned()];
        while let Some(folder) = folders.pop() {
            let mut entries = self.storage.list(&folder).expect("listed");
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            for entry in entries {
                let path = folder.join(&entry.name);
                if entry.is_dir {
                    folders.push(path);
                } else {
                    let bytes = sws_content::storage::read_file(self.storage, &path, u64::MAX).expect("read");
                    self.say(entry.name, Ok(bytes));
                }
            }
        }
    }
}

/// Appends at the end. What lies behind it then is the backend's affair, but zeros.
fn append(file: &dyn StorageFile, data: &[u8]) -> io::Result<()> {
    let size = file.size()?;
    let end = size + data.len() as u64;
    let mut told = 0;
    match file.append(data, size, &mut || told += 1) {
        Ok(()) => assert_eq!(told, 1),
        Err(AppendError::Write(error) | AppendError::Sync(error)) => return Err(error),
        Err(_) => return Err(io::ErrorKind::Other.into()),
    }
    let mut behind = vec![1; 4096];
    let padding = read_full_at(file, &mut behind, end)?;
    assert!(padding < 4096 && behind[..padding].iter().all(|byte| *byte == 0));
    file.set_size(end)
}

/// Makes a few blocks behind the end ready. They may be there afterwards or not.
fn prepare(file: &dyn StorageFile) -> io::Result<()> {
    let size = file.size()?;
    let from = size.next_multiple_of(4096);
    file.prepare(from, from + 8192)?;
    file.set_size(from + 8192)
}

fn run(storage: &dyn Storage, root: &Path, seed: u64) -> Vec<(String, Outcome)> {
    storage.create_dir(root).expect("made");
    let mut calls = Calls { storage, root, rng: Rng::with_seed(seed), open: Vec::new(), said: Vec::new() };
    for _ in 0..CALLS {
        calls.step();
    }
    calls.look_at_all();
    calls.said
}

fn compare(name: &str, run: impl Fn(PathBuf, u64) -> Vec<(String, Outcome)>) {
    let folder = Folder::new(name);
    for seed in 0..SEEDS {
        let other = run(folder.0.join(seed.to_string()), seed);
        let faulty = self::run(&FaultyStorage::new(), Path::new("/some/folder"), seed);
        for (index, (other, faulty)) in other.iter().zip(&faulty).enumerate() {
            assert!(other == faulty, "seed {seed}, outcome {index}: {name} {other:?}, faulty {faulty:?}");
        }
        assert_eq!(other.len(), faulty.len());
    }
}

#[test]
fn plain_calls_do_as_the_faulty_storage_without_faults() {
    compare("std", |root, seed| run(&StdStorage, &root, seed));
}

#[test]
fn the_ring_off_a_fiber_does_the_same() {
    compare("plain", |root, seed| run(&RingStorage::default(), &root, seed));
}

#[test]
fn the_ring_on_a_fiber_does_the_same() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    compare("ring", |root, seed| runtime.block_on_fiber(move || run(&RingStorage::default(), &root, seed)));
}

#[test]
fn the_faulty_storage_suspends_if_asked_to() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let (suspended, other) = runtime.block_on_fiber(|| {
        let storage = FaultyStorage::new();
        storage.set_suspension(3, 1);
        let counter = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = counter.clone();
        let other = sws_runtime::go("counter", move || {
            while sws_runtime::yield_now().is_ok() {
                counted.set(counted.get() + 1);
            }
        });
        let said = run(&storage, Path::new("/"), 7);
        other.cancel();
        (counter.get(), said)
    });
    assert!(suspended > CALLS, "{suspended} turns of the other fiber");
    assert!(other == run(&FaultyStorage::new(), Path::new("/"), 7));
}
