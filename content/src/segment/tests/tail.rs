//! What counts as evidence behind a bad record, and what does not.

use super::*;

/// A segment's bytes from other records on: what somebody may log who logs segments.
fn records_from(offset: u64, durable: u64, count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for offset in offset..offset + count {
        let record = NewRecord { offset, durable, payload: b"inner", ..NewRecord::default() };
        encode_record(&mut bytes, &record).expect("small");
    }
    bytes
}

#[test]
fn records_within_a_payload_are_data() {
    let inner = records_from(BASE + 8, BASE + 8, 3);
    let mut file = three_batches();
    let torn_at = file.bytes.len();
    file.push(NewRecord { durable: BASE + 7, payload: &payload(5_000, 1), ..NewRecord::default() });
    file.push(NewRecord { durable: BASE + 7, payload: &inner, ..NewRecord::default() });
    assert!(matches!(judge(&file.bytes, 0), TailVerdict::Clean { .. }));
    // The record before is torn, the one around is whole: its payload is not looked at.
    file.bytes[torn_at + 2_000] ^= 1;
    let bytes_cut = (file.bytes.len() - torn_at) as u64;
    let torn = TailVerdict::Torn { position: torn_at as u64, next_offset: BASE + 7, bytes_cut };
    assert_eq!(judge(&file.bytes, 0), torn);
    // The same bytes outside of any record would prove that a durable record is bad.
    file.bytes.extend_from_slice(&inner);
    assert!(matches!(judge(&file.bytes, 0), TailVerdict::Corrupt { .. }));
}

#[test]
fn records_within_a_torn_payload_count_only_if_their_offsets_fit() {
    let torn_with = |inner: &[u8]| {
        let mut file = three_batches();
        let payload = [&payload(100, 2), inner, &[7][..]].concat();
        file.push(NewRecord { durable: BASE + 7, payload: &payload, ..NewRecord::default() });
        let last = file.bytes.len() - 1;
        file.bytes[last] ^= 1;
        judge(&file.bytes, 0)
    };
    // 148 bytes behind the bad place, three records at most can have been before.
    for offset in [0, BASE + 6, BASE + 11, 1 << 40] {
        let verdict = torn_with(&records_from(offset, offset, 1));
        assert!(matches!(verdict, TailVerdict::Torn { .. }), "{offset}: {verdict:?}");
    }
    // What is left of the risk errs to the side that cuts nothing.
    let verdict = torn_with(&records_from(BASE + 10, BASE + 10, 1));
    assert!(matches!(verdict, TailVerdict::Corrupt { .. }), "{verdict:?}");
}

#[test]
fn a_footer_counts_only_at_its_own_place() {
    let mut file = three_batches();
    let at = file.places[6].0 + 40;
    let (_, last) = file.places[6];
    let mut elsewhere = file.tally.footer();
    elsewhere.records_bytes += 1;
    file.bytes[at] ^= 1;
    let sealed = file.clone().seal();
    let position = file.bytes.len() as u64;
    let evidence = Evidence::Footer { position, next_offset: BASE + 7 };
    let corrupt = TailVerdict::Corrupt { position: (at - 40) as u64, offset: last, evidence };
    assert_eq!(judge(&sealed.bytes, 0), corrupt);
    file.bytes.extend_from_slice(&elsewhere.encode());
    assert!(matches!(judge(&file.bytes, 0), TailVerdict::Torn { .. }));
}

#[test]
fn a_seal_before_its_file_was_cut_is_taken_off() {
    let file = three_batches();
    let (position, next_offset) = (file.tally.records_bytes, BASE + 7);
    let torn = TailVerdict::Torn { position, next_offset, bytes_cut: 64 };
    assert_eq!(judge(&file.clone().seal().preallocate(100).bytes, next_offset), torn);
    // Where it is in its place, offsets known to be durable beyond it are those of later segments.
    let clean = TailVerdict::Clean { position, next_offset };
    assert_eq!(judge(&file.seal().bytes, next_offset + 100), clean);
}

#[test]
fn the_last_bytes_of_a_file_can_be_evidence() {
    let mut file = three_batches();
    let position = file.tally.records_bytes;
    file.push(NewRecord { durable: BASE + 7, ..NewRecord::default() });
    file.push(NewRecord { durable: BASE + 8, ..NewRecord::default() });
    file.bytes[position as usize + 20] ^= 1;
    let evidence = Evidence::Record { position: position + 48, offset: BASE + 8, durable: BASE + 8 };
    assert_eq!(judge(&file.bytes, 0), TailVerdict::Corrupt { position, offset: BASE + 7, evidence });
}

#[test]
fn a_record_out_of_place_is_judged_by_what_it_knows() {
    let skipping = |durable| {
        let mut file = three_batches();
        let position = file.bytes.len() as u64;
        file.tally.next_offset += 10;
        file.push(NewRecord { durable, payload: b"later", ..NewRecord::default() });
        (position, judge(&file.bytes, 0))
    };
    let (position, verdict) = skipping(BASE + 7);
    assert_eq!(verdict, TailVerdict::Torn { position, next_offset: BASE + 7, bytes_cut: 53 });
    let (position, verdict) = skipping(BASE + 8);
    let evidence = Evidence::Record { position, offset: BASE + 17, durable: BASE + 8 };
    assert_eq!(verdict, TailVerdict::Corrupt { position, offset: BASE + 7, evidence });
}

#[test]
fn an_incomplete_batch_is_cut_unless_it_was_durable() {
    let file = three_batches();
    let (start, first) = file.batches[1];
    let open = &file.bytes[..file.places[4].0];
    let torn = TailVerdict::Torn {
        position: start as u64,
        next_offset: first,
        bytes_cut: (open.len() - start) as u64,
    };
    assert_eq!(judge(open, first), torn);
    let known = Evidence::Known { durable: first + 1 };
    let corrupt = TailVerdict::Corrupt { position: open.len() as u64, offset: first + 1, evidence: known };
    assert_eq!(judge(open, first + 1), corrupt);
}

/// Headers that pass for records up to the end of the file: checking each from end to end would be 750 GB.
#[test]
fn bytes_made_to_deceive_do_not_delay_the_verdict() {
    let len = 24 << 20;
    let mut block = [0; 48];
    block[8] = 1;
    block[16..24].copy_from_slice(&(BASE + 8).to_le_bytes());
    block[32..40].copy_from_slice(&(BASE + 8).to_le_bytes());
    let mut bytes = three_batches().bytes;
    let start = bytes.len();
    bytes.resize(start + len, 0);
    let mut candidates = 0;
    for at in (start + 48..bytes.len() - 100_000).step_by(384) {
        let claimed = (bytes.len() - at) as u32;
        block[..4].copy_from_slice(&claimed.to_le_bytes());
        bytes[at..at + 48].copy_from_slice(&block);
        candidates += 1;
    }
    assert!(candidates > 60_000);
    let TailVerdict::Torn { position, .. } = judge(&bytes, 0) else { panic!() };
    assert_eq!(position, start as u64);
}
