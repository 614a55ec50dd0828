//! A reader that is as simple as it can be, beside the scanner and the judgement, over files damaged at random.

use super::*;

/// The record at `at`, by the byte table alone.
fn naive_record(bytes: &[u8], at: usize) -> Option<(usize, u64, u64, bool)> {
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    if at + 48 > bytes.len() {
        return None;
    }
    let len = number(at, 4) as usize;
    if !(48..=64 << 20).contains(&len) || at + len > bytes.len() {
        return None;
    }
    let covered = [&bytes[at..at + 4], &bytes[at + 8..at + len]].concat();
    let (flags, key_len, offset, durable) =
        (bytes[at + 9], number(at + 10, 2) as usize, number(at + 16, 8), number(at + 32, 8));
    let good = u64::from(crc32c::crc32c(&covered)) == number(at + 4, 4)
        && bytes[at + 8] == 1
        && flags < 16
        && 48 + key_len <= len
        && (flags & 1 == 1 || key_len == 0)
        && durable <= offset;
    good.then_some((len, offset, durable, flags & 4 != 0))
}

fn naive_judge(bytes: &[u8]) -> (Vec<u64>, TailVerdict) {
    let (mut at, mut next, mut records) = (64, BASE, Vec::new());
    let (mut kept, mut kept_next) = (64, BASE);
    while let Some((len, offset, _, more)) = naive_record(bytes, at)
        && offset == next
    {
        records.push(at as u64);
        (at, next) = (at + len, next + 1);
        if !more {
            (kept, kept_next) = (at, next);
        }
    }
    let mut later = at;
    while later < bytes.len() {
        match naive_record(bytes, later) {
            Some((len, offset, durable, _))
                if offset >= next && (later == at || (offset - next) as usize <= (later - at) / 48) =>
            {
                if durable > kept_next {
                    let evidence = Evidence::Record { position: later as u64, offset, durable };
                    let corrupt = TailVerdict::Corrupt { position: at as u64, offset: next, evidence };
                    return (records, corrupt);
                }
                later += len;
            }
            _ => later += 1,
        }
    }
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).max(at);
    let (position, next_offset) = (kept as u64, kept_next);
    let verdict = match (written - kept) as u64 {
        0 => TailVerdict::Clean { position, next_offset },
        bytes_cut => TailVerdict::Torn { position, next_offset, bytes_cut },
    };
    (records, verdict)
}

fn random_file(random: &mut fastrand::Rng) -> File {
    let mut file = File::new();
    let mut durable = BASE;
    for _ in 0..random.usize(0..6) {
        let lens: Vec<usize> = (0..random.usize(1..5)).map(|_| random.usize(0..400)).collect();
        let next = file.tally.next_offset;
        durable = random.u64(durable..=next);
        let atomic = random.bool();
        file = file.batch(durable, &lens, atomic);
    }
    file.preallocate(if random.bool() { random.usize(0..1_000) } else { 0 })
}

fn damage(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    if bytes.len() <= 64 {
        return;
    }
    let at = random.usize(64..bytes.len());
    let to = (at + random.usize(1..300)).min(bytes.len());
    match random.u8(..6) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at..to].fill(0),
        2 => bytes[at..to].iter_mut().for_each(|byte| *byte = random.u8(..)),
        3 => bytes.truncate(at),
        4 => {
            bytes.drain(at..to);
        }
        _ => {
            let copied = bytes[at..to].to_vec();
            let to = random.usize(64..=bytes.len());
            bytes.splice(to..to, copied);
        }
    }
}

#[test]
fn the_judgement_is_that_of_a_naive_reader() {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut clean, mut torn, mut corrupt) = (0, 0, 0);
    for round in 0..3_000 {
        let mut bytes = random_file(&mut random).bytes;
        for _ in 0..random.usize(0..4) {
            damage(&mut bytes, &mut random);
        }
        let (positions, verdict) = naive_judge(&bytes);
        let (records, _) = scan_whole(&bytes);
        assert!(records.iter().map(|(position, _)| *position).eq(positions), "round {round}");
        assert_eq!(judge(&bytes, 0), verdict, "round {round}");
        match verdict {
            TailVerdict::Clean { .. } => clean += 1,
            TailVerdict::Torn { .. } => torn += 1,
            TailVerdict::Corrupt { .. } => corrupt += 1,
        }
    }
    assert!(clean > 200 && torn > 200 && corrupt > 200, "{clean} {torn} {corrupt}");
}
