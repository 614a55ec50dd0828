//! Reading: from memory what was written last, from shared chunks what is older.

use super::ahead::Ahead;
use super::cache::ChunkId;
use super::chunk::Chunk;
use super::core::Core;
use super::error::FetchError;
use super::partition::{Partition, State};
use super::record::{Part, Records};
use super::recover::scan;
use super::segment_file::{Active, Sealed};
use crate::segment::{HEADER_BYTES, INDEX_INTERVAL_BYTES, Index, IndexBuilder, IndexEntry, RECORD_BYTES_MAX};
use crate::storage::{SharedFile, StorageFile, read_range};
use bytes::Bytes;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use sws_runtime::{is_draining, timeout};

/// How much a fetch returns at most.
///
/// The first record is returned whatever its size.
///
/// ```
/// use sws_content::log::FetchMax;
///
/// assert_eq!(FetchMax::default().bytes, 1 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchMax {
    /// Records.
    pub records: usize,
    /// Bytes of them, as they are stored.
    pub bytes: usize,
}

impl Default for FetchMax {
    fn default() -> FetchMax {
        FetchMax { records: usize::MAX, bytes: 1 << 20 }
    }
}

/// Encoded records as they lie in a file that is never written again: for those who send them on without looking at them.
///
/// The first record is known to be good. The others were not read: whoever gets them checks the checksum that each has.
///
/// ```
/// use sws_content::log::{Acks, Entry, Log, TopicConfig};
/// use sws_content::segment::{Decoded, decode_record};
/// use sws_runtime::Runtime;
///
/// # let dir = std::env::temp_dir().join(format!("sws-doc-stored-{}", std::process::id()));
/// let (log, _report) = Log::open(&dir)?;
/// let runtime = Runtime::new(Default::default())?;
/// runtime.block_on_fiber(move || {
///     log.create_topic("orders", TopicConfig::default().segment_bytes(512 * 1024)).unwrap();
///     let payload = "x".repeat(1024);
///     for _ in 0..1000 {
///         log.produce("orders", Entry::text(&payload), Acks::None).unwrap();
///     }
///     log.flush("orders").unwrap();
///     let stored = log.fetch_stored("orders", 0, 3, 1 << 30).unwrap().expect("a segment is full");
///     let mut bytes = vec![0; stored.len as usize];
///     stored.file.read_at(&mut bytes, stored.position).unwrap();
///     let Decoded::Record(first) = decode_record(&bytes).unwrap() else { panic!("it is whole") };
///     assert_eq!(first.offset, 3);
/// });
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredRecords {
    /// The file. What was opened stays readable when retention or compaction takes the file's name away.
    pub file: SharedFile,
    /// Where the first of them begins in it.
    pub position: u64,
    /// Bytes of all of them.
    pub len: u64,
    /// The oldest offset that was kept.
    pub low: u64,
    /// One past the last offset that readers saw.
    pub high: u64,
    /// Where to go on.
    pub next: u64,
}

/// Bytes of a chunk, at most: it ends with the first record that reaches the index's interval.
const CHUNK_BYTES_MAX: usize = RECORD_BYTES_MAX + INDEX_INTERVAL_BYTES as usize;

/// Where a chunk lies in a file.
pub(super) struct Extent {
    file_id: u64,
    path: PathBuf,
    writable: bool,
    from: u64,
    to: u64,
    /// One past the last offset that it stands for.
    pub(super) next: u64,
    /// Whether it stays as it is.
    pub(super) is_final: bool,
}

impl Extent {
    pub(super) fn chunk_id(&self) -> ChunkId {
        (self.file_id, self.from)
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        (self.to - self.from) as usize
    }
}

/// What is to be done for an offset.
pub(super) enum Found {
    /// It is in memory.
    Recent(Arc<Chunk>),
    /// It lies in the active segment.
    Extent(Extent),
    /// It lies in this sealed segment.
    Sealed(Rc<Sealed>),
}

impl Partition {
    /// The offsets that are kept: the oldest, and the one behind the last that readers see.
    pub(super) fn range(&self) -> (u64, u64) {
        (self.state.borrow().low(), self.visible.get())
    }

    /// Records from an offset on, as many as there are and may be. None at the end.
    pub(super) fn fetch(&self, core: &Rc<Core>, offset: u64, max: FetchMax) -> Result<Records, FetchError> {
        let (low, high) = self.range();
        if self.is_deleted.get() {
            return Err(FetchError::UnknownTopic);
        }
        if offset < low || offset > high {
            return Err(FetchError::OutOfRange { low, high });
        }
        let mut records = Records { parts: Vec::new(), low, high, next: offset };
        let (mut count, mut bytes) = (0, 0);
        let mut ahead = Ahead::default();
        while records.next < high && count < max.records && bytes < max.bytes {
            let left = FetchMax { records: max.records - count, bytes: max.bytes - bytes };
            let chunk = match self.chunk_at(core, records.next, left, &mut ahead) {
                // What was read so far is good; the next call meets the error again.
                Err(_) if count > 0 => break,
                // Retention may have taken it meanwhile.
                Err(_) if records.next < self.range().0 => {
                    let (low, high) = self.range();
                    return Err(FetchError::OutOfRange { low, high });
                }
                result => result?,
            };
            let from = chunk.find(records.next);
            let end = chunk.find(high);
            let to = limit(&chunk, from, end, left, count == 0);
            if to > from {
                count += to - from;
                bytes += chunk.bytes_between(from, to);
                records.next = if to == chunk.len() { chunk.next().min(high) } else { chunk.offset(to) };
                records.parts.push(Part { chunk, from, to });
            } else if from < end {
                break;
            } else {
                // Compaction has taken the rest of this chunk.
                assert!(chunk.next() > records.next, "a chunk goes on behind its offset");
                records.next = chunk.next().min(high);
            }
        }
        Ok(records)
    }

    /// Records of a sealed segment from an offset on, as a part of its file. None where they lie elsewhere, where there are less than two
    /// chunks of them, and where compaction has left gaps.
    pub(super) fn fetch_stored(
        &self,
        core: &Core,
        offset: u64,
        bytes_max: u64,
    ) -> Result<Option<StoredRecords>, FetchError> {
        match self.find_stored(core, offset, bytes_max) {
            Err(FetchError::Cancelled) => Err(FetchError::Cancelled),
            // Retention or compaction may just have taken the file. Who fetches meets what is wrong, if anything is.
            Err(_) => Ok(None),
            found => found,
        }
    }

    fn find_stored(
        &self,
        core: &Core,
        offset: u64,
        bytes_max: u64,
    ) -> Result<Option<StoredRecords>, FetchError> {
        let (low, high) = self.range();
        if offset < low || offset >= high || self.is_deleted.get() {
            return Ok(None);
        }
        let sealed = match self.find(&self.state.borrow(), offset) {
            Found::Sealed(sealed) if sealed.damage.is_none() && !sealed.header.compacted => sealed,
            _ => return Ok(None),
        };
        let index = core.indexes.get(&sealed, || load_index(core, &sealed))?;
        let extent = sealed_extent(&sealed, &index, offset);
        let chunk = read_shared(core, &extent)?;
        let position = extent.from + chunk.begin(chunk.find(offset)) as u64;
        let limit = position.saturating_add(bytes_max);
        let (end, next) = if sealed.records_bytes <= limit {
            (sealed.records_bytes, sealed.next)
        } else {
            let behind = index.entries.partition_point(|entry| entry.position <= limit);
            index.entries[..behind].last().map_or((0, offset), |entry| (entry.position, entry.offset))
        };
        if end <= extent.to {
            return Ok(None);
        }
        let file = core.files.open(sealed.id, &sealed.path, false)?;
        // Compaction may just have put another file in its place: that one has another header.
        if read_range(&*file, 0, HEADER_BYTES)? != sealed.header.encode() {
            return Ok(None);
        }
        Ok(Some(StoredRecords { file, position, len: end - position, low, high, next }))
    }

    /// As [`fetch`](Partition::fetch); at the end it waits for a record, at most for a time.
    pub(super) fn fetch_wait(
        &self,
        core: &Rc<Core>,
        offset: u64,
        max: FetchMax,
        wait: Duration,
    ) -> Result<Records, FetchError> {
        let records = self.fetch(core, offset, max)?;
        if records.next > offset || wait.is_zero() {
            return Ok(records);
        }
        match self.wait_visible(offset + 1, wait) {
            Ok(()) | Err(FetchError::TimedOut) => self.fetch(core, offset, max),
            Err(error) => Err(error),
        }
    }

    /// Waits until readers see all below `next`.
    pub(super) fn wait_visible(&self, next: u64, wait: Duration) -> Result<(), FetchError> {
        let waited = timeout(wait, || {
            while self.visible.get() < next {
                if self.is_deleted.get() {
                    return Err(FetchError::UnknownTopic);
                }
                if self.is_closed.get() {
                    return Err(FetchError::Closed);
                }
                if is_draining() {
                    return Err(FetchError::TimedOut);
                }
                self.arrivals.wait("log records")?;
            }
            Ok(())
        });
        match waited {
            Ok(result) => result,
            Err(_) if self.visible.get() >= next => Ok(()),
            Err(_) => Err(FetchError::TimedOut),
        }
    }

    /// The chunk with the record of this offset, or with the next one that compaction has left.
    /// What a fetch comes to behind it is read meanwhile.
    fn chunk_at(
        &self,
        core: &Rc<Core>,
        offset: u64,
        left: FetchMax,
        ahead: &mut Ahead,
    ) -> Result<Arc<Chunk>, FetchError> {
        let mut read = |extent: Extent| {
            self.read_ahead(core, ahead, &extent, offset, left);
            read_shared(core, &extent)
        };
        loop {
            let found = self.find(&self.state.borrow(), offset);
            let (id, result) = match found {
                Found::Recent(chunk) => return Ok(chunk),
                Found::Extent(extent) => (extent.file_id, read(extent)),
                Found::Sealed(sealed) => {
                    let index = core.indexes.get(&sealed, || load_index(core, &sealed));
                    let extent = index.map(|index| sealed_extent(&sealed, &index, offset));
                    (sealed.id, extent.and_then(&mut read))
                }
            };
            // While it was read, the segment may have been sealed, or another file may have taken its name.
            if result.is_ok() || self.file_at(offset) == Some(id) {
                return result;
            }
            if offset < self.range().0 {
                return result;
            }
        }
    }

    /// The file in which a record lies.
    fn file_at(&self, offset: u64) -> Option<u64> {
        let state = self.state.borrow();
        let at = state.sealed.partition_point(|segment| segment.next <= offset);
        let active = || state.active.as_ref().map(|active| active.id);
        state.sealed.get(at).map(|segment| segment.id).or_else(active)
    }

    /// Where the record of an offset below the end is.
    pub(super) fn find(&self, state: &State, offset: u64) -> Found {
        if state.recent.front().is_some_and(|oldest| oldest.first() <= offset) {
            let at = state.recent.partition_point(|chunk| chunk.next() <= offset);
            return Found::Recent(Arc::clone(&state.recent[at]));
        }
        let at = state.sealed.partition_point(|segment| segment.next <= offset);
        match state.sealed.get(at) {
            Some(sealed) => Found::Sealed(Rc::clone(sealed)),
            None => Found::Extent(active_extent(state, offset)),
        }
    }
}

/// How far a fetch goes in a chunk.
fn limit(chunk: &Chunk, from: usize, end: usize, left: FetchMax, is_first: bool) -> usize {
    let most = end.min(from.saturating_add(left.records));
    let mut to = from;
    while to < most && chunk.bytes_between(from, to + 1) <= left.bytes {
        to += 1;
    }
    if to == from && is_first && from < most { from + 1 } else { to }
}

/// Where the chunk of an offset begins, and the entry of the next one. The first chunk begins behind the header, also when
/// compaction has taken what stood before its first record.
fn bounds(entries: &[IndexEntry], offset: u64) -> (u64, Option<IndexEntry>) {
    let behind = entries.partition_point(|entry| entry.offset <= offset).max(1);
    let from = entries.get(behind - 1).map_or(HEADER_BYTES as u64, |entry| entry.position);
    (from, entries.get(behind).copied())
}

fn active_extent(state: &State, offset: u64) -> Extent {
    let active: &Active =
        state.active.as_ref().expect("what is neither sealed nor recent is in the active segment");
    let (from, behind) = bounds(active.index.entries(), offset);
    let (to, next) =
        behind.map_or((active.tally.records_bytes, state.end), |entry| (entry.position, entry.offset));
    Extent {
        file_id: active.id,
        path: active.path.clone(),
        writable: true,
        from,
        to,
        next,
        is_final: behind.is_some(),
    }
}

pub(super) fn sealed_extent(sealed: &Sealed, index: &Index, offset: u64) -> Extent {
    let (from, behind) = bounds(&index.entries, offset);
    let (to, next) =
        behind.map_or((sealed.records_bytes, sealed.next), |entry| (entry.position, entry.offset));
    Extent { file_id: sealed.id, path: sealed.path.clone(), writable: false, from, to, next, is_final: true }
}

/// Reads a chunk; one that stays as it is, for all.
pub(super) fn read_shared(core: &Core, extent: &Extent) -> Result<Arc<Chunk>, FetchError> {
    match extent.is_final {
        true => core.cache.load(extent.chunk_id(), || read_chunk(core, extent)),
        false => read_chunk(core, extent).map(Arc::new),
    }
}

fn read_chunk(core: &Core, extent: &Extent) -> Result<Chunk, FetchError> {
    let file = core.files.open(extent.file_id, &extent.path, extent.writable)?;
    let len = extent.len();
    if len > CHUNK_BYTES_MAX {
        // The index ends before the records do.
        return Err(FetchError::Corrupt { path: extent.path.clone(), position: extent.from });
    }
    let bytes = read_range(&*file, extent.from, len)?;
    let corrupt =
        |at: usize| FetchError::Corrupt { path: extent.path.clone(), position: extent.from + at as u64 };
    if bytes.len() < len {
        return Err(corrupt(bytes.len()));
    }
    Chunk::check(Bytes::from(bytes), extent.next).map_err(corrupt)
}

/// The index of a sealed segment, from its file or, if that is of no use, from the segment.
fn load_index(core: &Core, sealed: &Sealed) -> Result<Index, FetchError> {
    if let Some(index) = sealed.stored_index(&*core.storage) {
        return Ok(index);
    }
    let file = core.files.open(sealed.id, &sealed.path, false)?;
    build_index(&*file, sealed)
}

fn build_index(file: &dyn StorageFile, sealed: &Sealed) -> Result<Index, FetchError> {
    let mut builder = IndexBuilder::new(sealed.base());
    scan(file, sealed.base(), |position, record| {
        builder.push(record.offset, position, record.timestamp_ms);
    })?;
    Ok(builder.finish(sealed.size(), Vec::new()))
}
