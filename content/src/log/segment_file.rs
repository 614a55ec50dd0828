//! The segments of a partition as they lie on the storage.

use crate::segment::{FOOTER_BYTES, Footer, HEADER_BYTES, Index, IndexBuilder, SegmentHeader, Tally};
use crate::storage::{Storage, read_file};
use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of an index file, at most.
const INDEX_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Names a file in caches, also when another file takes its name.
pub(super) fn next_file_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// `<base offset, 20 digits>.seg`
pub(super) fn segment_path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.seg"))
}

/// A segment that is full and never changes.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) id: u64,
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    /// One past its last offset: the base of the next.
    pub(super) next: u64,
    /// Where its records end.
    pub(super) records_bytes: u64,
    pub(super) last_timestamp_ms: u64,
    /// What is wrong with the file, as far as it was seen.
    pub(super) damage: Option<String>,
    index: RefCell<Option<Arc<Index>>>,
}

impl Sealed {
    pub(super) fn new(path: PathBuf, header: SegmentHeader, footer: &Footer) -> Sealed {
        Sealed {
            id: next_file_id(),
            path,
            header,
            next: footer.next_offset,
            records_bytes: footer.records_bytes,
            last_timestamp_ms: footer.last_timestamp_ms,
            damage: None,
            index: RefCell::new(None),
        }
    }

    /// One whose footer cannot be read: where it ends follows from the one behind it.
    pub(super) fn damaged(
        path: PathBuf,
        header: SegmentHeader,
        next: u64,
        size: u64,
        damage: String,
    ) -> Sealed {
        Sealed {
            id: next_file_id(),
            path,
            header,
            next,
            records_bytes: size,
            last_timestamp_ms: u64::MAX,
            damage: Some(damage),
            index: RefCell::new(None),
        }
    }

    pub(super) fn base(&self) -> u64 {
        self.header.base_offset
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.records_bytes + FOOTER_BYTES as u64
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }

    /// The index, if it is in memory.
    pub(super) fn index(&self) -> Option<Arc<Index>> {
        self.index.borrow().clone()
    }

    pub(super) fn set_index(&self, index: Option<Arc<Index>>) {
        *self.index.borrow_mut() = index;
    }

    /// The index as it lies beside the segment, if it is of this segment and whole.
    pub(super) fn stored_index(&self, storage: &dyn Storage) -> Option<Index> {
        let bytes = read_file(storage, &self.index_path(), INDEX_BYTES_MAX).ok()?;
        let index = Index::decode(&bytes).ok()?;
        (index.segment_bytes == self.size() && index.base_offset == self.base()).then_some(index)
    }
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) id: u64,
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    pub(super) tally: Tally,
    pub(super) index: IndexBuilder,
    /// Whether the header is in the file.
    pub(super) begun: bool,
    /// Up to where the file's blocks are ready to be written.
    pub(super) prepared: u64,
    /// How far the next preparation goes.
    pub(super) step: u64,
}

/// The first step of preparation.
const STEP_MIN: u64 = 64 * 1024;
/// The longest.
const STEP_MAX: u64 = 8 * 1024 * 1024;

impl Active {
    pub(super) fn new(path: PathBuf, header: SegmentHeader) -> Active {
        Active {
            id: next_file_id(),
            path,
            tally: Tally::new(&header),
            index: IndexBuilder::new(header.base_offset),
            header,
            begun: false,
            prepared: 0,
            step: STEP_MIN,
        }
    }

    /// Where the next bytes go: before the header, as long as that is not written.
    pub(super) fn position(&self) -> u64 {
        if self.begun { self.tally.records_bytes } else { 0 }
    }

    /// Whether a batch of so many bytes is one too many.
    pub(super) fn is_full(&self, batch: usize, segment_bytes: u64) -> bool {
        self.tally.count > 0 && self.tally.records_bytes + batch as u64 + FOOTER_BYTES as u64 > segment_bytes
    }

    /// What is to be prepared, if what is ready comes to its end: from where on, and up to where.
    pub(super) fn plan_preparation(&mut self, segment_bytes: u64) -> Option<Range<u64>> {
        let end = self.tally.records_bytes.next_multiple_of(4096);
        let from = self.prepared.max(end);
        let limit = (segment_bytes + HEADER_BYTES as u64).next_multiple_of(4096);
        if from - end > self.step / 2 || from >= limit {
            return None;
        }
        let to = (from + self.step).min(limit);
        self.step = (self.step * 4).min(STEP_MAX);
        Some(from..to)
    }
}
