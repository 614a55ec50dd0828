//! The first 64 bytes of a segment: which part of which partition this file is.

use std::{error, fmt};

use super::le::{put, u16_at, u32_at, u64_at};

/// Bytes of the segment's header; the first record follows.
pub const HEADER_BYTES: usize = 64;

pub(super) const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"SWSSEGM1";
const FLAG_COMPACTED: u16 = 1;
const CRC_AT: usize = HEADER_BYTES - 4;

/// What a segment is: written once, when the file is made.
///
/// ```
/// use sws_content::segment::{SegmentHeader, topic_crc};
///
/// let header = SegmentHeader {
///     base_offset: 7_000,
///     created_ms: 1_700_000_000_000,
///     partition: 3,
///     topic_crc: topic_crc("orders"),
///     compacted: false,
/// };
/// assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The offset of the first record. In a compacted segment, the lowest that the segment stands for.
    pub base_offset: u64,
    /// When the segment was made, in milliseconds since 1970 (UTC).
    pub created_ms: u64,
    /// The number of the partition.
    pub partition: u32,
    /// [`topic_crc`] of the topic's name, so that a file moved to another topic is noticed.
    pub topic_crc: u32,
    /// Whether compaction took records out: offsets rise, with gaps.
    pub compacted: bool,
}

/// The checksum of a topic's name that a [`SegmentHeader`] carries.
pub fn topic_crc(name: &str) -> u32 {
    crc32c::crc32c(name.as_bytes())
}

impl SegmentHeader {
    /// The bytes at the start of the file.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut block = [0; HEADER_BYTES];
        put(&mut block, 0, MAGIC);
        put(&mut block, 8, VERSION.to_le_bytes());
        put(&mut block, 10, (if self.compacted { FLAG_COMPACTED } else { 0 }).to_le_bytes());
        put(&mut block, 12, (HEADER_BYTES as u32).to_le_bytes());
        put(&mut block, 16, self.base_offset.to_le_bytes());
        put(&mut block, 24, self.created_ms.to_le_bytes());
        put(&mut block, 32, self.partition.to_le_bytes());
        put(&mut block, 36, self.topic_crc.to_le_bytes());
        seal_block(&mut block);
        block
    }

    /// Reads the header from the first [`HEADER_BYTES`] of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let block = check_block(bytes, MAGIC)?;
        let flags = u16_at(block, 10);
        if flags & !FLAG_COMPACTED != 0 {
            return Err(FormatError::Flags(flags));
        }
        if block[40..CRC_AT].iter().any(|byte| *byte != 0) {
            return Err(FormatError::Reserved);
        }
        Ok(Self {
            base_offset: u64_at(block, 16),
            created_ms: u64_at(block, 24),
            partition: u32_at(block, 32),
            topic_crc: u32_at(block, 36),
            compacted: flags & FLAG_COMPACTED != 0,
        })
    }
}

/// Puts the checksum at the end of a header's or a footer's 64 bytes.
pub(super) fn seal_block(block: &mut [u8; HEADER_BYTES]) {
    let crc = crc32c::crc32c(&block[..CRC_AT]);
    put(block, CRC_AT, crc.to_le_bytes());
}

/// Checks what headers and footers have in common: magic, version, length, checksum.
///
/// The version comes before the checksum: of a later version nobody knows here where its checksum stands.
pub(super) fn check_block(bytes: &[u8], magic: [u8; 8]) -> Result<&[u8; HEADER_BYTES], FormatError> {
    let block: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(FormatError::Truncated)?;
    if block[..8] != magic {
        return Err(FormatError::Magic);
    }
    let version = u16_at(block, 8);
    if version == 0 || version > VERSION {
        return Err(FormatError::Version(version));
    }
    if u32_at(block, 12) != HEADER_BYTES as u32 {
        return Err(FormatError::Length(u32_at(block, 12)));
    }
    if u32_at(block, CRC_AT) != crc32c::crc32c(&block[..CRC_AT]) {
        return Err(FormatError::Checksum);
    }
    Ok(block)
}

/// Why the bytes are no header or footer of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// There are fewer bytes than a header has.
    Truncated,
    /// The bytes do not begin as they must.
    Magic,
    /// A version that this reader does not know.
    Version(u16),
    /// Flags of which this reader does not know all.
    Flags(u16),
    /// Another length than the version has.
    Length(u32),
    /// Bytes that must be zero are not.
    Reserved,
    /// The mark at the end of a footer is missing.
    EndMark,
    /// The checksum says that bytes have changed.
    Checksum,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("fewer than 64 bytes"),
            Self::Magic => f.write_str("the magic bytes are missing"),
            Self::Version(version) => {
                write!(f, "format version {version} is not known (known up to {VERSION})")
            }
            Self::Flags(flags) => write!(f, "unknown flags {flags:#06x}"),
            Self::Length(length) => write!(f, "a length of {length} bytes instead of {HEADER_BYTES}"),
            Self::Reserved => f.write_str("reserved bytes are not zero"),
            Self::EndMark => f.write_str("the end mark is missing"),
            Self::Checksum => f.write_str("the checksum does not match"),
        }
    }
}

impl error::Error for FormatError {}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        base_offset: 0x0102_0304_0506_0708,
        created_ms: 9,
        partition: 10,
        topic_crc: 11,
        compacted: true,
    };

    #[test]
    fn decode_is_the_inverse_of_encode() {
        for header in [HEADER, SegmentHeader { compacted: false, base_offset: u64::MAX, ..HEADER }] {
            assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn a_checksum_of_a_name_is_the_published_one() {
        assert_eq!(topic_crc("123456789"), 0xe306_9283);
    }

    #[test]
    fn every_wrong_header_is_named() {
        let with = |at: usize, byte: u8| {
            let mut block = HEADER.encode();
            block[at] = byte;
            seal_block(&mut block);
            SegmentHeader::decode(&block)
        };
        assert_eq!(with(0, b's'), Err(FormatError::Magic));
        assert_eq!(with(8, 0), Err(FormatError::Version(0)));
        assert_eq!(with(8, 2), Err(FormatError::Version(2)));
        assert_eq!(with(10, 3), Err(FormatError::Flags(3)));
        assert_eq!(with(12, 65), Err(FormatError::Length(65)));
        assert_eq!(with(59, 1), Err(FormatError::Reserved));
        assert_eq!(SegmentHeader::decode(&HEADER.encode()[..63]), Err(FormatError::Truncated));
        let mut block = HEADER.encode();
        block[60] ^= 1;
        assert_eq!(SegmentHeader::decode(&block), Err(FormatError::Checksum));
    }
}
