//! Older records in memory, for all who catch up: what one has read, the next ones have.

use super::chunk::Chunk;
use super::error::FetchError;
use super::wait::WaitList;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// Which chunk: the segment's number in memory, and where in its file it begins.
pub(super) type ChunkId = (u64, u64);

enum Slot {
    Ready {
        chunk: Arc<Chunk>,
        used: u64,
    },
    /// A fiber reads it just now.
    Loading(Rc<WaitList>),
}

/// Chunks by their place, those that were used last.
#[derive(Default)]
pub(super) struct ChunkCache {
    slots: RefCell<HashMap<ChunkId, Slot>>,
    /// Chunks in the order of their use.
    order: RefCell<BTreeMap<u64, ChunkId>>,
    used: Cell<u64>,
    bytes: Cell<usize>,
    bytes_max: usize,
    loads: Cell<u64>,
    hits: Cell<u64>,
}

impl ChunkCache {
    pub(super) fn new(bytes_max: usize) -> ChunkCache {
        ChunkCache { bytes_max, ..ChunkCache::default() }
    }

    /// The chunk, read by `load` if nobody has it. Who comes while it is read waits for that.
    pub(super) fn load(
        &self,
        id: ChunkId,
        load: impl Fn() -> Result<Chunk, FetchError>,
    ) -> Result<Arc<Chunk>, FetchError> {
        loop {
            let waiting = match self.slots.borrow_mut().get_mut(&id) {
                Some(Slot::Ready { chunk, used }) => {
                    self.hits.set(self.hits.get() + 1);
                    let mut order = self.order.borrow_mut();
                    order.remove(used);
                    *used = self.tick();
                    order.insert(*used, id);
                    return Ok(Arc::clone(chunk));
                }
                Some(Slot::Loading(waiting)) => Rc::clone(waiting),
                None => break,
            };
            waiting.wait("log read")?;
        }
        let waiting = Rc::new(WaitList::default());
        self.slots.borrow_mut().insert(id, Slot::Loading(Rc::clone(&waiting)));
        let reading = Reading { cache: self, id, waiting };
        let chunk = Arc::new(load()?);
        self.loads.set(self.loads.get() + 1);
        drop(reading);
        self.insert(id, Arc::clone(&chunk));
        Ok(chunk)
    }

    /// Whether it is there, or just being read.
    pub(super) fn has(&self, id: ChunkId) -> bool {
        self.slots.borrow().contains_key(&id)
    }

    fn insert(&self, id: ChunkId, chunk: Arc<Chunk>) {
        let weight = chunk.weight();
        if weight > self.bytes_max {
            return;
        }
        let used = self.tick();
        if let Some(Slot::Ready { chunk, used }) =
            self.slots.borrow_mut().insert(id, Slot::Ready { chunk, used })
        {
            self.order.borrow_mut().remove(&used);
            self.bytes.set(self.bytes.get() - chunk.weight());
        }
        self.order.borrow_mut().insert(used, id);
        self.bytes.set(self.bytes.get() + weight);
        while self.bytes.get() > self.bytes_max {
            let Some((_, oldest)) = self.order.borrow_mut().pop_first() else { break };
            if let Some(Slot::Ready { chunk, .. }) = self.slots.borrow_mut().remove(&oldest) {
                self.bytes.set(self.bytes.get() - chunk.weight());
            }
        }
    }

    /// Bytes, chunks that were read, and chunks that were there.
    pub(super) fn stats(&self) -> (usize, u64, u64) {
        (self.bytes.get(), self.loads.get(), self.hits.get())
    }

    fn tick(&self) -> u64 {
        self.used.set(self.used.get() + 1);
        self.used.get()
    }
}

/// Ends the wait of the others, also when reading fails.
struct Reading<'a> {
    cache: &'a ChunkCache,
    id: ChunkId,
    waiting: Rc<WaitList>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.cache.slots.borrow_mut().remove(&self.id);
        self.waiting.wake();
    }
}
