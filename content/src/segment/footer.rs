//! The last 64 bytes of a sealed segment, and the running sums that they are made of.

use super::header::{FormatError, HEADER_BYTES, SegmentHeader, check_block, seal_block};
use super::le::{put, u16_at, u32_at, u64_at};
use super::record::RecordRef;

/// Bytes of the footer that ends a sealed segment.
pub const FOOTER_BYTES: usize = HEADER_BYTES;

pub(super) const MAGIC: [u8; 8] = *b"SWSSEAL1";
const END_MARK: [u8; 4] = *b"END.";

/// What a sealed segment holds. It is written once every record before it is durable, and makes the file final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// How many records there are.
    pub count: u64,
    /// One past the last offset: the base of the segment that follows.
    pub next_offset: u64,
    /// The largest timestamp of the records, 0 if there is none.
    pub last_timestamp_ms: u64,
    /// Where the records end and the footer stands.
    pub records_bytes: u64,
    /// CRC32C of all bytes before the footer.
    pub segment_crc: u32,
}

impl Footer {
    /// The bytes at the end of the file.
    pub fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut block = [0; FOOTER_BYTES];
        put(&mut block, 0, MAGIC);
        put(&mut block, 8, super::header::VERSION.to_le_bytes());
        put(&mut block, 12, (FOOTER_BYTES as u32).to_le_bytes());
        put(&mut block, 16, self.count.to_le_bytes());
        put(&mut block, 24, self.next_offset.to_le_bytes());
        put(&mut block, 32, self.last_timestamp_ms.to_le_bytes());
        put(&mut block, 40, self.records_bytes.to_le_bytes());
        put(&mut block, 48, self.segment_crc.to_le_bytes());
        put(&mut block, 56, END_MARK);
        seal_block(&mut block);
        block
    }

    /// Reads the footer from the first [`FOOTER_BYTES`] of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let block = check_block(bytes, MAGIC)?;
        if u16_at(block, 10) != 0 {
            return Err(FormatError::Flags(u16_at(block, 10)));
        }
        if u32_at(block, 52) != 0 {
            return Err(FormatError::Reserved);
        }
        if block[56..60] != END_MARK {
            return Err(FormatError::EndMark);
        }
        Ok(Self {
            count: u64_at(block, 16),
            next_offset: u64_at(block, 24),
            last_timestamp_ms: u64_at(block, 32),
            records_bytes: u64_at(block, 40),
            segment_crc: u32_at(block, 48),
        })
    }

    /// Reads the footer from the end of a file: `tail` is its last bytes, [`FOOTER_BYTES`] at least. A file without one is
    /// the partition's active segment, or damaged ([`FormatError::Magic`] says neither which).
    pub fn find(tail: &[u8]) -> Result<Self, FormatError> {
        Self::decode(tail.last_chunk::<FOOTER_BYTES>().ok_or(FormatError::Truncated)?)
    }
}

/// Running sums over a segment as it is appended to: what its [`Footer`] will say.
///
/// ```
/// use sws_content::segment::{NewRecord, SegmentHeader, Tally, encode_record};
///
/// let header = SegmentHeader { base_offset: 5, created_ms: 0, partition: 0, topic_crc: 0, compacted: false };
/// let mut tally = Tally::new(&header);
/// let mut batch = Vec::new();
/// for offset in 5..8 {
///     encode_record(&mut batch, &NewRecord { offset, payload: b"hello", ..NewRecord::default() })?;
/// }
/// tally.push(&batch, 3, 8, 0);
/// assert_eq!(tally.footer().next_offset, 8);
/// assert_eq!(tally.records_bytes, 64 + 3 * 53);
/// # Ok::<(), sws_content::segment::RecordTooLarge>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Records so far.
    pub count: u64,
    /// One past the last offset so far; the base offset while there is no record.
    pub next_offset: u64,
    /// The largest timestamp so far.
    pub last_timestamp_ms: u64,
    /// Bytes so far with the header: where the next record goes.
    pub records_bytes: u64,
    /// CRC32C of these bytes.
    pub segment_crc: u32,
}

impl Tally {
    /// The sums of a segment that has only its header.
    pub fn new(header: &SegmentHeader) -> Self {
        Self {
            count: 0,
            next_offset: header.base_offset,
            last_timestamp_ms: 0,
            records_bytes: HEADER_BYTES as u64,
            segment_crc: crc32c::crc32c(&header.encode()),
        }
    }

    /// Adds a batch of `count` encoded records, of which the last has the offset `next_offset - 1` and the newest is of
    /// `last_timestamp_ms`.
    pub fn push(&mut self, encoded: &[u8], count: u64, next_offset: u64, last_timestamp_ms: u64) {
        debug_assert!(next_offset >= self.next_offset);
        self.count += count;
        self.next_offset = next_offset;
        self.last_timestamp_ms = self.last_timestamp_ms.max(last_timestamp_ms);
        self.records_bytes += encoded.len() as u64;
        self.segment_crc = crc32c::crc32c_append(self.segment_crc, encoded);
    }

    /// Adds one record and its bytes.
    pub fn push_record(&mut self, encoded: &[u8], record: &RecordRef<'_>) {
        self.push(encoded, 1, record.offset + 1, record.timestamp_ms);
    }

    /// The footer that seals the segment here.
    pub fn footer(&self) -> Footer {
        let Self { count, next_offset, last_timestamp_ms, records_bytes, segment_crc } = *self;
        Footer { count, next_offset, last_timestamp_ms, records_bytes, segment_crc }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOOTER: Footer =
        Footer { count: 1, next_offset: 2, last_timestamp_ms: 3, records_bytes: 400, segment_crc: 5 };

    #[test]
    fn decode_is_the_inverse_of_encode_and_find_looks_at_the_end() {
        let mut file = vec![7; 100];
        file.extend_from_slice(&FOOTER.encode());
        assert_eq!(Footer::decode(&FOOTER.encode()), Ok(FOOTER));
        assert_eq!(Footer::find(&file), Ok(FOOTER));
        assert_eq!(Footer::find(&file[..file.len() - 1]), Err(FormatError::Magic));
        assert_eq!(Footer::find(&file[101..]), Err(FormatError::Truncated));
    }

    #[test]
    fn a_tally_of_batches_is_that_of_their_bytes() {
        let header =
            SegmentHeader { base_offset: 7, created_ms: 0, partition: 0, topic_crc: 0, compacted: false };
        let mut tally = Tally::new(&header);
        tally.push(b"some", 2, 9, 50);
        tally.push(b"bytes", 1, 10, 40);
        let segment_crc = crc32c::crc32c(&[&header.encode()[..], b"somebytes"].concat());
        let expected =
            Footer { count: 3, next_offset: 10, last_timestamp_ms: 50, records_bytes: 73, segment_crc };
        assert_eq!(tally.footer(), expected);
    }

    #[test]
    fn every_wrong_footer_is_named() {
        let with = |at: usize, byte: u8| {
            let mut block = FOOTER.encode();
            block[at] = byte;
            seal_block(&mut block);
            Footer::decode(&block)
        };
        assert_eq!(with(7, b'2'), Err(FormatError::Magic));
        assert_eq!(with(9, 1), Err(FormatError::Version(257)));
        assert_eq!(with(11, 1), Err(FormatError::Flags(256)));
        assert_eq!(with(13, 1), Err(FormatError::Length(320)));
        assert_eq!(with(55, 1), Err(FormatError::Reserved));
        assert_eq!(with(56, b'e'), Err(FormatError::EndMark));
        let mut block = FOOTER.encode();
        block[20] ^= 1;
        assert_eq!(Footer::decode(&block), Err(FormatError::Checksum));
    }
}
