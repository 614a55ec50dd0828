//! Whole records in one piece of memory, shared by all who read them.

use super::record::Record;
use crate::segment::{Decoded, RecordRef, decode_record};
use bytes::Bytes;

/// A record's offset, and where it begins in its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) at: u32,
}

/// Records that were checked once, when they were read or written.
#[derive(Debug)]
pub(crate) struct Chunk {
    bytes: Bytes,
    places: Vec<Place>,
    /// One past the last offset that it stands for; compaction may have taken the last records.
    next: u64,
}

impl Chunk {
    /// Over encoded records whose places are known.
    pub(super) fn new(bytes: Bytes, places: Vec<Place>, next: u64) -> Chunk {
        Chunk { bytes, places, next }
    }

    /// Checks the records in `bytes`. The position of the first bad one, if there is one.
    pub(super) fn check(bytes: Bytes, next: u64) -> Result<Chunk, usize> {
        let mut places = Vec::new();
        let mut at = 0;
        let mut expected = None;
        while at < bytes.len() {
            let Ok(Decoded::Record(record)) = decode_record(&bytes[at..]) else { return Err(at) };
            if record.offset >= next || expected.is_some_and(|expected| record.offset < expected) {
                return Err(at);
            }
            expected = Some(record.offset + 1);
            places.push(Place { offset: record.offset, at: at as u32 });
            at += record.encoded_len;
        }
        Ok(Chunk { bytes, places, next })
    }

    /// The offset of the first record, or what follows if there is none.
    pub(super) fn first(&self) -> u64 {
        self.places.first().map_or(self.next, |place| place.offset)
    }

    /// One past the last offset.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes in memory.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The place of the first record with this offset or a later one.
    pub(super) fn find(&self, offset: u64) -> usize {
        self.places.partition_point(|place| place.offset < offset)
    }

    /// The offset of a place, or of what follows the chunk.
    pub(super) fn offset(&self, at: usize) -> u64 {
        self.places.get(at).map_or(self.next, |place| place.offset)
    }

    /// Bytes of the records from one place up to another.
    pub(super) fn bytes_between(&self, from: usize, to: usize) -> usize {
        self.begin(to) - self.begin(from)
    }

    /// Where the record at a place begins, or where the last one ends.
    pub(super) fn begin(&self, at: usize) -> usize {
        self.places.get(at).map_or(self.bytes.len(), |place| place.at as usize)
    }

    pub(super) fn encoded(&self, from: usize, to: usize) -> Bytes {
        self.bytes.slice(self.begin(from)..self.begin(to))
    }

    /// The record at a place.
    pub(super) fn record(&self, at: usize) -> Record {
        Record::of(&self.view(at), &self.bytes)
    }

    /// The record at a place, borrowed.
    pub(super) fn view(&self, at: usize) -> RecordRef<'_> {
        crate::segment::view_record(&self.bytes[self.begin(at)..self.begin(at + 1)])
    }
}
