//! A storage that fails as a test wants it to.
//!
//! It is a test double, for the tests of this crate and of services that use it: all is in memory, and what programs see is kept apart
//! from what is on the disk. [`StorageFile::sync`](super::StorageFile::sync) moves the content of one file from here to there, [`Storage::sync_dir`] the names in
//! one folder, and nothing else does. [`FaultyStorage::after_power_cut`] gives a storage with what a power cut leaves.
//!
//! ```text
//!            files: bytes            folders: names
//! live       what was written        what was created, renamed, removed      what programs see
//!   |        sectors of 512 bytes    changes in their order
//!   v sync   each for itself         of each folder from the first           what a power cut leaves a part of
//! disk       what a sync ended with  what a sync ended with                  what it leaves whole
//! ```
//!
//! Every call is a step with a number. A test runs its workload once, asks for the [`steps`](FaultyStorage::steps), and
//! runs it again for each of them with the power cut there, or with an error:
//!
//! ```
//! use std::path::Path;
//! use sws_content::storage::faulty::{FaultyStorage, Survival};
//! use sws_content::storage::{Storage, read_file, replace_file};
//!
//! let path = Path::new("settings");
//! let workload = |storage: &FaultyStorage| {
//!     replace_file(storage, path, b"old")?;
//!     replace_file(storage, path, b"new")
//! };
//! let whole = FaultyStorage::new();
//! workload(&whole)?;
//! for step in 0..whole.steps().len() {
//!     let storage = FaultyStorage::new();
//!     storage.power_cut_at(step);
//!     assert!(workload(&storage).is_err());
//!     for seed in 0..10 {
//!         let left = storage.after_power_cut(Survival::Random(seed));
//!         let content = read_file(&left, path, 100).unwrap_or_default();
//!         assert!([&b""[..], b"old", b"new"].contains(&&content[..]));
//!     }
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What it does not do: a path with `..` is refused, a relative path and an absolute one are the same, there are no permissions, and a
//! hole takes space.

mod content;
mod file;
mod plan;
mod survival;
mod tree;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

pub use plan::{Fault, Op, Step};
pub use survival::Survival;

use super::{DirEntry, SharedFile, Storage};
use file::FaultyFile;
use plan::{Plan, Verdict, power_is_off};
use rustix::io::Errno;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use survival::{Dice, Fate};
use tree::Tree;

/// A storage in memory that fails as planned. Clones are the same storage.
#[derive(Clone, Debug)]
pub struct FaultyStorage {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    plan: Plan,
    /// Bytes that all files together may have.
    capacity: u64,
    suspension: Suspension,
}

/// How often a call lets other fibers run.
#[derive(Debug)]
struct Suspension {
    turns_max: usize,
    dice: Dice,
}

impl Default for FaultyStorage {
    fn default() -> FaultyStorage {
        FaultyStorage::new()
    }
}

impl FaultyStorage {
    /// An empty storage without faults.
    #[must_use]
    pub fn new() -> FaultyStorage {
        FaultyStorage::over(Tree::new())
    }

    fn over(tree: Tree) -> FaultyStorage {
        let suspension = Suspension { turns_max: 0, dice: Dice::new(0) };
        let state = State { tree, plan: Plan::default(), capacity: u64::MAX, suspension };
        FaultyStorage { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power at the call with this number, the first being 0. That call does a part of what it should, of which any part survives,
    /// and it and all that follow fail.
    pub fn power_cut_at(&self, step: usize) {
        self.lock().plan.cut_at(step);
    }

    /// Cuts the power between two calls.
    pub fn cut_power(&self) {
        self.lock().plan.cut();
    }

    /// Has the `nth` call of a kind fail, the first of this storage being 0.
    pub fn fail(&self, op: Op, nth: usize, fault: Fault) {
        self.lock().plan.push(op, nth, false, fault);
    }

    /// Has the `nth` call of a kind and all later ones fail.
    pub fn fail_from(&self, op: Op, nth: usize, fault: Fault) {
        self.lock().plan.push(op, nth, true, fault);
    }

    /// Takes back all faults that are planned, and the bound of the capacity.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.plan.clear_faults();
        state.capacity = u64::MAX;
    }

    /// Bounds the bytes that all files together may have. What would be more fails with ENOSPC; a write does what fits first.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Bytes of all files that have a name or are open.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().tree.used()
    }

    /// Has each call on a fiber let the others run first, from never to `turns_max` times, by a seed; and calls that sync afterwards
    /// again. Without it no call suspends.
    pub fn set_suspension(&self, turns_max: usize, seed: u64) {
        self.lock().suspension = Suspension { turns_max, dice: Dice::new(seed) };
    }

    /// Damages one byte of a file, on the disk and in memory.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` when the file is shorter.
    pub fn corrupt(&self, path: &Path, offset: u64, xor: u8) -> io::Result<()> {
        let mut state = self.lock();
        let node = state.tree.find_file(path)?;
        let content = state.tree.content_mut(node);
        match usize::try_from(offset).ok().filter(|&offset| offset < content.len()) {
            Some(offset) => content.corrupt(offset, xor),
            None => return Err(Errno::INVAL.into()),
        }
        Ok(())
    }

    /// Forgets what is only in memory and not on its way to the disk: what a failed sync has lost cannot be read from then on.
    pub fn drop_caches(&self) {
        self.lock().tree.drop_caches();
    }

    /// Another storage, with what is on the disk if the power goes at this point, or went before. This one stays as it is.
    #[must_use]
    pub fn after_power_cut(&self, survival: Survival) -> FaultyStorage {
        FaultyStorage::over(self.lock().tree.survivor(&mut Fate::new(survival)))
    }

    /// Another storage, with what is there for the next process if this one ends here: all that was written, synced or not.
    #[must_use]
    pub fn after_crash(&self) -> FaultyStorage {
        FaultyStorage::over(self.lock().tree.with_all_closed())
    }

    /// The calls until here, in their order.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.lock().plan.steps.clone()
    }

    /// How many calls of a kind there were.
    #[must_use]
    pub fn count(&self, op: Op) -> usize {
        self.lock().plan.count(op)
    }

    /// Lets other fibers run, if that is asked for.
    fn suspend(&self) -> io::Result<()> {
        let turns = {
            let mut state = self.lock();
            let Suspension { turns_max, dice } = &mut state.suspension;
            if *turns_max == 0 { 0 } else { dice.below(*turns_max + 1) }
        };
        for _ in 0..turns {
            if !sws_runtime::on_fiber() {
                break;
            }
            sws_runtime::yield_now()?;
        }
        Ok(())
    }

    /// One step: `call` does it, and hears of a sync that it shall lose what it was to make durable.
    fn step<T>(
        &self,
        op: Op,
        path: &Path,
        call: impl FnOnce(&mut State, Turn) -> io::Result<T>,
    ) -> io::Result<T> {
        self.suspend()?;
        let mut state = self.lock();
        let number = state.plan.steps.len();
        let step = Step { op, path: path.to_owned() };
        let turn = match state.plan.step(step)? {
            Verdict::Proceed => Turn::Whole { bytes_max: usize::MAX },
            Verdict::Fault(Fault::Short(bytes_max)) => Turn::Whole { bytes_max },
            Verdict::Cut => {
                // What a call that only waits or looks has done is nothing that could survive.
                if !matches!(op, Op::Sync | Op::SyncDir) && !op.only_looks() {
                    let done = call(&mut state, Turn::Torn(Dice::new(number as u64)));
                    // A file that is closed asks for the lock.
                    drop(state);
                    drop(done);
                }
                return Err(power_is_off());
            }
            Verdict::Fault(fault) => {
                let loses = matches!(op, Op::Sync | Op::SyncDir) && fault != Fault::Interrupted;
                if loses {
                    call(&mut state, Turn::Lost(Fate::new(fault.survival())))?;
                }
                return Err(fault.error().unwrap_or_else(|| Errno::IO.into()));
            }
        };
        call(&mut state, turn)
    }

    fn open_file(&self, state: &mut State, path: &Path, node: usize, writable: bool) -> SharedFile {
        state.tree.acquire(node);
        Arc::new(FaultyFile { storage: self.clone(), node, writable, path: path.to_owned() })
    }
}

/// How a call is to be done.
#[derive(Debug)]
enum Turn {
    /// As ever; a read or a write with at most so many bytes.
    Whole { bytes_max: usize },
    /// The power goes meanwhile: of a write only some sectors are written.
    Torn(Dice),
    /// A sync that fails.
    Lost(Fate),
}

impl Storage for FaultyStorage {
    fn create(&self, path: &Path) -> io::Result<SharedFile> {
        self.step(Op::Create, path, |state, _| {
            let node = state.tree.create(path)?;
            Ok(self.open_file(state, path, node, true))
        })
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<SharedFile> {
        self.step(Op::Open, path, |state, _| {
            let node = state.tree.find_file(path)?;
            Ok(self.open_file(state, path, node, writable))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Op::Rename, from, |state, _| state.tree.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Op::Remove, path, |state, _| state.tree.remove(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step(Op::CreateDir, path, |state, _| state.tree.create_dir(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.step(Op::RemoveDir, path, |state, _| state.tree.remove_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.step(Op::List, path, |state, _| state.tree.list(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step(Op::SyncDir, path, |state, turn| match turn {
            Turn::Lost(mut fate) => state.tree.lose(path, &mut fate),
            Turn::Whole { .. } | Turn::Torn(_) => state.tree.sync_dir(path),
        })?;
        // It is done; who asked for it hears of it later, as from a disk.
        let _ = self.suspend();
        Ok(())
    }
}
