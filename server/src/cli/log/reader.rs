//! Reads a partition's files on and on, beside whoever writes them.
//!
//! What stands behind the last whole record may be a batch on its way to the disk. So a bad place is no end: it is reported, and
//! looked at again with the next reading. A batch that belongs together is shown when all of it is there.

use super::{Failure, folder};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use sws_content::segment::{
    Decoded, FOOTER_BYTES, Footer, HEADER_BYTES, Index, RECORD_BYTES_MAX, RecordError, RecordRef,
    SegmentHeader, decode_record,
};
use sws_content::storage::{StdStorage, StorageFile, read_file, read_full_at};

/// Bytes that are read at once, if no record is longer.
const READ_BYTES: usize = 1024 * 1024;
/// Bytes of records that belong together, at most.
const BATCH_BYTES_MAX: usize = 4 * RECORD_BYTES_MAX;
/// Bytes of an index file, at most.
const INDEX_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is called for each record.
pub(super) type Each<'a> = dyn FnMut(&RecordRef<'_>) -> Result<(), Failure> + 'a;

/// Where reading paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// At the end of what is there.
    End,
    /// Before something that is no whole record.
    Bad {
        /// In this file.
        path: PathBuf,
        /// At this byte.
        position: u64,
        /// What is wrong.
        what: String,
    },
}

/// Reads a partition from an offset on.
#[derive(Debug)]
pub(super) struct Reader {
    dir: PathBuf,
    /// The offset of the next record that is wanted.
    next: u64,
    place: Option<Place>,
    /// The segment that was read to its end.
    finished: Option<u64>,
    buffer: Vec<u8>,
}

/// Where a reader is in a segment: before a record that can be read by itself.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    file: File,
    base: u64,
    is_compacted: bool,
    position: u64,
    /// The offset that belongs there.
    expected: u64,
}

/// How far the bytes of a segment go.
enum Stop {
    /// To the end of what was read; so many bytes from the first are wanted.
    More(usize),
    /// To where nothing was written yet.
    Zeros,
    /// To the segment's footer.
    Sealed(Footer),
    /// To something that is neither.
    Bad { at: usize, what: String },
}

impl Reader {
    pub(super) fn new(dir: &Path, offset: u64) -> Reader {
        Reader { dir: dir.to_owned(), next: offset, place: None, finished: None, buffer: vec![0; READ_BYTES] }
    }

    /// The offset of the next record.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Calls `each` for every record that is there and was not read yet.
    pub(super) fn read(&mut self, each: &mut Each<'_>) -> Result<Pause, Failure> {
        loop {
            if self.place.is_none() {
                match self.open()? {
                    Some(pause) => return Ok(pause),
                    None => continue,
                }
            }
            if let Some(pause) = self.read_some(each)? {
                return Ok(pause);
            }
        }
    }

    /// Opens the segment in which the next record is. Why there is none, if so.
    fn open(&mut self) -> Result<Option<Pause>, Failure> {
        let bases = folder::bases(&self.dir)?;
        let at = bases.partition_point(|&base| base <= self.next);
        let Some(&base) = bases.get(at.saturating_sub(1)) else { return Ok(Some(Pause::End)) };
        if self.finished == Some(base) {
            return Ok(Some(Pause::End));
        }
        let path = folder::segment_path(&self.dir, base);
        let file = match File::open(&path) {
            // Retention has taken it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result.map_err(Failure::of_file(&path))?,
        };
        let mut bytes = [0; HEADER_BYTES];
        let filled = read_full_at(&file, &mut bytes, 0).map_err(Failure::of_file(&path))?;
        if bytes == [0; HEADER_BYTES] {
            return Ok(Some(Pause::End));
        }
        let header = match SegmentHeader::decode(&bytes[..filled]) {
            Err(error) => return Ok(Some(Pause::Bad { path, position: 0, what: error.to_string() })),
            Ok(header) if header.base_offset != base => {
                let what = format!("the header says that it begins at {}", header.base_offset);
                return Ok(Some(Pause::Bad { path, position: 0, what }));
            }
            Ok(header) => header,
        };
        self.next = self.next.max(base);
        let (position, expected) = seek(&path, &file, self.next).unwrap_or((HEADER_BYTES as u64, base));
        self.place = Some(Place { path, file, base, is_compacted: header.compacted, position, expected });
        Ok(None)
    }

    /// Reads one buffer of the segment.
    fn read_some(&mut self, each: &mut Each<'_>) -> Result<Option<Pause>, Failure> {
        let Some(place) = &mut self.place else { return Ok(None) };
        let filled = read_full_at(&place.file, &mut self.buffer, place.position)
            .map_err(Failure::of_file(&place.path))?;
        let is_end = filled < self.buffer.len();
        let (taken, stop) = place.take(&self.buffer[..filled], &mut self.next, each)?;
        let bad = |place: &Place, at: usize, what: String| {
            let position = place.position + (at - taken) as u64;
            Ok(Some(Pause::Bad { path: place.path.clone(), position, what }))
        };
        match stop {
            Stop::More(_) if is_end && taken == filled => Ok(Some(Pause::End)),
            Stop::More(_) if is_end => bad(place, taken, "the file ends within a record or batch".to_owned()),
            Stop::More(_) if taken > 0 => Ok(None),
            Stop::More(wanted) if wanted <= BATCH_BYTES_MAX => {
                let len = wanted.max(2 * self.buffer.len()).min(BATCH_BYTES_MAX);
                self.buffer.resize(len, 0);
                Ok(None)
            }
            Stop::More(_) => bad(place, taken, "records that belong together have no end".to_owned()),
            Stop::Zeros => Ok(Some(Pause::End)),
            Stop::Bad { at, what } => bad(place, at, what),
            Stop::Sealed(footer) => {
                self.next = self.next.max(footer.next_offset);
                self.finished = Some(place.base);
                self.place = None;
                self.buffer.truncate(READ_BYTES);
                Ok(None)
            }
        }
    }
}

impl Place {
    /// Calls `each` for the records of some bytes from its position on, and goes on behind them. How many bytes that were.
    fn take(&mut self, bytes: &[u8], next: &mut u64, each: &mut Each<'_>) -> Result<(usize, Stop), Failure> {
        let (mut at, mut taken, mut expected) = (0, 0, self.expected);
        let mut batch = Vec::new();
        let stop = loop {
            let record = match decode_record(&bytes[at..]) {
                Ok(Decoded::Record(record)) => record,
                Ok(Decoded::NeedMore { at_least }) => break Stop::More(at + at_least),
                Ok(Decoded::End) => break Stop::Zeros,
                Err(error) => break self.no_record(bytes, at, taken, &error),
            };
            if record.offset < expected || (record.offset > expected && !self.is_compacted) {
                let what = format!("the record {} stands where {expected} belongs", record.offset);
                break Stop::Bad { at, what };
            }
            at += record.encoded_len;
            expected = record.offset + 1;
            batch.push(record);
            if !record.more || self.is_compacted {
                for record in batch.drain(..).filter(|record| record.offset >= *next) {
                    each(&record)?;
                }
                *next = expected.max(*next);
                (taken, self.expected) = (at, expected);
            }
        };
        self.position += taken as u64;
        Ok((taken, stop))
    }

    fn no_record(&self, bytes: &[u8], at: usize, taken: usize, error: &RecordError) -> Stop {
        match Footer::decode(&bytes[at..]) {
            Ok(footer) if at == taken && footer.records_bytes == self.position + at as u64 => {
                Stop::Sealed(footer)
            }
            Ok(_) => Stop::Bad { at, what: "the footer does not fit its place".to_owned() },
            Err(_) if bytes.len() - at < FOOTER_BYTES && at > 0 => Stop::More(at + FOOTER_BYTES),
            Err(_) => Stop::Bad { at, what: error.to_string() },
        }
    }
}

/// Where a record is at the latest, as the index of a sealed segment says: the place of a record before it, and its offset.
fn seek(path: &Path, file: &File, offset: u64) -> Option<(u64, u64)> {
    let bytes = read_file(&StdStorage, &path.with_extension("idx"), INDEX_BYTES_MAX).ok()?;
    let index = Index::decode(&bytes)
        .ok()
        .filter(|index| file.size().is_ok_and(|size| size == index.segment_bytes))?;
    let entry = index.lookup(offset)?;
    Some((entry.position, entry.offset))
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
