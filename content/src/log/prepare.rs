//! Blocks that are made ready before records come to lie there, so that a batch is one operation of the disk.
//!
//! In a file that grows, and over blocks that are only reserved, a durable write also commits the file system's journal. Over zeros it
//! does not; but each piece of zeros has the next write commit once, so pieces are large, and come one by one, with room between
//! them for batches.

use super::core::Core;
use super::partition::{Partition, Preparation};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::{Cancelled, sleep, try_go};

/// Before batches of fewer bytes, blocks are written with zeros. For larger ones these would take the disk more time than they save.
const ZEROS_BYTES: usize = 64 * 1024;
/// Zeros that are written at once, and what is left to others in between.
const PIECE_BYTES: u64 = 512 * 1024;
const PIECE_PAUSE: Duration = Duration::from_millis(1);
/// Zeros begin at a block behind what was written.
const BLOCK: u64 = 4096;

impl Partition {
    /// What blocks are to be made ready, if it is time.
    pub(super) fn plan_preparation(&self) -> Option<Range<u64>> {
        if !self.is_synced() || self.preparing.get() != Preparation::None {
            return None;
        }
        let mut state = self.state.borrow_mut();
        if state.poison.is_some() {
            return None;
        }
        state.active.as_mut().filter(|active| active.begun)?.plan_preparation(self.config.segment_bytes)
    }

    /// Makes blocks ready while others write before them. `batch` is how many bytes the last one had.
    pub(super) fn prepare(self: &Rc<Self>, core: &Rc<Core>, blocks: Range<u64>, batch: usize) {
        let active = self.state.borrow().active.as_ref().map(|active| (active.id, active.path.clone()));
        let Some((id, path)) = active else { return };
        let zeros = batch < ZEROS_BYTES;
        self.preparing.set(if zeros { Preparation::Zeroing } else { Preparation::Reserving });
        let (partition, shared) = (Rc::clone(self), Rc::clone(core));
        let started = try_go("log prepare", move || {
            let _preparing = Preparing(&partition);
            // What is not ready is written all the same, only not as quickly.
            let _ = partition.make_ready(&shared, id, &path, blocks, zeros);
        });
        if started.is_none() {
            self.preparing.set(Preparation::None);
        }
    }

    fn make_ready(
        &self,
        core: &Core,
        id: u64,
        path: &Path,
        blocks: Range<u64>,
        zeros: bool,
    ) -> io::Result<()> {
        let file = core.files.open(id, path, true)?;
        file.allocate(blocks.end)?;
        let mut at = blocks.start;
        while zeros && at < blocks.end {
            let end = (at + PIECE_BYTES).min(blocks.end);
            file.prepare(at, end)?;
            self.set_prepared(end);
            at = end;
            sleep(PIECE_PAUSE)?;
        }
        self.set_prepared(blocks.end);
        Ok(())
    }

    fn set_prepared(&self, end: u64) {
        if let Some(active) = self.state.borrow_mut().active.as_mut() {
            active.prepared = end;
        }
        self.prepared.wake();
    }

    /// Waits until the active file can be written up to `end`: zeros must not come behind records.
    pub(super) fn await_prepared(&self, end: u64) -> Result<(), Cancelled> {
        while self.preparing.get() == Preparation::Zeroing {
            let ready = self.state.borrow().active.as_ref().map_or(0, |active| active.prepared);
            if end <= ready.saturating_sub(BLOCK) {
                break;
            }
            self.prepared.wait("log prepare")?;
        }
        Ok(())
    }

    /// Waits until nobody makes blocks ready.
    pub(super) fn await_preparation(&self) -> Result<(), Cancelled> {
        while self.preparing.get() != Preparation::None {
            self.prepared.wait("log prepare")?;
        }
        Ok(())
    }
}

/// Blocks are being made ready. Its end is told also when the fiber panics.
struct Preparing<'a>(&'a Partition);

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        self.0.preparing.set(Preparation::None);
        self.0.prepared.wake();
    }
}
