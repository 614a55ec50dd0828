//! Single records: both ways, every prefix, every limit, and every wrong record by name.

use super::*;

/// Every combination of the flags, with and without a key, payloads of some lengths.
fn records() -> Vec<NewRecord<'static>> {
    let mut records = Vec::new();
    for bits in 0..8 {
        for key in [None, Some(&b""[..]), Some(&b"key"[..])] {
            for payload in [&b""[..], b"x", b"a payload of some bytes"] {
                records.push(NewRecord {
                    offset: 0x0102_0304_0506_0708,
                    timestamp_ms: 0x1112_1314_1516_1718,
                    durable: 0x0102_0304_0506_0700,
                    producer_id: 0x2122_2324_2526_2728,
                    sequence: 0x3132_3334,
                    key,
                    payload,
                    tombstone: bits & 1 != 0,
                    more: bits & 2 != 0,
                    text: bits & 4 != 0,
                });
            }
        }
    }
    records
}

fn encoded(record: &NewRecord<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_record(&mut out, record).expect("small");
    out
}

/// A record with one byte set and the checksum made right.
fn with(record: &NewRecord<'_>, at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = encoded(record);
    bytes[at] = byte;
    let crc = checksum(&bytes);
    put(&mut bytes, 4, crc.to_le_bytes());
    bytes
}

#[test]
fn decode_is_the_inverse_of_encode() {
    for record in records() {
        let mut out = b"before".to_vec();
        assert_eq!(encode_record(&mut out, &record), Ok(record.encoded_len()));
        assert_eq!(out.len(), 6 + record.encoded_len());
        out.extend_from_slice(b"behind");
        let Ok(Decoded::Record(decoded)) = decode_record(&out[6..]) else { panic!("{record:?}") };
        assert_eq!(NewRecord::from(decoded), record);
        assert_eq!(decoded.encoded_len, record.encoded_len());
    }
}

#[test]
fn a_prefix_needs_more_and_says_how_much() {
    for record in records() {
        let bytes = encoded(&record);
        for len in 0..bytes.len() {
            let at_least = match len {
                0..4 => 4,
                4..48 => 48,
                _ => bytes.len(),
            };
            assert_eq!(decode_record(&bytes[..len]), Ok(Decoded::NeedMore { at_least }), "{len} bytes");
        }
    }
}

#[test]
fn zeros_are_the_end() {
    assert_eq!(decode_record(&[]), Ok(Decoded::NeedMore { at_least: 4 }));
    assert_eq!(decode_record(&[0; 3]), Ok(Decoded::NeedMore { at_least: 4 }));
    assert_eq!(decode_record(&[0; 4]), Ok(Decoded::End));
    assert_eq!(decode_record(&[0; 100]), Ok(Decoded::End));
}

#[test]
fn every_wrong_record_is_named() {
    let record = NewRecord { offset: 5, durable: 5, payload: b"payload", ..NewRecord::default() };
    for (len, error) in [(1, 1), (47, 47), (RECORD_BYTES_MAX as u32 + 1, RECORD_BYTES_MAX as u32 + 1)] {
        let mut bytes = encoded(&record);
        put(&mut bytes, 0, u32::to_le_bytes(len));
        assert_eq!(decode_record(&bytes), Err(RecordError::Length(error)));
    }
    assert_eq!(decode_record(&with(&record, 8, 0)), Err(RecordError::Version(0)));
    assert_eq!(decode_record(&with(&record, 8, 2)), Err(RecordError::Version(2)));
    for flags in [16, 32, 64, 128] {
        assert_eq!(decode_record(&with(&record, 9, flags)), Err(RecordError::Flags(flags)));
    }
    assert_eq!(decode_record(&with(&record, 10, 3)), Err(RecordError::Key(3)), "a length without a key");
    let keyed = NewRecord { key: Some(b"ab"), ..record };
    assert_eq!(decode_record(&with(&keyed, 10, 10)), Err(RecordError::Key(10)), "beyond the record");
    assert_eq!(decode_record(&with(&record, 32, 6)), Err(RecordError::Durable));
    let mut bytes = encoded(&record);
    put(&mut bytes, 16, [0xff; 8]);
    assert_eq!(decode_record(&bytes), Err(RecordError::Durable), "no offset follows the highest");
    for at in 4..8 {
        let mut bytes = encoded(&record);
        bytes[at] ^= 1;
        assert_eq!(decode_record(&bytes), Err(RecordError::Checksum));
    }
}

#[test]
fn limits_are_exact_and_an_error_leaves_the_output() {
    let (key, payload) = (vec![b'k'; KEY_BYTES_MAX + 1], vec![0; RECORD_BYTES_MAX]);
    let mut out = b"before".to_vec();
    let record = NewRecord { key: Some(&key), ..NewRecord::default() };
    assert_eq!(encode_record(&mut out, &record), Err(RecordTooLarge::Key { bytes: 65_536 }));
    let record = NewRecord { payload: &payload[RECORD_HEADER_BYTES - 1..], ..NewRecord::default() };
    assert_eq!(encode_record(&mut out, &record), Err(RecordTooLarge::Record { bytes: RECORD_BYTES_MAX + 1 }));
    assert_eq!(out, b"before");
    let record = NewRecord { key: Some(&key[1..]), payload: &payload[65_535 + 48..], ..NewRecord::default() };
    assert_eq!(encode_record(&mut out, &record), Ok(RECORD_BYTES_MAX));
    assert!(
        matches!(decode_record(&out[6..]), Ok(Decoded::Record(found)) if NewRecord::from(found) == record)
    );
}

#[test]
#[should_panic(expected = "not durable before it is written")]
fn a_record_is_not_durable_before_it_is_written() {
    encoded(&NewRecord { offset: 4, durable: 5, ..NewRecord::default() });
}
