//! Reading ahead: the chunks that a fetch comes to next are read while it looks at those that it has.

use super::core::Core;
use super::partition::Partition;
use super::read::{Extent, FetchMax, Found, read_shared, sealed_extent};
use std::collections::VecDeque;
use std::rc::Rc;
use sws_runtime::try_go;

/// Chunks that lie ahead of one fetch and are read or being read, at most.
const CHUNKS_MAX: usize = 8;
/// Reads ahead that are under way in one log, at most: what all readers together may ask of memory beyond what they wait for.
const READS_MAX: usize = 64;

/// What one fetch has had read ahead of itself.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// One past the last offset of each chunk, and its bytes.
    chunks: VecDeque<(u64, usize)>,
}

impl Ahead {
    /// Forgets the chunks up to this offset: the fetch has come past them.
    fn pass(&mut self, next: u64) {
        while self.chunks.front().is_some_and(|&(end, _)| end <= next) {
            self.chunks.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.chunks.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Partition {
    /// Has the chunks behind `extent` read, as far as a fetch goes that is at `offset` and has so much left, and readers see.
    pub(super) fn read_ahead(
        &self,
        core: &Rc<Core>,
        ahead: &mut Ahead,
        extent: &Extent,
        offset: u64,
        left: FetchMax,
    ) {
        ahead.pass(extent.next);
        let mut next = ahead.chunks.back().map_or(extent.next, |&(end, _)| end);
        let mut bytes = extent.len() + ahead.bytes();
        let high = self.visible.get().min(offset.saturating_add(left.records as u64));
        while ahead.chunks.len() < CHUNKS_MAX && bytes < left.bytes && next < high {
            let Some(extent) = self.extent_in_memory(next) else { return };
            next = extent.next;
            bytes += extent.len();
            ahead.chunks.push_back((extent.next, extent.len()));
            load(core, extent);
        }
    }

    /// Where the chunk of an offset lies, if that can be said without reading, and if the chunk stays as it is.
    fn extent_in_memory(&self, offset: u64) -> Option<Extent> {
        match self.find(&self.state.borrow(), offset) {
            Found::Recent(_) => None,
            Found::Extent(extent) => extent.is_final.then_some(extent),
            Found::Sealed(sealed) => sealed.index().map(|index| sealed_extent(&sealed, &index, offset)),
        }
    }
}

/// Reads a chunk on a fiber of its own, if nobody has done so and there is room for it. Who comes to it meets what is wrong with it.
fn load(core: &Rc<Core>, extent: Extent) {
    if core.cache.has(extent.chunk_id()) || Rc::strong_count(&core.reads_ahead) > READS_MAX {
        return;
    }
    let (core, under_way) = (Rc::clone(core), Rc::clone(&core.reads_ahead));
    // Without a fiber for it the fetch reads it when it comes there.
    let _ = try_go("log read ahead", move || {
        let _ = read_shared(&core, &extent);
        drop(under_way);
    });
}
