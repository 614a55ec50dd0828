//! One record: 48 bytes of header, the key, the payload, under one checksum.

use std::{error, fmt};

use super::le::{put, u16_at, u32_at, u64_at};

/// Bytes of a record's header; the key and the payload follow.
pub const RECORD_HEADER_BYTES: usize = 48;
/// The most bytes of one record, its header included.
pub const RECORD_BYTES_MAX: usize = 64 << 20;
/// The most bytes of a record's key.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;

const _: () = assert!(RECORD_HEADER_BYTES + KEY_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX <= u32::MAX as usize);

const VERSION: u8 = 1;
const FLAG_KEY: u8 = 1;
const FLAG_TOMBSTONE: u8 = 2;
const FLAG_MORE: u8 = 4;
const FLAG_TEXT: u8 = 8;
const FLAGS: u8 = FLAG_KEY | FLAG_TOMBSTONE | FLAG_MORE | FLAG_TEXT;

/// A record to be encoded. Fields that do not matter come from `NewRecord::default()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// The record's number in its partition.
    pub offset: u64,
    /// The time given to the record, in milliseconds since 1970 (UTC).
    pub timestamp_ms: u64,
    /// Every offset below it is durable at the time of writing; not above `offset`.
    pub durable: u64,
    /// The idempotent producer, 0 for none.
    pub producer_id: u64,
    /// The producer's own number of the record.
    pub sequence: u32,
    /// The key, if there is one.
    pub key: Option<&'a [u8]>,
    /// The payload, possibly empty.
    pub payload: &'a [u8],
    /// Whether the record deletes its key.
    pub tombstone: bool,
    /// Whether the next record belongs to the same atomic batch.
    pub more: bool,
    /// Whether the payload is UTF-8: the producer's word, not checked here.
    pub text: bool,
}

impl NewRecord<'_> {
    /// How many bytes the record has when it is encoded.
    pub fn encoded_len(&self) -> usize {
        RECORD_HEADER_BYTES + self.key.map_or(0, <[u8]>::len) + self.payload.len()
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        flag(self.key.is_some(), FLAG_KEY)
            | flag(self.tombstone, FLAG_TOMBSTONE)
            | flag(self.more, FLAG_MORE)
            | flag(self.text, FLAG_TEXT)
    }
}

/// A record, borrowed from the bytes it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The record's number in its partition.
    pub offset: u64,
    /// The time given to the record, in milliseconds since 1970 (UTC).
    pub timestamp_ms: u64,
    /// Every offset below it was durable when this record was written.
    pub durable: u64,
    /// The idempotent producer, 0 for none.
    pub producer_id: u64,
    /// The producer's own number of the record.
    pub sequence: u32,
    /// The key, if there is one.
    pub key: Option<&'a [u8]>,
    /// The payload, possibly empty.
    pub payload: &'a [u8],
    /// Whether the record deletes its key.
    pub tombstone: bool,
    /// Whether the next record belongs to the same atomic batch.
    pub more: bool,
    /// Whether the payload is UTF-8: the producer's word, not checked here.
    pub text: bool,
    /// Bytes of the record as it is stored: the next one begins so far behind it.
    pub encoded_len: usize,
}

impl<'a> From<RecordRef<'a>> for NewRecord<'a> {
    fn from(record: RecordRef<'a>) -> Self {
        Self {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            durable: record.durable,
            producer_id: record.producer_id,
            sequence: record.sequence,
            key: record.key,
            payload: record.payload,
            tombstone: record.tombstone,
            more: record.more,
            text: record.text,
        }
    }
}

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole and valid record.
    Record(RecordRef<'a>),
    /// The beginning of a record; with fewer than `at_least` bytes nothing more can be said.
    NeedMore {
        /// Bytes from the record's first that are needed to go on.
        at_least: usize,
    },
    /// No record: a length of zero, as where a preallocated file was not written. Whether all that follows is zero is for
    /// the caller to see ([`judge_tail`](super::judge_tail)).
    End,
}

/// Encodes a record behind what is in `out`, and returns its bytes' number. An error leaves `out` as it was.
///
/// Panics if `durable` is above `offset`, because nothing is durable before it is written, or if `offset` is [`u64::MAX`],
/// which has no successor.
///
/// ```
/// use sws_content::segment::{Decoded, NewRecord, decode_record, encode_record};
///
/// let mut out = Vec::new();
/// encode_record(&mut out, &NewRecord { offset: 4, key: Some(b"k"), payload: b"hello", ..NewRecord::default() })?;
/// let Ok(Decoded::Record(record)) = decode_record(&out) else { panic!() };
/// assert_eq!((record.offset, record.key, record.payload), (4, Some(&b"k"[..]), &b"hello"[..]));
/// assert_eq!(record.encoded_len, out.len());
/// # Ok::<(), sws_content::segment::RecordTooLarge>(())
/// ```
pub fn encode_record(out: &mut Vec<u8>, record: &NewRecord<'_>) -> Result<usize, RecordTooLarge> {
    assert!(record.durable <= record.offset, "a record is not durable before it is written");
    assert!(record.offset != u64::MAX, "the offsets of a partition are used up");
    let key = record.key.unwrap_or_default();
    let len = record.encoded_len();
    if key.len() > KEY_BYTES_MAX {
        return Err(RecordTooLarge::Key { bytes: key.len() });
    }
    if len > RECORD_BYTES_MAX {
        return Err(RecordTooLarge::Record { bytes: len });
    }
    let mut head = [0; RECORD_HEADER_BYTES];
    put(&mut head, 0, (len as u32).to_le_bytes());
    head[8] = VERSION;
    head[9] = record.flags();
    put(&mut head, 10, (key.len() as u16).to_le_bytes());
    put(&mut head, 12, record.sequence.to_le_bytes());
    put(&mut head, 16, record.offset.to_le_bytes());
    put(&mut head, 24, record.timestamp_ms.to_le_bytes());
    put(&mut head, 32, record.durable.to_le_bytes());
    put(&mut head, 40, record.producer_id.to_le_bytes());
    let start = out.len();
    out.reserve(len);
    out.extend_from_slice(&head);
    out.extend_from_slice(key);
    out.extend_from_slice(record.payload);
    let crc = checksum(&out[start..]);
    put(&mut out[start..], 4, crc.to_le_bytes());
    Ok(len)
}

/// The checksum of a whole record: over all of it but the checksum's own place.
pub(super) fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

/// Decodes the record at the front of `bytes`, which may hold more than it.
///
/// Prefixes of a good record give [`Decoded::NeedMore`]; an error for some bytes stays one whatever follows them.
pub fn decode_record(bytes: &[u8]) -> Result<Decoded<'_>, RecordError> {
    let len = match measure(bytes)? {
        Measure::Whole { len } => len,
        Measure::NeedMore { at_least } => return Ok(Decoded::NeedMore { at_least }),
        Measure::End => return Ok(Decoded::End),
    };
    let record = &bytes[..len];
    if checksum(record) != u32_at(record, 4) {
        return Err(RecordError::Checksum);
    }
    Ok(Decoded::Record(view(record)))
}

/// What the header at the front of some bytes says, before its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Whole { len: usize },
    NeedMore { at_least: usize },
    End,
}

/// Looks at a header alone, and refuses what no record can begin with.
pub(super) fn measure(bytes: &[u8]) -> Result<Measure, RecordError> {
    if bytes.len() < 4 {
        return Ok(Measure::NeedMore { at_least: 4 });
    }
    let len = u32_at(bytes, 0) as usize;
    if len == 0 {
        return Ok(Measure::End);
    }
    if !(RECORD_HEADER_BYTES..=RECORD_BYTES_MAX).contains(&len) {
        return Err(RecordError::Length(len as u32));
    }
    if bytes.len() < RECORD_HEADER_BYTES {
        return Ok(Measure::NeedMore { at_least: RECORD_HEADER_BYTES });
    }
    let (version, flags, key_len) = (bytes[8], bytes[9], usize::from(u16_at(bytes, 10)));
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    if flags & !FLAGS != 0 {
        return Err(RecordError::Flags(flags));
    }
    if RECORD_HEADER_BYTES + key_len > len || (flags & FLAG_KEY == 0 && key_len != 0) {
        return Err(RecordError::Key(key_len as u16));
    }
    if u64_at(bytes, 32) > u64_at(bytes, 16) || u64_at(bytes, 16) == u64::MAX {
        return Err(RecordError::Durable);
    }
    if bytes.len() < len { Ok(Measure::NeedMore { at_least: len }) } else { Ok(Measure::Whole { len }) }
}

/// The fields of a record whose header was measured, or that was checked before, and whose bytes are all there.
pub(crate) fn view(record: &[u8]) -> RecordRef<'_> {
    let flags = record[9];
    let (key, payload) = record[RECORD_HEADER_BYTES..].split_at(usize::from(u16_at(record, 10)));
    RecordRef {
        offset: u64_at(record, 16),
        timestamp_ms: u64_at(record, 24),
        durable: u64_at(record, 32),
        producer_id: u64_at(record, 40),
        sequence: u32_at(record, 12),
        key: (flags & FLAG_KEY != 0).then_some(key),
        payload,
        tombstone: flags & FLAG_TOMBSTONE != 0,
        more: flags & FLAG_MORE != 0,
        text: flags & FLAG_TEXT != 0,
        encoded_len: record.len(),
    }
}

/// Why a record cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordTooLarge {
    /// The key is over [`KEY_BYTES_MAX`].
    Key {
        /// Its bytes.
        bytes: usize,
    },
    /// The whole record is over [`RECORD_BYTES_MAX`].
    Record {
        /// Its bytes, with the header.
        bytes: usize,
    },
}

impl fmt::Display for RecordTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { bytes } => write!(f, "a key of {bytes} bytes is over {KEY_BYTES_MAX}"),
            Self::Record { bytes } => write!(f, "a record of {bytes} bytes is over {RECORD_BYTES_MAX}"),
        }
    }
}

impl error::Error for RecordTooLarge {}

/// Why the bytes are no valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// A length that no record has.
    Length(u32),
    /// A version that this reader does not know.
    Version(u8),
    /// Flags of which this reader does not know all.
    Flags(u8),
    /// A key's length beyond the record's, or one without a key.
    Key(u16),
    /// The durable offset is above the record's own, or the offset is the highest number there is.
    Durable,
    /// The checksum says that bytes have changed.
    Checksum,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(f, "no record is of {len} bytes"),
            Self::Version(version) => {
                write!(f, "record version {version} is not known (known up to {VERSION})")
            }
            Self::Flags(flags) => write!(f, "unknown record flags {flags:#04x}"),
            Self::Key(len) => write!(f, "the key's length, {len}, does not fit the record"),
            Self::Durable => f.write_str("the durable offset is not below the record's own"),
            Self::Checksum => f.write_str("the checksum does not match"),
        }
    }
}

impl error::Error for RecordError {}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
