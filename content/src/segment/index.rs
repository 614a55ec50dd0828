//! The sparse index beside a segment: where some of its records begin, and what idempotent producers had sent by its end. Both can
//! be made again from the segment, so a bad index is no loss.

use std::{error, fmt};

use super::header::HEADER_BYTES;
use super::le::{put, u16_at, u32_at, u64_at};

/// An entry is made for the first record that begins so many bytes behind that of the last entry.
pub const INDEX_INTERVAL_BYTES: u64 = 64 << 10;

const MAGIC: [u8; 8] = *b"SWSINDX1";
const VERSION: u16 = 1;
const INDEX_HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
const PRODUCER_BYTES: usize = 32;
const CRC_BYTES: usize = 4;

/// A record's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The record's offset.
    pub offset: u64,
    /// Where it begins in the segment.
    pub position: u64,
    /// The largest timestamp of the segment's records up to and with this one, so that entries rise in time as well.
    pub timestamp_ms: u64,
}

/// The last record of an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The producer.
    pub producer_id: u64,
    /// Its own number of that record.
    pub sequence: u32,
    /// The record's offset.
    pub offset: u64,
    /// The record's timestamp.
    pub timestamp_ms: u64,
}

/// What an index file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The base offset of its segment.
    pub base_offset: u64,
    /// The segment's bytes that it was made for: an index for another length is out of date.
    pub segment_bytes: u64,
    /// Places, rising in offset and position.
    pub entries: Vec<IndexEntry>,
    /// Producers, as they were at the end of the segment.
    pub producers: Vec<ProducerEntry>,
}

impl Index {
    /// The bytes of the index file.
    pub fn encode(&self) -> Vec<u8> {
        let len = INDEX_HEADER_BYTES
            + self.entries.len() * ENTRY_BYTES
            + self.producers.len() * PRODUCER_BYTES
            + CRC_BYTES;
        let mut out = vec![0; len];
        put(&mut out, 0, MAGIC);
        put(&mut out, 8, VERSION.to_le_bytes());
        put(&mut out, 12, (INDEX_HEADER_BYTES as u32).to_le_bytes());
        put(&mut out, 16, self.base_offset.to_le_bytes());
        put(&mut out, 24, self.segment_bytes.to_le_bytes());
        put(&mut out, 32, (self.entries.len() as u64).to_le_bytes());
        put(&mut out, 40, (self.producers.len() as u64).to_le_bytes());
        let (entries, producers) = out[INDEX_HEADER_BYTES..].split_at_mut(self.entries.len() * ENTRY_BYTES);
        for (block, entry) in entries.chunks_exact_mut(ENTRY_BYTES).zip(&self.entries) {
            put(block, 0, entry.offset.to_le_bytes());
            put(block, 8, entry.position.to_le_bytes());
            put(block, 16, entry.timestamp_ms.to_le_bytes());
        }
        for (block, producer) in producers.chunks_exact_mut(PRODUCER_BYTES).zip(&self.producers) {
            put(block, 0, producer.producer_id.to_le_bytes());
            put(block, 8, producer.offset.to_le_bytes());
            put(block, 16, producer.timestamp_ms.to_le_bytes());
            put(block, 24, producer.sequence.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out[..len - CRC_BYTES]);
        put(&mut out, len - CRC_BYTES, crc.to_le_bytes());
        out
    }

    /// Reads a whole index file.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let (entry_count, producer_count) = check(bytes)?;
        let body = &bytes[INDEX_HEADER_BYTES..bytes.len() - CRC_BYTES];
        let (entries, producers) = body.split_at(entry_count * ENTRY_BYTES);
        debug_assert_eq!(producers.len(), producer_count * PRODUCER_BYTES);
        let index = Self {
            base_offset: u64_at(bytes, 16),
            segment_bytes: u64_at(bytes, 24),
            entries: entries
                .chunks_exact(ENTRY_BYTES)
                .map(|block| IndexEntry {
                    offset: u64_at(block, 0),
                    position: u64_at(block, 8),
                    timestamp_ms: u64_at(block, 16),
                })
                .collect(),
            producers: producers
                .chunks_exact(PRODUCER_BYTES)
                .map(|block| ProducerEntry {
                    producer_id: u64_at(block, 0),
                    offset: u64_at(block, 8),
                    timestamp_ms: u64_at(block, 16),
                    sequence: u32_at(block, 24),
                })
                .collect(),
        };
        if producers.chunks_exact(PRODUCER_BYTES).any(|block| u32_at(block, 28) != 0) {
            return Err(IndexError::Reserved);
        }
        if index.is_ordered() { Ok(index) } else { Err(IndexError::Order) }
    }

    /// The entry at or before the record with this offset: scanning from its position meets the record. `None` if the index
    /// has none, and the segment is to be read from its first record.
    pub fn lookup(&self, offset: u64) -> Option<IndexEntry> {
        lookup(&self.entries, offset)
    }

    /// The last entry before the first record of `timestamp_ms` or later. `None` if that may be the segment's first record.
    pub fn lookup_time(&self, timestamp_ms: u64) -> Option<IndexEntry> {
        lookup_time(&self.entries, timestamp_ms)
    }

    fn is_ordered(&self) -> bool {
        let within = |entry: &IndexEntry| {
            entry.offset >= self.base_offset
                && (HEADER_BYTES as u64..self.segment_bytes).contains(&entry.position)
        };
        let rises = |pair: &[IndexEntry]| {
            pair[0].offset < pair[1].offset
                && pair[0].position < pair[1].position
                && pair[0].timestamp_ms <= pair[1].timestamp_ms
        };
        self.entries.iter().all(within) && self.entries.windows(2).all(rises)
    }
}

fn lookup(entries: &[IndexEntry], offset: u64) -> Option<IndexEntry> {
    entries.partition_point(|entry| entry.offset <= offset).checked_sub(1).map(|at| entries[at])
}

fn lookup_time(entries: &[IndexEntry], timestamp_ms: u64) -> Option<IndexEntry> {
    entries.partition_point(|entry| entry.timestamp_ms < timestamp_ms).checked_sub(1).map(|at| entries[at])
}

/// Checks all but the entries, and returns how many there are of both kinds.
fn check(bytes: &[u8]) -> Result<(usize, usize), IndexError> {
    if bytes.len() < INDEX_HEADER_BYTES + CRC_BYTES {
        return Err(IndexError::Length);
    }
    if bytes[..8] != MAGIC {
        return Err(IndexError::Magic);
    }
    let version = u16_at(bytes, 8);
    if version == 0 || version > VERSION {
        return Err(IndexError::Version(version));
    }
    let (body, crc) = bytes.split_at(bytes.len() - CRC_BYTES);
    if crc32c::crc32c(body) != u32_at(crc, 0) {
        return Err(IndexError::Checksum);
    }
    if u16_at(bytes, 10) != 0 || u32_at(bytes, 12) != INDEX_HEADER_BYTES as u32 {
        return Err(IndexError::Reserved);
    }
    let (entries, producers) = (u128::from(u64_at(bytes, 32)), u128::from(u64_at(bytes, 40)));
    let expected = entries * ENTRY_BYTES as u128 + producers * PRODUCER_BYTES as u128;
    if expected != (body.len() - INDEX_HEADER_BYTES) as u128 {
        return Err(IndexError::Length);
    }
    Ok((entries as usize, producers as usize))
}

/// Makes the entries of a segment's index as it is written or scanned, and answers for an active segment meanwhile.
///
/// ```
/// use sws_content::segment::{Index, IndexBuilder};
///
/// let mut builder = IndexBuilder::new(100);
/// for record in 0..1_000 {
///     builder.push(100 + record, 64 + 1_000 * record, 5);
/// }
/// let index = builder.finish(64 + 1_000_000, Vec::new());
/// assert_eq!(index.lookup(250).unwrap().offset, 232);
/// assert_eq!(Index::decode(&index.encode()), Ok(index));
/// ```
#[derive(Clone, Debug)]
pub struct IndexBuilder {
    base_offset: u64,
    /// The largest timestamp so far.
    timestamp_ms: u64,
    entries: Vec<IndexEntry>,
}

impl IndexBuilder {
    /// The index of a segment without records.
    pub fn new(base_offset: u64) -> Self {
        Self { base_offset, timestamp_ms: 0, entries: Vec::new() }
    }

    /// Takes note of a record, in the order of the segment. The first gets an entry, and then one in each interval.
    pub fn push(&mut self, offset: u64, position: u64, timestamp_ms: u64) {
        debug_assert!(offset >= self.base_offset && position >= HEADER_BYTES as u64);
        self.timestamp_ms = self.timestamp_ms.max(timestamp_ms);
        if self.entries.last().is_none_or(|last| position - last.position >= INDEX_INTERVAL_BYTES) {
            self.entries.push(IndexEntry { offset, position, timestamp_ms: self.timestamp_ms });
        }
    }

    /// Forgets the entries of records at or behind `position`, where the segment is cut.
    pub fn truncate(&mut self, position: u64) {
        self.entries.truncate(self.entries.partition_point(|entry| entry.position < position));
    }

    /// The entries so far.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// [`Index::lookup`] in the entries so far.
    pub fn lookup(&self, offset: u64) -> Option<IndexEntry> {
        lookup(&self.entries, offset)
    }

    /// [`Index::lookup_time`] in the entries so far.
    pub fn lookup_time(&self, timestamp_ms: u64) -> Option<IndexEntry> {
        lookup_time(&self.entries, timestamp_ms)
    }

    /// The index of a segment that ends at `segment_bytes`.
    pub fn finish(self, segment_bytes: u64, producers: Vec<ProducerEntry>) -> Index {
        Index { base_offset: self.base_offset, segment_bytes, entries: self.entries, producers }
    }
}

/// Why an index is of no use. It is made again from its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexError {
    /// The file is shorter or longer than it says.
    Length,
    /// The bytes do not begin as they must.
    Magic,
    /// A version that this reader does not know.
    Version(u16),
    /// Unknown flags, another header length, or reserved bytes that are not zero.
    Reserved,
    /// The checksum says that bytes have changed.
    Checksum,
    /// Entries do not rise, or lie outside the segment.
    Order,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("the index has another length than it says"),
            Self::Magic => f.write_str("the magic bytes are missing"),
            Self::Version(version) => {
                write!(f, "index version {version} is not known (known up to {VERSION})")
            }
            Self::Reserved => f.write_str("unknown flags or reserved bytes are set"),
            Self::Checksum => f.write_str("the checksum does not match"),
            Self::Order => f.write_str("the entries are out of order"),
        }
    }
}

impl error::Error for IndexError {}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
