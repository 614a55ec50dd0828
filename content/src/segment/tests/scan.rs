//! Whole segments in any chunks, and every end of a scan by name.

use super::*;

fn with(mut file: File, at: usize, change: u8) -> Vec<u8> {
    file.bytes[at] ^= change;
    file.bytes
}

/// What can end a scan, each by an example.
fn examples() -> Vec<(&'static str, Vec<u8>, Option<ScanError>)> {
    let active = three_batches();
    let (end, first) = (active.bytes.len(), active.places[1].0);
    let sealed = active.clone().seal();
    let mut other_base = File::new();
    other_base.bytes = SegmentHeader { base_offset: BASE + 1, ..header() }.encode().to_vec();
    let mut skipping = three_batches();
    skipping.tally.next_offset += 1;
    let mut repeating = three_batches();
    repeating.tally.next_offset -= 1;
    let mut other_count = active.clone();
    other_count.tally.count += 1;
    let mut other_crc = active.clone();
    other_crc.tally.segment_crc ^= 1;
    let mut open = File::new();
    open.push(NewRecord { more: true, ..NewRecord::default() });
    let short = |len: usize| active.bytes[..len].to_vec();
    vec![
        ("a header only", File::new().bytes, None),
        ("active", active.bytes.clone(), None),
        ("preallocated", active.clone().preallocate(5_000).bytes, None),
        ("preallocated by a byte", active.clone().preallocate(1).bytes, None),
        ("preallocated by four", active.clone().preallocate(4).bytes, None),
        ("sealed", sealed.bytes.clone(), None),
        ("an incomplete batch", open.bytes.clone(), None),
        ("nothing", Vec::new(), Some(ScanError::Truncated)),
        ("a part of the header", short(63), Some(ScanError::Truncated)),
        ("a bad header", with(active.clone(), 20, 1), Some(ScanError::Header(FormatError::Checksum))),
        ("another's header", other_base.bytes, Some(ScanError::Base { found: BASE + 1 })),
        ("a part of a record", short(end - 1), Some(ScanError::Truncated)),
        ("a part of its header", short(active.places[6].0 + 30), Some(ScanError::Truncated)),
        ("a part of its length", short(active.places[6].0 + 3), Some(ScanError::Truncated)),
        ("a bad payload", with(active.clone(), first - 1, 1), Some(ScanError::Record(RecordError::Checksum))),
        ("a version", with(active.clone(), first + 8, 3), Some(ScanError::Record(RecordError::Version(2)))),
        ("a gap", skipping.batch(0, &[5], false).bytes, Some(ScanError::Offset { found: BASE + 8 })),
        (
            "an offset again",
            repeating.batch(0, &[5], false).bytes,
            Some(ScanError::Offset { found: BASE + 6 }),
        ),
        (
            "something behind zeros",
            with(active.clone().preallocate(3_000), end + 2_500, 1),
            Some(ScanError::Gap),
        ),
        ("a bad footer", with(sealed.clone(), end + 20, 1), Some(ScanError::Footer(FormatError::Checksum))),
        ("a part of a footer", sealed.bytes[..end + 63].to_vec(), Some(ScanError::Truncated)),
        ("a part of its magic", sealed.bytes[..end + 5].to_vec(), Some(ScanError::Truncated)),
        (
            "a bad magic",
            with(sealed.clone(), end + 5, 1)[..end + 7].to_vec(),
            Some(ScanError::Record(RecordError::Length(0x5353_5753))),
        ),
        ("another footer", other_count.seal().bytes, Some(ScanError::FooterMismatch)),
        ("another checksum", other_crc.seal().bytes, Some(ScanError::FooterMismatch)),
        ("a footer in a batch", open.seal().bytes, Some(ScanError::FooterMismatch)),
        ("something behind", sealed.preallocate(1).bytes, Some(ScanError::Trailing)),
    ]
}

#[test]
fn every_end_is_named() {
    for (name, bytes, error) in examples() {
        let (_, end) = scan_whole(&bytes);
        let found = end.bad.map(|bad| bad.error);
        // The number of a length in ASCII is beside the point.
        let same = match (found, error) {
            (
                Some(ScanError::Record(RecordError::Length(_))),
                Some(ScanError::Record(RecordError::Length(_))),
            ) => true,
            (found, error) => found == error,
        };
        assert!(same, "{name}: {found:?}");
        assert_eq!(end.sealed().is_ok(), name == "sealed", "{name}");
        assert_eq!(end.footer.is_some(), name == "sealed", "{name}");
    }
}

#[test]
fn a_scan_gives_what_was_written() {
    for file in [three_batches(), three_batches().seal(), three_batches().preallocate(700)] {
        let (records, end) = scan_whole(&file.bytes);
        let ends = file.places[1..].iter().map(|(at, _)| *at).chain([file.tally.records_bytes as usize]);
        let written = file.places.iter().zip(ends).map(|((at, _), end)| (*at as u64, &file.bytes[*at..end]));
        assert!(records.iter().map(|(at, bytes)| (*at, bytes.as_slice())).eq(written));
        assert_eq!((end.whole, end.header), (file.tally, Some(header())));
        assert_eq!((end.position, end.next_offset), (file.tally.records_bytes, BASE + 7));
    }
}

#[test]
fn any_chunks_give_the_same() {
    let mut random = fastrand::Rng::with_seed(9);
    for (name, bytes, _) in examples() {
        let whole = scan_whole(&bytes);
        for size in 1..=140 {
            assert_eq!(scan_chunks(bytes.chunks(size)), whole, "{name}, chunks of {size}");
        }
        for _ in 0..100 {
            let mut rest = &bytes[..];
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(random.usize(0..=rest.len().min(90)));
                chunks.push(chunk);
                rest = behind;
            }
            assert_eq!(scan_chunks(chunks), whole, "{name}");
        }
    }
}

#[test]
fn any_chunks_of_a_damaged_segment_give_the_same() {
    let file = three_batches().seal();
    for at in 0..file.bytes.len() {
        for change in [0x01, 0x80, file.bytes[at].max(1)] {
            let bytes = with(file.clone(), at, change);
            let whole = scan_whole(&bytes);
            for size in [1, 3, 48, 64] {
                assert_eq!(scan_chunks(bytes.chunks(size)), whole, "byte {at}, chunks of {size}");
            }
        }
    }
}

#[test]
fn a_scan_may_end_with_the_last_record() {
    let file = three_batches();
    let (mut scanner, mut records) = (Scanner::new(BASE), 0);
    for mut byte in file.bytes.chunks(1) {
        records += usize::from(matches!(scanner.step(&mut byte), Step::Record { .. }));
    }
    let end = scanner.finish();
    assert_eq!((records, end.bad, end.whole), (7, None, file.tally));
}

#[test]
fn a_compacted_segment_may_have_gaps_but_only_rises() {
    let compacted = SegmentHeader { compacted: true, ..header() };
    let file = |offsets: &[u64], next_offset: u64| {
        let (mut bytes, mut tally) = (compacted.encode().to_vec(), Tally::new(&compacted));
        for offset in offsets {
            let at = bytes.len();
            // The rest of a batch may be gone, so `more` says nothing any more.
            let record = NewRecord { offset: *offset, more: true, ..NewRecord::default() };
            encode_record(&mut bytes, &record).expect("small");
            tally.push(&bytes[at..], 1, tally.next_offset.max(offset + 1), 0);
        }
        tally.next_offset = next_offset;
        bytes.extend_from_slice(&tally.footer().encode());
        scan_whole(&bytes).1.sealed().map(|footer| footer.next_offset)
    };
    assert_eq!(file(&[BASE + 5, BASE + 6, BASE + 100], BASE + 101), Ok(BASE + 101));
    assert_eq!(file(&[BASE + 5], BASE + 50), Ok(BASE + 50), "the last records may be gone");
    assert_eq!(file(&[], BASE + 50), Ok(BASE + 50), "or all");
    assert_eq!(file(&[BASE + 5], BASE + 5), Err(ScanError::FooterMismatch));
    assert_eq!(file(&[BASE + 5, BASE + 5], BASE + 50), Err(ScanError::Offset { found: BASE + 5 }));
    assert_eq!(file(&[BASE - 1], BASE + 50), Err(ScanError::Offset { found: BASE - 1 }));
}

#[test]
fn an_incomplete_batch_is_not_whole() {
    let file = three_batches();
    let (start, first) = file.batches[1];
    let (_, end) = scan_whole(&file.bytes[..file.places[4].0]);
    assert_eq!((end.bad, end.next_offset), (None, first + 1));
    assert_eq!((end.whole.records_bytes, end.whole.next_offset), (start as u64, first));
}
