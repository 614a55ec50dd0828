//! Any bytes as a segment: nothing panics, any chunks give the same, what is read encodes to the bytes it was read from, and
//! a torn tail that was cut leaves a clean segment with the same records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sws_content::segment::{
    Decoded, HEADER_BYTES, RECORD_HEADER_BYTES, ScanEnd, Scanner, Step, TailVerdict, decode_record,
    encode_record, judge_tail,
};

fuzz_target!(|input: &[u8]| {
    let Some((&chunk, bytes)) = input.split_first() else { return };
    check_record(bytes);
    check_segment(bytes, usize::from(chunk) + 1);
    let repaired = repair(bytes);
    check_record(repaired.get(HEADER_BYTES..).unwrap_or_default());
    check_segment(&repaired, usize::from(chunk) + 1);
});

/// The same bytes with right checksums, as far as records follow each other: random ones are never right.
fn repair(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() else { return bytes };
    let crc = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    let mut rest = &mut bytes[HEADER_BYTES..];
    while let Some(len) = rest.first_chunk() {
        let len = u32::from_le_bytes(*len) as usize;
        if len < RECORD_HEADER_BYTES || len > rest.len() {
            break;
        }
        let (record, behind) = rest.split_at_mut(len);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..]);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        rest = behind;
    }
    bytes
}

fn check_record(bytes: &[u8]) {
    let whole = decode_record(bytes);
    for len in 0..bytes.len().min(200) {
        match (decode_record(&bytes[..len]), whole) {
            (Ok(Decoded::NeedMore { at_least }), _) => assert!(at_least > len),
            (prefix, whole) => assert_eq!(prefix, whole),
        }
    }
    if let Ok(Decoded::Record(record)) = whole {
        let mut out = Vec::new();
        assert_eq!(encode_record(&mut out, &record.into()), Ok(record.encoded_len));
        assert!(bytes.starts_with(&out));
    }
}

fn check_segment(bytes: &[u8], chunk: usize) {
    let base = bytes.get(16..24).map_or(0, |base| u64::from_le_bytes(base.try_into().expect("eight bytes")));
    let (records, end) = scan(base, [bytes]);
    assert_eq!(scan(base, bytes.chunks(chunk)), (records.clone(), end));
    assert_eq!(scan(base, bytes.chunks(1)), (records.clone(), end));
    let position = records.last().map_or(end.position.min(HEADER_BYTES as u64), |(at, len)| at + len);
    assert_eq!(end.position, position);

    let verdict = judge_tail(&end, &bytes[end.position as usize..], 0);
    let known = judge_tail(&end, &bytes[end.position as usize..], end.whole.next_offset.saturating_add(1));
    assert!(
        end.footer.is_some()
            || matches!(known, TailVerdict::Corrupt { .. })
            || end.whole.next_offset == u64::MAX
    );
    if let TailVerdict::Torn { position, next_offset, bytes_cut } = verdict {
        assert!(bytes_cut > 0 && position + bytes_cut <= bytes.len() as u64);
        let cut = &bytes[..position as usize];
        let (kept, end) = scan(base, [cut]);
        assert!(records.starts_with(&kept));
        assert_eq!(
            judge_tail(&end, &cut[end.position as usize..], 0),
            TailVerdict::Clean { position, next_offset }
        );
    }
}

/// Each record's place and length, and the end.
fn scan<'a>(base: u64, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<(u64, u64)>, ScanEnd) {
    let (mut scanner, mut records) = (Scanner::new(base), Vec::new());
    for mut chunk in chunks {
        while let Step::Record { position, record } = scanner.step(&mut chunk) {
            assert_eq!(position, records.last().map_or(HEADER_BYTES as u64, |(at, len)| at + len));
            records.push((position, record.encoded_len as u64));
        }
    }
    (records, scanner.finish())
}
