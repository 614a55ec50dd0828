//! Compaction: of sealed segments the last record of each key is kept.
//!
//! Keys of the segments that are not compacted yet are collected first; then each segment is written anew without the records that
//! a later one has replaced, beside the old file, and takes its name. Offsets stay; there are gaps between them. A segment
//! from which nothing is taken stays as it is.

use super::core::Core;
use super::options::whole_millis;
use super::partition::{Partition, now_ms};
use super::recover::scan_paced;
use super::segment_file::Sealed;
use crate::segment::{HEADER_BYTES, IndexBuilder, NewRecord, RecordRef, SegmentHeader, Tally, encode_record};
use crate::storage::{StorageFile, remove_if_there, write_all_at};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::{Cancelled, sleep};

/// Bytes that are read before the budget is looked at, and that are written at once.
const STEP_BYTES: usize = 256 * 1024;
/// Bytes of keys in memory, at most; what comes behind them waits for the next time.
const KEYS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a key costs beside its bytes.
const KEY_WEIGHT: usize = 64;

/// The last offset of each key, of the records before the horizon.
struct Keys {
    last: HashMap<Box<[u8]>, u64>,
    bytes: usize,
    horizon: u64,
}

/// Compacts a partition, if enough has come since the last time.
pub(super) fn compact(core: &Rc<Core>, partition: &Rc<Partition>) -> Result<(), Cancelled> {
    // What is damaged cannot be read: what lies before it may hold keys that it ends, so nothing up to it is touched.
    let segments: Vec<Rc<Sealed>> = {
        let state = partition.state.borrow();
        let damaged = state.sealed.iter().rposition(|segment| segment.damage.is_some());
        state.sealed.iter().skip(damaged.map_or(0, |at| at + 1)).cloned().collect()
    };
    let (clean, dirty): (Vec<_>, Vec<_>) = segments.iter().partition(|segment| segment.header.compacted);
    let bytes = |segments: &[&Rc<Sealed>]| segments.iter().map(|segment| segment.size()).sum::<u64>();
    if dirty.is_empty() || bytes(&dirty) * 2 < bytes(&clean) {
        return Ok(());
    }
    let mut keys = Keys { last: HashMap::new(), bytes: 0, horizon: u64::MAX };
    for segment in &dirty {
        if let Err(error) = collect(core, segment, &mut keys) {
            return give_up(core, segment, error);
        }
    }
    for segment in &segments {
        if partition.is_deleted.get() {
            return Ok(());
        }
        if let Err(error) = rewrite(core, partition, segment, &keys) {
            return give_up(core, segment, error);
        }
    }
    Ok(())
}

fn give_up(core: &Core, segment: &Sealed, error: io::Error) -> Result<(), Cancelled> {
    if Cancelled::is_in(&error) {
        return Err(Cancelled);
    }
    core.report(&format!("{}: not compacted: {error}", segment.path.display()));
    Ok(())
}

/// Reads all records of a segment within the budget.
fn read(core: &Core, segment: &Sealed, mut each: impl FnMut(&RecordRef<'_>)) -> io::Result<()> {
    let file = core.files.open(segment.id, &segment.path, false)?;
    let end =
        scan_paced(&*file, segment.base(), STEP_BYTES, |_, record| each(record), |bytes| pause(core, bytes))?;
    let damaged =
        |error| io::Error::new(io::ErrorKind::InvalidData, format!("at byte {}: {error}", end.position));
    end.sealed().map(drop).map_err(damaged)
}

/// Waits until the budget allows for so many bytes more.
fn pause(core: &Core, bytes: usize) -> io::Result<()> {
    let rate = core.options.compaction_bytes_per_second.max(1);
    Ok(sleep(Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate))?)
}

fn collect(core: &Core, segment: &Sealed, keys: &mut Keys) -> io::Result<()> {
    read(core, segment, |record| {
        let Some(key) = record.key.filter(|_| record.offset < keys.horizon) else { return };
        if let Some(last) = keys.last.get_mut(key) {
            *last = record.offset;
        } else if keys.bytes + key.len() + KEY_WEIGHT > KEYS_BYTES_MAX {
            keys.horizon = record.offset;
        } else {
            keys.bytes += key.len() + KEY_WEIGHT;
            keys.last.insert(key.into(), record.offset);
        }
    })
}

impl Keys {
    /// Whether a record is still wanted. Tombstones are, until they are older than `tombstones`.
    fn keeps(&self, record: &RecordRef<'_>, tombstones: u64) -> bool {
        if record.tombstone && record.timestamp_ms < tombstones && record.offset < self.horizon {
            return false;
        }
        let last = record.key.and_then(|key| self.last.get(key));
        last.is_none_or(|&last| last <= record.offset)
    }
}

/// Writes a segment anew, and puts it in the place of the old one.
fn rewrite(core: &Rc<Core>, partition: &Rc<Partition>, old: &Rc<Sealed>, keys: &Keys) -> io::Result<()> {
    let age = partition.config.tombstone_age;
    let tombstones = age.map_or(0, |age| now_ms().saturating_sub(whole_millis(age)));
    // The old index knows producers whose records may be gone.
    let producers =
        old.index(|| super::read::load_index(core, old)).map_err(io::Error::other)?.producers.clone();
    let mut removed = 0u64;
    read(core, old, |record| removed += u64::from(!keys.keeps(record, tombstones)))?;
    if removed == 0 && old.header.compacted {
        return Ok(());
    }
    let path = crate::storage::temporary_path(&old.path);
    remove_if_there(&*core.storage, &path)?;
    let file = core.storage.create(&path)?;
    let header = SegmentHeader { compacted: true, created_ms: now_ms(), ..old.header };
    let mut copy = Copy {
        file: &*file,
        tally: Tally::new(&header),
        index: IndexBuilder::new(header.base_offset),
        buffer: header.encode().to_vec(),
        written: 0,
        error: None,
    };
    read(core, old, |record| {
        if keys.keeps(record, tombstones) {
            copy.push(record);
        }
    })?;
    copy.flush()?;
    let mut tally = copy.tally;
    tally.next_offset = old.next;
    let index = copy.index;
    let footer = tally.footer();
    super::commit::write_footer(&file, &footer).map_err(io::Error::from)?;
    if partition.is_deleted.get() || !is_current(partition, old) {
        return core.storage.remove(&path);
    }
    core.storage.rename(&path, &old.path)?;
    let new = Rc::new(Sealed::new(old.path.clone(), header, &footer));
    let index = index.finish(new.size(), producers);
    new.set_index(index.clone());
    if let Some(place) = partition.state.borrow_mut().sealed.iter_mut().find(|segment| segment.id == old.id) {
        *place = Rc::clone(&new);
    }
    core.files.remove(old.id);
    core.storage.sync_dir(&partition.dir)?;
    crate::storage::replace_file(&*core.storage, &new.index_path(), &index.encode())
}

/// Whether a segment is still one of the partition.
fn is_current(partition: &Partition, segment: &Sealed) -> bool {
    partition.state.borrow().sealed.iter().any(|other| other.id == segment.id)
}

/// A segment that is being written.
struct Copy<'a> {
    file: &'a dyn StorageFile,
    tally: Tally,
    index: IndexBuilder,
    buffer: Vec<u8>,
    /// Bytes that are in the file.
    written: u64,
    error: Option<io::Error>,
}

impl Copy<'_> {
    fn push(&mut self, record: &RecordRef<'_>) {
        let begin = self.buffer.len();
        // What was an atomic batch is one no more.
        let copy = NewRecord { more: false, ..NewRecord::from(*record) };
        if encode_record(&mut self.buffer, &copy).is_err() {
            self.error = Some(io::ErrorKind::InvalidData.into());
            return;
        }
        self.index.push(record.offset, self.tally.records_bytes, record.timestamp_ms);
        let encoded = &self.buffer[begin..];
        self.tally.push(encoded, 1, record.offset + 1, record.timestamp_ms);
        if self.buffer.len() >= STEP_BYTES
            && let Err(error) = self.flush()
        {
            self.error = Some(error);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        write_all_at(self.file, &self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        debug_assert!(self.written >= HEADER_BYTES as u64);
        self.buffer.clear();
        Ok(())
    }
}
