//! Compaction: of sealed segments the last record of each key is kept.
//!
//! Keys of the segments that are not compacted yet are collected first; then each segment is written anew without the records that
//! a later one has replaced, beside the old file, and takes its name, the oldest first. Offsets stay; there are gaps between them. A
//! compacted segment from which nothing is taken stays as it is.
//!
//! A segment is compacted only when its keys were collected and all older ones were written anew: so nothing older has a key of a
//! compacted segment, and a tombstone in one can go when it is old enough, without bringing anything back.

use super::core::Core;
use super::maintain::Exclusive;
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
use sws_runtime::{Cancelled, is_draining, sleep};

/// Bytes that are read before the budget is looked at, and that are written at once.
const STEP_BYTES: usize = 256 * 1024;
/// What a key costs beside its bytes.
const KEY_WEIGHT: usize = 64;

/// The last offset of each key.
#[derive(Default)]
struct Keys {
    last: HashMap<Box<[u8]>, u64>,
    bytes: usize,
}

/// Compacts a partition, if enough has come since the last time.
pub(super) fn compact(
    core: &Rc<Core>,
    partition: &Rc<Partition>,
    exclusive: &Exclusive,
) -> Result<(), Cancelled> {
    let mut segments: Vec<Rc<Sealed>> = partition.state.borrow().sealed.iter().cloned().collect();
    // What is damaged cannot be read: it may hold keys that end behind it. A person looks at it first.
    if segments.iter().any(|segment| segment.damage.is_some()) {
        return Ok(());
    }
    let bytes = |compacted: bool| -> u64 {
        let chosen = segments.iter().filter(|segment| segment.header.compacted == compacted);
        chosen.map(|segment| segment.size()).sum()
    };
    if bytes(false) == 0 || bytes(false) * 2 < bytes(true) {
        return Ok(());
    }
    exclusive.await_indexes()?;
    let task = Task { core, partition };
    let mut keys = Keys::default();
    for number in 0..segments.len() {
        let segment = &segments[number];
        if segment.header.compacted {
            continue;
        }
        if keys.bytes > core.options.compaction_keys_bytes_max {
            // This one and those behind it wait for the next time.
            segments.truncate(number);
            break;
        }
        if let Err(error) = task.collect(segment, &mut keys) {
            return task.give_up(segment, error);
        }
    }
    for segment in &segments {
        if let Err(error) = task.rewrite(segment, &keys) {
            return task.give_up(segment, error);
        }
    }
    Ok(())
}

impl Keys {
    fn insert(&mut self, key: &[u8], offset: u64) {
        if let Some(last) = self.last.get_mut(key) {
            *last = offset;
        } else {
            self.bytes += key.len() + KEY_WEIGHT;
            self.last.insert(key.into(), offset);
        }
    }

    /// Whether a record is still wanted. Tombstones are, until they are older than `tombstones`.
    fn keeps(&self, record: &RecordRef<'_>, tombstones: u64) -> bool {
        if record.tombstone && record.timestamp_ms < tombstones {
            return false;
        }
        let last = record.key.and_then(|key| self.last.get(key));
        last.is_none_or(|&last| last <= record.offset)
    }
}

/// The compaction of a partition.
struct Task<'a> {
    core: &'a Rc<Core>,
    partition: &'a Rc<Partition>,
}

impl Task<'_> {
    /// Whether nobody wants its result any more.
    fn is_off(&self) -> bool {
        self.partition.is_deleted.get() || self.core.is_closed.get() || is_draining()
    }

    /// Reports why a segment is not compacted, unless nobody wants to know.
    fn give_up(&self, segment: &Sealed, error: io::Error) -> Result<(), Cancelled> {
        if Cancelled::is_in(&error) {
            return Err(Cancelled);
        }
        if !self.is_off() {
            self.core.report(&format!("{}: not compacted: {error}", segment.path.display()));
        }
        Ok(())
    }

    /// Reads all records of a segment within the budget.
    fn read(&self, segment: &Sealed, mut each: impl FnMut(&RecordRef<'_>)) -> io::Result<()> {
        let file = self.core.files.open(segment.id, &segment.path, false)?;
        let pause = |bytes| self.pause(bytes);
        let end = scan_paced(&*file, segment.base(), STEP_BYTES, |_, record| each(record), pause)?;
        let damaged =
            |error| io::Error::new(io::ErrorKind::InvalidData, format!("at byte {}: {error}", end.position));
        end.sealed().map(drop).map_err(damaged)
    }

    /// Waits until the budget allows for so many bytes more.
    fn pause(&self, bytes: usize) -> io::Result<()> {
        if self.is_off() {
            return Err(io::Error::other("it is not wanted any more"));
        }
        let rate = self.core.options.compaction_bytes_per_second.max(1);
        Ok(sleep(Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate))?)
    }

    fn collect(&self, segment: &Sealed, keys: &mut Keys) -> io::Result<()> {
        self.read(segment, |record| {
            if let Some(key) = record.key {
                keys.insert(key, record.offset);
            }
        })
    }

    /// Writes a segment anew, and puts it in the place of the old one.
    fn rewrite(&self, old: &Rc<Sealed>, keys: &Keys) -> io::Result<()> {
        let Task { core, partition } = *self;
        let age = partition.config.tombstone_age;
        let tombstones = age.map_or(0, |age| now_ms().saturating_sub(whole_millis(age)));
        let mut removed = 0u64;
        self.read(old, |record| removed += u64::from(!keys.keeps(record, tombstones)))?;
        if removed == 0 && old.header.compacted {
            return Ok(());
        }
        // The old index knows producers whose records may be gone.
        let producers = old.stored_index(&*core.storage).map_or(Vec::new(), |index| index.producers);
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
        self.read(old, |record| {
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
        if partition.is_deleted.get() {
            return core.storage.remove(&path);
        }
        core.storage.rename(&path, &old.path)?;
        let new = Rc::new(Sealed::new(old.path.clone(), header, &footer));
        let index = index.finish(new.size(), producers);
        core.indexes.hold(&new, index.clone());
        if let Some(place) = partition.state.borrow_mut().sealed.iter_mut().find(|one| one.id == old.id) {
            *place = Rc::clone(&new);
        }
        core.files.remove(old.id);
        core.storage.sync_dir(&partition.dir)?;
        crate::storage::replace_file(&*core.storage, &new.index_path(), &index.encode())
    }
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
