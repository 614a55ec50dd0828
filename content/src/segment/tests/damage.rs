//! Bytes flipped, files cut and sectors lost, one place after the other: nothing goes unnoticed, and nothing durable is cut.

use super::*;

/// What a byte is changed by: a bit at either end, all bits, and to zero.
fn changes(byte: u8) -> impl Iterator<Item = u8> {
    [0x01, 0x10, 0x80, 0xff, byte].into_iter().filter(|change| *change != 0)
}

#[test]
fn a_flip_in_a_sealed_segment_is_an_error() {
    let file = three_batches().seal();
    assert_eq!(scan_whole(&file.bytes).1.sealed(), Ok(file.tally.footer()));
    for at in 0..file.bytes.len() {
        for change in changes(file.bytes[at]) {
            let mut bytes = file.bytes.clone();
            bytes[at] ^= change;
            assert!(scan_whole(&bytes).1.sealed().is_err(), "byte {at} by {change:#x}");
            // Without a successor it may be taken for an active segment: its footer says that records were durable.
            let corrupt = matches!(judge(&bytes, 0), TailVerdict::Corrupt { .. });
            assert_eq!(corrupt, at < file.tally.records_bytes as usize, "byte {at} by {change:#x}");
        }
    }
}

#[test]
fn a_flip_in_an_active_segment_is_corruption_or_reported_as_torn() {
    let file = three_batches().preallocate(600);
    let (written, _) = scan_whole(&file.bytes);
    // All below the first offset of the last batch was durable when that was written.
    let (durable_bytes, durable) = file.batches[2];
    for at in 0..file.bytes.len() {
        for change in changes(file.bytes[at]) {
            let mut bytes = file.bytes.clone();
            bytes[at] ^= change;
            let (records, end) = scan_whole(&bytes);
            assert!(written.starts_with(&records), "byte {at}: records that were never written");
            match judge(&bytes, 0) {
                TailVerdict::Clean { .. } => panic!("byte {at} by {change:#x} was not noticed"),
                TailVerdict::Corrupt {
                    position,
                    offset,
                    evidence: Evidence::Record { durable: safe, .. },
                } => {
                    assert!(at < durable_bytes, "byte {at} was not durable");
                    assert!(position <= at as u64 && offset < safe && safe <= durable);
                }
                TailVerdict::Corrupt { evidence, .. } => panic!("byte {at}: {evidence:?}"),
                TailVerdict::Torn { position, next_offset, bytes_cut } => {
                    assert!(at >= durable_bytes, "byte {at} was durable and would be cut");
                    let counted = position + bytes_cut > at as u64 || bytes[at] == 0;
                    assert!(bytes_cut > 0 && position <= at as u64 && counted, "byte {at}");
                    assert_eq!((position, next_offset), (end.whole.records_bytes, end.whole.next_offset));
                }
            }
            // After a clean close, all is known to be durable.
            let known = judge(&bytes, file.tally.next_offset);
            assert_eq!(
                matches!(known, TailVerdict::Corrupt { .. }),
                at < file.tally.records_bytes as usize,
                "byte {at}: {known:?}"
            );
        }
    }
}

#[test]
fn a_cut_at_any_length_keeps_whole_batches() {
    let file = three_batches();
    for len in 0..=file.bytes.len() {
        // What a reader may keep: single records of plain batches, the second batch only as a whole.
        let ends: Vec<(usize, u64)> = [(64, BASE)]
            .into_iter()
            .chain(file.places.iter().skip(1).filter(|(_, offset)| *offset != BASE + 4).copied())
            .chain([(file.bytes.len(), BASE + 7)])
            .collect();
        let kept = ends.iter().rev().find(|(end, _)| *end <= len).copied().unwrap_or((0, BASE));
        for filling in [0, 1, 3, 700] {
            let mut bytes = file.bytes[..len].to_vec();
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            bytes.resize(len + filling, 0);
            let (position, next_offset) = (kept.0 as u64, kept.1);
            // Zeros at the end cannot be told from what was never written, but in an incomplete batch.
            let end = scan_whole(&bytes).1.position as usize;
            let bytes_cut = (written.max(end) - kept.0) as u64;
            let expected = match bytes_cut {
                0 => TailVerdict::Clean { position, next_offset },
                _ => TailVerdict::Torn { position, next_offset, bytes_cut },
            };
            assert_eq!(judge(&bytes, 0), expected, "{len} bytes, {filling} zeros");
            assert_eq!(judge(&bytes, next_offset), expected);
            if next_offset < BASE + 7 {
                let known = judge(&bytes, next_offset + 1);
                assert!(
                    matches!(known, TailVerdict::Corrupt { evidence: Evidence::Known { .. }, .. }),
                    "{len} bytes: {known:?}"
                );
            }
        }
    }
}

#[test]
fn a_sealed_segment_cut_at_any_length_is_not_sealed() {
    let file = three_batches().seal();
    for len in 0..file.bytes.len() {
        assert!(scan_whole(&file.bytes[..len]).1.sealed().is_err());
        assert!(Footer::find(&file.bytes[..len]).is_err());
    }
}

const SECTOR: usize = 512;

/// Loses the sectors of a mask from those that `from..to` lies in, but nothing that was there before `from`.
fn lose_sectors(bytes: &mut [u8], from: usize, to: usize, mask: u32, garbage: bool) {
    let first = from / SECTOR;
    for sector in first..to.div_ceil(SECTOR) {
        if mask >> (sector - first) & 1 != 0 {
            let (start, end) = ((sector * SECTOR).max(from), ((sector + 1) * SECTOR).min(to));
            let filling = if garbage { payload(end - start, sector as u64) } else { vec![0; end - start] };
            bytes[start..end].copy_from_slice(&filling);
        }
    }
}

#[test]
fn lost_sectors_of_an_unsynced_batch_are_torn_and_of_a_synced_one_corruption() {
    for atomic in [false, true] {
        let safe = three_batches();
        let (from, first) = (safe.bytes.len(), safe.tally.next_offset);
        let torn = safe.batch(first, &[300, 700, 20, 40, 900, 1_000], atomic);
        let to = torn.bytes.len();
        let next = torn.tally.next_offset;
        let known = torn.clone().batch(next, &[10], false);
        // The same batch once more, sent before the first was known to be durable.
        let unknown = torn.clone().batch(first, &[10], false);
        let sectors = to.div_ceil(SECTOR) - from / SECTOR;
        for mask in 1..1 << sectors {
            for garbage in [false, true] {
                let lost = |file: &File| {
                    let mut bytes = file.clone().preallocate(2_000).bytes;
                    lose_sectors(&mut bytes, from, to, mask, garbage);
                    judge(&bytes, first)
                };
                for file in [&torn, &unknown] {
                    let (position, next_offset) = match lost(file) {
                        TailVerdict::Torn { position, next_offset, bytes_cut } => {
                            assert!(bytes_cut > 0);
                            (position, next_offset)
                        }
                        // All of it gone is as if it had never been sent.
                        TailVerdict::Clean { position, next_offset } if mask + 1 == 1 << sectors => {
                            (position, next_offset)
                        }
                        other => panic!("sectors {mask:#b}: {other:?}"),
                    };
                    assert!(position >= from as u64 && next_offset >= first && next_offset < next);
                    assert!(!atomic || next_offset == first);
                }
                let verdict = lost(&known);
                let TailVerdict::Corrupt { position, offset, evidence } = verdict else {
                    panic!("sectors {mask:#b}: {verdict:?}")
                };
                assert!((first..next).contains(&offset) && (from..to).contains(&(position as usize)));
                assert_eq!(evidence, Evidence::Record { position: to as u64, offset: next, durable: next });
            }
        }
    }
}
