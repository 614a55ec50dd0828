//! Places in a segment: lookups beside linear ones, and every wrong index by name.

use super::*;

fn sample() -> Index {
    let mut builder = IndexBuilder::new(100);
    for record in 0..300 {
        builder.push(100 + 3 * record, 64 + 5_000 * record, 1_000 + record % 7 + record / 50);
    }
    let producers = (1..4)
        .map(|id| ProducerEntry { producer_id: id, sequence: 7, offset: 100 + id, timestamp_ms: 1_000 })
        .collect();
    builder.finish(64 + 300 * 5_000, producers)
}

/// An index with one byte set and the checksum made right.
fn with(at: usize, byte: u8) -> Result<Index, IndexError> {
    let mut bytes = sample().encode();
    let end = bytes.len() - CRC_BYTES;
    bytes[at] = byte;
    let crc = crc32c::crc32c(&bytes[..end]);
    put(&mut bytes, end, crc.to_le_bytes());
    Index::decode(&bytes)
}

#[test]
fn decode_is_the_inverse_of_encode() {
    let empty = Index { base_offset: 0, segment_bytes: 64, entries: Vec::new(), producers: Vec::new() };
    for index in [sample(), empty] {
        assert_eq!(Index::decode(&index.encode()), Ok(index));
    }
}

#[test]
fn entries_lie_an_interval_apart() {
    let index = sample();
    assert_eq!(index.entries[0], IndexEntry { offset: 100, position: 64, timestamp_ms: 1_000 });
    // The first record behind 65,536 bytes is the 14th, at 70,000.
    assert!(index.entries.windows(2).all(|pair| pair[1].position - pair[0].position == 70_000));
    assert_eq!(index.entries.len(), 300_usize.div_ceil(14));
}

#[test]
fn a_record_an_interval_behind_gets_an_entry() {
    for (ahead, entries) in [(INDEX_INTERVAL_BYTES - 1, 1), (INDEX_INTERVAL_BYTES, 2)] {
        let mut builder = IndexBuilder::new(0);
        builder.push(0, 64, 0);
        builder.push(1, 64 + ahead, 0);
        assert_eq!(builder.entries().len(), entries);
        let index = builder.finish(64 + ahead, Vec::new());
        let decoded = Index::decode(&index.encode());
        assert_eq!(
            decoded == Err(IndexError::Order),
            entries == 2,
            "a record begins before the segment's end"
        );
    }
}

#[test]
fn lookups_agree_with_a_linear_search() {
    let index = sample();
    for offset in 0..1_200 {
        let naive = index.entries.iter().rev().find(|entry| entry.offset <= offset).copied();
        assert_eq!(index.lookup(offset), naive);
    }
    for timestamp_ms in 990..1_020 {
        let naive = index.entries.iter().rev().find(|entry| entry.timestamp_ms < timestamp_ms).copied();
        assert_eq!(index.lookup_time(timestamp_ms), naive);
        // No record before the entry is as late.
        let late = (0..300).find(|record| 1_000 + record % 7 + record / 50 >= timestamp_ms);
        if let (Some(late), Some(entry)) = (late, naive) {
            assert!(64 + 5_000 * late > entry.position);
        }
    }
}

#[test]
fn cutting_forgets_what_is_behind() {
    let mut builder = IndexBuilder::new(0);
    for record in 0..10 {
        builder.push(record, 64 + 100_000 * record, 0);
    }
    builder.truncate(64 + 300_000);
    assert_eq!(builder.entries().last().map(|entry| entry.offset), Some(2));
    assert_eq!(builder.lookup(9).map(|entry| entry.offset), Some(2));
    builder.push(3, 64 + 300_000, 0);
    assert_eq!(builder.lookup(9).map(|entry| entry.offset), Some(3));
}

#[test]
fn every_wrong_index_is_named() {
    let bytes = sample().encode();
    assert_eq!(with(0, b's'), Err(IndexError::Magic));
    assert_eq!(with(8, 0), Err(IndexError::Version(0)));
    assert_eq!(with(8, 2), Err(IndexError::Version(2)));
    assert_eq!(with(10, 1), Err(IndexError::Reserved));
    assert_eq!(with(12, 1), Err(IndexError::Reserved));
    assert_eq!(with(bytes.len() - CRC_BYTES - 1, 1), Err(IndexError::Reserved));
    assert_eq!(with(32, 0), Err(IndexError::Length));
    assert_eq!(with(39, 0xff), Err(IndexError::Length));
    assert_eq!(with(16, 101), Err(IndexError::Order), "an offset below the base");
    assert_eq!(with(24, 0), Ok(Index { segment_bytes: 64 + 300 * 5_000 - 0xa0, ..sample() }));
    assert_eq!(with(26, 0), Err(IndexError::Order), "a position behind the segment");
    assert_eq!(with(56, 63), Err(IndexError::Order), "a position within the header");
    assert_eq!(with(106, 0), Err(IndexError::Order), "a position before the last entry's");
    assert_eq!(with(113, 0), Err(IndexError::Order), "a time before the last entry's");
    for len in 0..bytes.len() {
        assert!(Index::decode(&bytes[..len]).is_err());
    }
}

#[test]
fn a_flip_of_any_byte_is_noticed() {
    let bytes = sample().encode();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        assert!(Index::decode(&bytes).is_err(), "byte {at}");
    }
}
