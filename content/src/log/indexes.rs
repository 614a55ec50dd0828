//! Indexes of full segments in memory, as many bytes of them as may be.

use super::error::FetchError;
use super::segment_file::Sealed;
use crate::segment::{Index, IndexEntry};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// Bytes of indexes that are held: those of 40 GB of segments.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which indexes are held, the one that was loaded first in front.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    held: RefCell<VecDeque<(Weak<Sealed>, usize)>>,
    bytes: std::cell::Cell<usize>,
}

impl Indexes {
    /// The index of a segment, made by `load` if it is not held.
    pub(super) fn get(
        &self,
        sealed: &Rc<Sealed>,
        load: impl FnOnce() -> Result<Index, FetchError>,
    ) -> Result<Arc<Index>, FetchError> {
        if let Some(index) = sealed.index() {
            return Ok(index);
        }
        let index = load()?;
        // Another fiber may have loaded it meanwhile: it is the same.
        Ok(sealed.index().unwrap_or_else(|| self.hold(sealed, index)))
    }

    /// Holds an index, but for its producers: those are for recovery.
    pub(super) fn hold(&self, sealed: &Rc<Sealed>, index: Index) -> Arc<Index> {
        let index = Arc::new(Index { producers: Vec::new(), ..index });
        sealed.set_index(Some(Arc::clone(&index)));
        let bytes = index.entries.len() * size_of::<IndexEntry>();
        let mut held = self.held.borrow_mut();
        held.push_back((Rc::downgrade(sealed), bytes));
        self.bytes.set(self.bytes.get() + bytes);
        while self.bytes.get() > BYTES_MAX && held.len() > 1 {
            let Some((first, bytes)) = held.pop_front() else { break };
            self.bytes.set(self.bytes.get() - bytes);
            if let Some(first) = first.upgrade() {
                first.set_index(None);
            }
        }
        index
    }
}
