//! Any bytes as an index: what is accepted encodes to the same bytes, and its lookups are those of a linear search.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sws_content::segment::{INDEX_INTERVAL_BYTES, Index, IndexBuilder};

fuzz_target!(|bytes: &[u8]| {
    check_decode(bytes);
    // Random checksums are never right.
    let mut repaired = bytes.to_vec();
    if let Some((body, crc)) = repaired.split_last_chunk_mut::<4>() {
        *crc = crc32c::crc32c(body).to_le_bytes();
        check_decode(&repaired);
    }
    check_builder(bytes);
});

fn check_decode(bytes: &[u8]) {
    if let Ok(index) = Index::decode(bytes) {
        assert_eq!(index.encode(), bytes);
        check_lookups(&index);
    }
}

fn check_lookups(index: &Index) {
    for entry in &index.entries {
        for offset in [entry.offset.wrapping_sub(1), entry.offset, entry.offset.wrapping_add(1)] {
            let naive = index.entries.iter().rev().find(|entry| entry.offset <= offset).copied();
            assert_eq!(index.lookup(offset), naive);
        }
        for time in [entry.timestamp_ms, entry.timestamp_ms.wrapping_add(1)] {
            let naive = index.entries.iter().rev().find(|entry| entry.timestamp_ms < time).copied();
            assert_eq!(index.lookup_time(time), naive);
        }
    }
}

/// Records of any lengths, offset gaps and times make an index that decodes and leads to each of them.
fn check_builder(bytes: &[u8]) {
    let mut builder = IndexBuilder::new(10);
    let (mut offset, mut position) = (10, 64);
    let mut records = Vec::new();
    for step in bytes.chunks_exact(4) {
        offset += u64::from(step[0]) + 1;
        builder.push(offset, position, u64::from(step[1]));
        records.push((offset, position));
        position += 48 + u64::from(u16::from_le_bytes([step[2], step[3]]));
    }
    let index = builder.finish(position, Vec::new());
    for (offset, position) in records {
        let entry = index.lookup(offset).expect("the first record has an entry");
        assert!(entry.position <= position && position - entry.position < INDEX_INTERVAL_BYTES);
    }
    check_lookups(&index);
    assert_eq!(Index::decode(&index.encode()), Ok(index));
}
