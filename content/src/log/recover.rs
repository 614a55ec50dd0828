//! Opening a partition: what of its files is good, what was on its way to the disk when the power went, and what is damaged.
//!
//! Sealed segments are taken at their footer's word; a bad byte in one is found when it is read. The active segment is read whole.

use super::chunk::Chunk;
use super::damage;
use super::error::OpenError;
use super::options::LogOptions;
use super::partition::State;
use super::producers::Producers;
use super::segment_file::{Active, Sealed, segment_path};
use crate::segment::{
    FOOTER_BYTES, Footer, HEADER_BYTES, IndexBuilder, ProducerEntry, RECORD_BYTES_MAX, RecordRef, ScanEnd,
    Scanner, SegmentHeader, Step, TailVerdict, judge_tail, topic_crc,
};
use crate::storage::{DirEntry, SharedFile, Storage, StorageFile, read_file, read_full_at, read_range};
use bytes::Bytes;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes that are read at once.
const READ_BYTES: usize = 1024 * 1024;
/// No partition has had so many records.
const BASE_MAX: u64 = 1 << 60;
/// Bytes of a segment's file, at most: a full segment of the largest size, behind it a record that is as large as one may be, and blocks
/// that are ready.
const FILE_BYTES_MAX: u64 = u32::MAX as u64 + RECORD_BYTES_MAX as u64 + (64 << 20);

/// What was found of a partition when its log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionReport {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// Records that it has.
    pub records: u64,
    /// Bytes behind the last good record that were cut: they had not been acknowledged as durable.
    pub bytes_cut: u64,
    /// Index files that were made again.
    pub indexes_rebuilt: u32,
    /// What is damaged, with file and place. If it is the active segment, nothing can be produced until it is repaired.
    pub damage: Vec<String>,
}

/// A partition's state, without what only its worker can have.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) sealed: Vec<Sealed>,
    pub(super) active: Option<Active>,
    pub(super) end: u64,
    pub(super) producers: Producers,
    pub(super) poison: Option<String>,
    /// The last records, in memory.
    pub(super) recent: Option<Arc<Chunk>>,
}

impl Recovered {
    pub(super) fn into_state(self) -> State {
        State {
            sealed: self.sealed.into_iter().inspect(|sealed| sealed.set_index(None)).map(Rc::new).collect(),
            active: self.active,
            end: self.end,
            durable: self.end,
            producers: self.producers,
            poison: self.poison.map(Into::into),
            recent_bytes: self.recent.as_ref().map_or(0, |chunk| chunk.weight()),
            recent: self.recent.into_iter().collect(),
        }
    }
}

/// Reads the last records, for those who subscribe first; as long as `room` has the bytes.
pub(super) fn recover_recent(place: &Place<'_>, recovered: &mut Recovered, room: &mut usize) {
    let (path, entries, to) = match (&recovered.active, recovered.sealed.last()) {
        (Some(active), _) if active.tally.count > 0 => {
            (&active.path, active.index.entries().to_vec(), active.tally.records_bytes)
        }
        (None, Some(sealed)) if sealed.damage.is_none() => {
            let Some(index) = sealed.index() else { return };
            (&sealed.path, index.entries.clone(), sealed.records_bytes)
        }
        _ => return,
    };
    // Of the last chunk there may be little.
    let Some(from) = entries.get(entries.len().saturating_sub(2)).map(|entry| entry.position) else { return };
    let len = (to - from) as usize;
    let Some(left) = room.checked_sub(len) else { return };
    let read = place.storage.open(path, false).and_then(|file| read_range(&*file, from, len));
    if let Ok(bytes) = read
        && bytes.len() == len
        && let Ok(chunk) = Chunk::check(Bytes::from(bytes), recovered.end)
    {
        *room = left;
        recovered.recent = Some(Arc::new(chunk));
    }
}

/// Where a partition lies and what it is.
pub(super) struct Place<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) dir: &'a Path,
    pub(super) topic: &'a str,
    pub(super) partition: u32,
}

impl Place<'_> {
    pub(super) fn failed(&self, path: &Path, source: io::Error) -> OpenError {
        OpenError::Storage { path: path.to_owned(), source }
    }
}

/// Opens a partition. Torn tails are cut; nothing else is changed.
pub(super) fn recover(
    place: &Place<'_>,
    options: &LogOptions,
) -> Result<(Recovered, PartitionReport), OpenError> {
    let mut report = PartitionReport {
        topic: place.topic.to_owned(),
        partition: place.partition,
        ..PartitionReport::default()
    };
    let bases = list_segments(place, true)?;
    if !bases.is_empty() {
        place.storage.sync_dir(place.dir).map_err(|error| place.failed(place.dir, error))?;
    }
    if let Some(&base) = bases.last().filter(|&&base| base > BASE_MAX) {
        let path = segment_path(place.dir, base);
        let reason = format!("no segment begins at {base}; move the file away");
        return Err(OpenError::Invalid { path, reason });
    }
    let known_durable =
        super::checkpoint::read(place.storage, place.dir).map_err(|error| place.failed(place.dir, error))?;
    let mut recovered = Recovered {
        sealed: Vec::new(),
        active: None,
        end: 0,
        producers: Producers::new(options.producers_max),
        poison: read_poison(place),
        recent: None,
    };
    for (number, &base) in bases.iter().enumerate() {
        if number > 0 && base != recovered.end {
            report.damage.push(damage::gap(&segment_path(place.dir, base), recovered.end, base));
        }
        match bases.get(number + 1) {
            Some(&next) => open_sealed(place, base, next, &mut recovered, &mut report)?,
            None => open_last(place, base, known_durable, &mut recovered, &mut report)?,
        }
    }
    if bases.is_empty() && known_durable > 0 {
        recovered.poison.get_or_insert(damage::no_segment(place.dir, known_durable));
    }
    let active = recovered.active.as_ref().map(|active| active.header.base_offset);
    let low = recovered.sealed.first().map(Sealed::base).or(active).unwrap_or(recovered.end);
    report.records = recovered.end.saturating_sub(low);
    if let Some(reason) = &recovered.poison {
        report.damage.push(reason.clone());
    }
    Ok((recovered, report))
}

fn read_poison(place: &Place<'_>) -> Option<String> {
    let path = place.dir.join(super::commit::POISONED);
    match read_file(place.storage, &path, 64 * 1024) {
        Ok(reason) => Some(String::from_utf8_lossy(&reason).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("{}: {error}", path.display())),
    }
}

/// The base offsets of the segments, rising. To `clean`, what was left half made is taken away.
pub(super) fn list_segments(place: &Place<'_>, clean: bool) -> Result<Vec<u64>, OpenError> {
    let entries = match place.storage.list(place.dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(|error| place.failed(place.dir, error))?,
    };
    let mut bases = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        match entry.name.rsplit_once('.') {
            Some((stem, "seg")) if stem.len() == 20 => bases.extend(stem.parse::<u64>()),
            Some((_, "tmp")) if clean => {
                // Nobody looks for it; one that cannot be taken away is as good as gone.
                let _ = place.storage.remove(&place.dir.join(&entry.name));
            }
            _ => {}
        }
    }
    bases.sort_unstable();
    if clean {
        remove_orphans(place, &entries, &bases);
    }
    Ok(bases)
}

/// Takes away indexes whose segments are gone. Nobody looks for them.
fn remove_orphans(place: &Place<'_>, entries: &[DirEntry], bases: &[u64]) {
    for entry in entries {
        let base = entry.name.strip_suffix(".idx").filter(|stem| stem.len() == 20);
        if let Some(Ok(base)) = base.map(str::parse::<u64>)
            && bases.binary_search(&base).is_err()
        {
            let _ = place.storage.remove(&place.dir.join(&entry.name));
        }
    }
}

/// Takes a segment that another follows at its footer's word.
fn open_sealed(
    place: &Place<'_>,
    base: u64,
    next: u64,
    recovered: &mut Recovered,
    report: &mut PartitionReport,
) -> Result<(), OpenError> {
    let path = segment_path(place.dir, base);
    let file = place.storage.open(&path, false).map_err(|error| place.failed(&path, error))?;
    let size = file.size().map_err(|error| place.failed(&path, error))?;
    match read_frame(place, &*file, base, size) {
        Ok((header, footer)) if footer.next_offset == next => {
            let sealed = Sealed::new(path, header, &footer);
            load_index(place, &sealed, &file, recovered, report);
            // Only that of the last one is looked at again, and all together are too much.
            if let Some(before) = recovered.sealed.last() {
                before.set_index(None);
            }
            recovered.sealed.push(sealed);
        }
        result => {
            let what = match result {
                Ok((_, footer)) => format!("it ends at {}, the next begins at {next}", footer.next_offset),
                Err(what) => what,
            };
            let damage = format!("{}: {what}", path.display());
            report.damage.push(damage.clone());
            let header = SegmentHeader {
                base_offset: base,
                created_ms: 0,
                partition: place.partition,
                topic_crc: topic_crc(place.topic),
                compacted: false,
            };
            recovered.sealed.push(Sealed::damaged(path, header, next, size, damage));
        }
    }
    recovered.end = next;
    Ok(())
}

/// The header and the footer of a sealed segment, if they are what they must be.
fn read_frame(
    place: &Place<'_>,
    file: &dyn StorageFile,
    base: u64,
    size: u64,
) -> Result<(SegmentHeader, Footer), String> {
    let header = read_header(place, file, base)?;
    if size < (HEADER_BYTES + FOOTER_BYTES) as u64 {
        return Err("it is too short for a sealed segment".to_owned());
    }
    let mut bytes = [0; FOOTER_BYTES];
    let at = size - FOOTER_BYTES as u64;
    read_full_at(file, &mut bytes, at).map_err(|error| error.to_string())?;
    let footer = Footer::find(&bytes).map_err(|error| format!("its footer: {error}"))?;
    if footer.records_bytes != at {
        return Err(format!("its footer says {} bytes, it stands at {at}", footer.records_bytes));
    }
    Ok((header, footer))
}

/// Why a file is not the last segment that its name says: it is longer than any, or has a good header that says something else.
pub(super) fn foreign(
    place: &Place<'_>,
    file: &dyn StorageFile,
    base: u64,
    size: u64,
) -> io::Result<Option<String>> {
    if size > FILE_BYTES_MAX {
        return Ok(Some(format!("it has {size} bytes, which no segment has")));
    }
    let mut bytes = [0; HEADER_BYTES];
    let filled = read_full_at(file, &mut bytes, 0)?;
    let header = SegmentHeader::decode(&bytes[..filled]);
    Ok(header.ok().and_then(|header| check_header(place, &header, base).err()))
}

fn read_header(place: &Place<'_>, file: &dyn StorageFile, base: u64) -> Result<SegmentHeader, String> {
    let mut bytes = [0; HEADER_BYTES];
    let filled = read_full_at(file, &mut bytes, 0).map_err(|error| error.to_string())?;
    let header = SegmentHeader::decode(&bytes[..filled]).map_err(|error| format!("its header: {error}"))?;
    check_header(place, &header, base)?;
    Ok(header)
}

pub(super) fn check_header(place: &Place<'_>, header: &SegmentHeader, base: u64) -> Result<(), String> {
    if header.base_offset != base {
        return Err(format!("its header says that it begins at {}", header.base_offset));
    }
    if header.partition != place.partition || header.topic_crc != topic_crc(place.topic) {
        return Err("it belongs to another topic or partition".to_owned());
    }
    Ok(())
}

/// Loads the index of a sealed segment for the producers in it, or makes it again.
fn load_index(
    place: &Place<'_>,
    sealed: &Sealed,
    file: &SharedFile,
    recovered: &mut Recovered,
    report: &mut PartitionReport,
) {
    if let Some(index) = sealed.stored_index(place.storage) {
        for &producer in &index.producers {
            recovered.producers.push(producer);
        }
        sealed.set_index(Some(Arc::new(index)));
        return;
    }
    report.indexes_rebuilt += 1;
    let mut builder = IndexBuilder::new(sealed.base());
    let end = scan(&**file, sealed.base(), |position, record| {
        builder.push(record.offset, position, record.timestamp_ms);
        producer_of(record).into_iter().for_each(|producer| recovered.producers.push(producer));
    });
    match end.map(|end| end.sealed().map(drop).map_err(|error| (end.position, error))) {
        Ok(Ok(())) => {
            let index = builder.finish(sealed.size(), recovered.producers.snapshot());
            // It is made again the next time too if the storage does not take it.
            let _ = crate::storage::replace_file(place.storage, &sealed.index_path(), &index.encode());
            sealed.set_index(Some(Arc::new(index)));
        }
        Ok(Err((position, error))) => {
            report.damage.push(format!("{}: at byte {position}: {error}", sealed.path.display()));
            sealed.set_index(Some(Arc::new(builder.finish(sealed.size(), Vec::new()))));
        }
        Err(error) => report.damage.push(format!("{}: {error}", sealed.path.display())),
    }
}

/// What a record says of its idempotent producer, if it has one.
fn producer_of(record: &RecordRef<'_>) -> Option<ProducerEntry> {
    let RecordRef { producer_id, sequence, offset, timestamp_ms, .. } = *record;
    (producer_id != 0).then_some(ProducerEntry { producer_id, sequence, offset, timestamp_ms })
}

/// Reads a whole segment, and calls `each` for every good record.
pub(super) fn scan(
    file: &dyn StorageFile,
    base: u64,
    each: impl FnMut(u64, &RecordRef<'_>),
) -> io::Result<ScanEnd> {
    scan_paced(file, base, READ_BYTES, each, |_| Ok(()))
}

/// As [`scan`], `step` bytes at once, and `paced` is called behind each of them.
pub(super) fn scan_paced(
    file: &dyn StorageFile,
    base: u64,
    step: usize,
    mut each: impl FnMut(u64, &RecordRef<'_>),
    mut paced: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<ScanEnd> {
    let mut scanner = Scanner::new(base);
    let mut buffer = vec![0; step];
    let mut at = 0;
    loop {
        let filled = read_full_at(file, &mut buffer, at)?;
        at += filled as u64;
        let mut chunk = &buffer[..filled];
        loop {
            match scanner.step(&mut chunk) {
                Step::Record { position, record } => each(position, &record),
                Step::NeedMore => break,
                Step::Stopped => return Ok(scanner.finish()),
            }
        }
        if filled < step {
            return Ok(scanner.finish());
        }
        paced(filled)?;
    }
}

/// Reads the last segment, and decides what of it is good.
fn open_last(
    place: &Place<'_>,
    base: u64,
    known_durable: u64,
    recovered: &mut Recovered,
    report: &mut PartitionReport,
) -> Result<(), OpenError> {
    let path = segment_path(place.dir, base);
    let failed = |error| place.failed(&path, error);
    let file = place.storage.open(&path, true).map_err(failed)?;
    let size = file.size().map_err(failed)?;
    if let Some(what) = foreign(place, &*file, base, size).map_err(failed)? {
        // Nothing is cut of a file that belongs elsewhere.
        recovered.poison.get_or_insert(format!("{}: {what}", path.display()));
        recovered.end = base;
        return Ok(());
    }
    if let Ok((header, footer)) = read_frame(place, &*file, base, size) {
        if known_durable > footer.next_offset {
            recovered.poison.get_or_insert(damage::missing_behind(&path, footer.next_offset, known_durable));
        }
        // As below: it may have been sealed and not synced.
        file.sync().map_err(failed)?;
        let sealed = Sealed::new(path, header, &footer);
        load_index(place, &sealed, &file, recovered, report);
        recovered.end = sealed.next;
        recovered.sealed.push(sealed);
        return Ok(());
    }
    let mut index = IndexBuilder::new(base);
    let mut numbered = Vec::new();
    let end = scan(&*file, base, |position, record| {
        index.push(record.offset, position, record.timestamp_ms);
        numbered.extend(producer_of(record));
    })
    .map_err(failed)?;
    let verdict = judge(&*file, &end, size, known_durable).map_err(failed)?;
    let (position, next) = match verdict {
        TailVerdict::Clean { position, next_offset } => (position, next_offset),
        TailVerdict::Torn { position, next_offset, bytes_cut } => {
            report.bytes_cut = bytes_cut;
            file.set_size(position).map_err(failed)?;
            (position, next_offset)
        }
        TailVerdict::Corrupt { position, offset, evidence } => {
            recovered.poison.get_or_insert(damage::corrupt(&path, position, offset, &evidence));
            (end.whole.records_bytes, end.whole.next_offset)
        }
    };
    // What a process that was killed had written may not be on the disk yet, and readers are about to see it.
    file.sync().map_err(failed)?;
    recovered.end = next;
    index.truncate(position);
    for producer in numbered.into_iter().filter(|producer| producer.offset < next) {
        recovered.producers.push(producer);
    }
    // Without a header it is not even begun, and is made again with the next record.
    if let Some(header) = end.header.filter(|_| position > 0) {
        let mut active = Active::new(path, header);
        active.begun = true;
        active.tally = end.whole;
        active.index = index;
        active.prepared = if report.bytes_cut > 0 { position } else { size - size % 4096 };
        recovered.active = Some(active);
    }
    Ok(())
}

/// Judges the end of an active segment by what lies behind its good records.
pub(super) fn judge(
    file: &dyn StorageFile,
    end: &ScanEnd,
    size: u64,
    known_durable: u64,
) -> io::Result<TailVerdict> {
    let rest = if end.bad.is_some() {
        read_range(file, end.position, size.saturating_sub(end.position) as usize)?
    } else {
        Vec::new()
    };
    Ok(judge_tail(end, &rest, known_durable))
}
