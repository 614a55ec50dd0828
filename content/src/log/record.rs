//! Records as they go in and as they come out.

use super::chunk::Chunk;
use crate::segment::{Decoded, RecordRef, decode_record};
use bytes::Bytes;
use std::sync::Arc;

/// A record to be produced.
///
/// ```
/// use sws_content::log::Entry;
///
/// let entry = Entry::text(r#"{"sum":12}"#).key("user-7");
/// assert_eq!(entry.key, Some(&b"user-7"[..]));
/// assert!(Entry::tombstone("user-7").payload.is_empty());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// What it is the latest value of; also what its partition follows from.
    pub key: Option<&'a [u8]>,
    /// The record's content.
    pub payload: &'a [u8],
    /// Whether the payload is UTF-8: subscribers over WebSocket get it as text.
    pub text: bool,
    /// Whether it says that its key is no more.
    pub tombstone: bool,
    /// Milliseconds since 1970; without one, when it is taken in. Below those of earlier records it is raised to theirs.
    pub timestamp_ms: Option<u64>,
}

impl<'a> Entry<'a> {
    /// Any bytes.
    pub fn bytes(payload: &'a [u8]) -> Entry<'a> {
        Entry { payload, ..Entry::default() }
    }

    /// A text.
    pub fn text(payload: &'a str) -> Entry<'a> {
        Entry { payload: payload.as_bytes(), text: true, ..Entry::default() }
    }

    /// The end of a key: compaction forgets its earlier records, and in time this one.
    pub fn tombstone(key: &'a (impl AsRef<[u8]> + ?Sized)) -> Entry<'a> {
        Entry { key: Some(key.as_ref()), tombstone: true, ..Entry::default() }
    }

    /// With a key.
    #[must_use]
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Entry<'a> {
        self.key = Some(key.as_ref());
        self
    }

    /// With a time of its own.
    #[must_use]
    pub fn timestamp_ms(mut self, time: u64) -> Entry<'a> {
        self.timestamp_ms = Some(time);
        self
    }
}

/// A record of its own memory, for other workers.
pub(super) struct OwnedEntry {
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    text: bool,
    tombstone: bool,
    timestamp_ms: Option<u64>,
}

impl OwnedEntry {
    pub(super) fn of(entry: &Entry<'_>) -> OwnedEntry {
        OwnedEntry {
            key: entry.key.map(<[u8]>::to_vec),
            payload: entry.payload.to_vec(),
            text: entry.text,
            tombstone: entry.tombstone,
            timestamp_ms: entry.timestamp_ms,
        }
    }

    pub(super) fn entry(&self) -> Entry<'_> {
        Entry {
            key: self.key.as_deref(),
            payload: &self.payload,
            text: self.text,
            tombstone: self.tombstone,
            timestamp_ms: self.timestamp_ms,
        }
    }
}

/// A producer's own number of what it sends, so that it can send again what it got no answer for: what was written before is not
/// written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerNumber {
    /// The producer: a number that nobody else uses. 0 is nobody's: records with it are written as often as they come.
    pub producer_id: u64,
    /// The number of the first record. Each following record, in the same or the next call, has one more, in each partition for itself. A
    /// producer that is not known yet may begin with any.
    pub sequence: u32,
}

/// How something is produced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProduceOptions {
    /// The partition; without one the topic's partitioner chooses.
    pub partition: Option<u32>,
    /// What is waited for.
    pub acks: super::Acks,
    /// The producer's number, for producers that send again.
    pub producer: Option<ProducerNumber>,
}

impl ProduceOptions {
    /// Waits for this.
    #[must_use]
    pub fn acks(mut self, acks: super::Acks) -> ProduceOptions {
        self.acks = acks;
        self
    }

    /// To this partition.
    #[must_use]
    pub fn partition(mut self, partition: u32) -> ProduceOptions {
        self.partition = Some(partition);
        self
    }

    /// With a producer's number.
    #[must_use]
    pub fn producer(mut self, producer_id: u64, sequence: u32) -> ProduceOptions {
        self.producer = Some(ProducerNumber { producer_id, sequence });
        self
    }
}

/// Where produced records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Produced {
    /// The partition.
    pub partition: u32,
    /// The offset of the first; the others follow it.
    pub offset: u64,
    /// Whether they had been written before, under the same number of their producer.
    pub duplicate: bool,
}

/// A record of the log. Its memory is shared with others that were read with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its number in its partition.
    pub offset: u64,
    /// Milliseconds since 1970 (UTC).
    pub timestamp_ms: u64,
    /// What it is the latest value of.
    pub key: Option<Bytes>,
    /// Its content.
    pub payload: Bytes,
    /// Whether the payload is UTF-8, as the producer says.
    pub text: bool,
    /// Whether it says that its key is no more.
    pub tombstone: bool,
}

impl Record {
    /// Reads a record as it is stored, such as [`Recorded::bytes`](sws_runtime::Recorded). `None` if it is none, or not whole.
    pub fn decode(stored: &Bytes) -> Option<Record> {
        match decode_record(stored) {
            Ok(Decoded::Record(view)) if view.encoded_len == stored.len() => Some(Record::of(&view, stored)),
            _ => None,
        }
    }

    /// A record whose bytes lie in `memory`.
    pub(super) fn of(view: &RecordRef<'_>, memory: &Bytes) -> Record {
        Record {
            offset: view.offset,
            timestamp_ms: view.timestamp_ms,
            key: view.key.map(|key| memory.slice_ref(key)),
            payload: memory.slice_ref(view.payload),
            text: view.text,
            tombstone: view.tombstone,
        }
    }
}

/// Records that follow each other, as they were read.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub(super) parts: Vec<Part>,
    /// The oldest offset of the partition.
    pub low: u64,
    /// The offset that the partition's next record will have, as far as readers see it.
    pub high: u64,
    /// The offset to go on with.
    pub next: u64,
}

/// Records of one chunk, by their places in it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) chunk: Arc<Chunk>,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.to - part.from).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record> + '_ {
        self.parts.iter().flat_map(|part| (part.from..part.to).map(|at| part.chunk.record(at)))
    }

    /// The records as they are stored, see `docs/segment-format.md`: pieces which one behind the other are whole records.
    pub fn encoded(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.parts.iter().map(|part| part.chunk.encoded(part.from, part.to))
    }
}
