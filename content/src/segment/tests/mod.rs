//! Whole segments: reading them in any chunks, damaging them in every way, and the example of the document.

mod damage;
mod document;
mod oracle;
mod scan;
mod tail;

use super::*;

pub const BASE: u64 = 1_000;

/// A segment in the making.
#[derive(Clone)]
pub struct File {
    pub bytes: Vec<u8>,
    pub tally: Tally,
    /// Where each record begins, and its offset.
    pub places: Vec<(usize, u64)>,
    /// Where each batch begins, and its first offset.
    pub batches: Vec<(usize, u64)>,
}

pub fn header() -> SegmentHeader {
    SegmentHeader {
        base_offset: BASE,
        created_ms: 77,
        partition: 3,
        topic_crc: topic_crc("t"),
        compacted: false,
    }
}

/// Bytes that compress badly, contain no record, and end with one that is not zero.
pub fn payload(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(2..)).collect()
}

impl File {
    pub fn new() -> Self {
        let header = header();
        let bytes = header.encode().to_vec();
        Self { bytes, tally: Tally::new(&header), places: Vec::new(), batches: Vec::new() }
    }

    pub fn push(&mut self, record: NewRecord<'_>) {
        let (at, offset) = (self.bytes.len(), self.tally.next_offset);
        encode_record(&mut self.bytes, &NewRecord { offset, ..record }).expect("small");
        self.tally.push(&self.bytes[at..], 1, offset + 1, record.timestamp_ms);
        self.places.push((at, offset));
    }

    /// Adds a batch that was written when all below `durable` was safe, one record for each payload length.
    pub fn batch(mut self, durable: u64, payloads: &[usize], atomic: bool) -> Self {
        self.batches.push((self.bytes.len(), self.tally.next_offset));
        for (at, len) in payloads.iter().enumerate() {
            let offset = self.tally.next_offset;
            self.push(NewRecord {
                durable,
                timestamp_ms: 5_000 + offset,
                key: (at % 2 == 1).then_some(b"key"),
                payload: &payload(*len, offset),
                more: atomic && at + 1 < payloads.len(),
                ..NewRecord::default()
            });
        }
        self
    }

    pub fn seal(mut self) -> Self {
        self.bytes.extend_from_slice(&self.tally.footer().encode());
        self
    }

    pub fn preallocate(mut self, bytes: usize) -> Self {
        self.bytes.resize(self.bytes.len() + bytes, 0);
        self
    }
}

/// Three batches, each written when those before it were durable.
pub fn three_batches() -> File {
    File::new().batch(BASE, &[30, 0, 100], false).batch(BASE + 3, &[1, 50], true).batch(
        BASE + 5,
        &[80, 20],
        false,
    )
}

/// Each record's position and its bytes, encoded again from what was read.
pub type Records = Vec<(u64, Vec<u8>)>;

pub fn scan_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Records, ScanEnd) {
    let (mut scanner, mut records) = (Scanner::new(BASE), Vec::new());
    for mut chunk in chunks {
        loop {
            match scanner.step(&mut chunk) {
                Step::Record { position, record } => {
                    let mut bytes = Vec::new();
                    encode_record(&mut bytes, &record.into()).expect("small");
                    records.push((position, bytes));
                }
                Step::NeedMore => {
                    assert!(chunk.is_empty());
                    break;
                }
                Step::Stopped => return (records, scanner.finish()),
            }
        }
    }
    (records, scanner.finish())
}

pub fn scan_whole(bytes: &[u8]) -> (Records, ScanEnd) {
    scan_chunks([bytes])
}

pub fn judge(bytes: &[u8], known_durable: u64) -> TailVerdict {
    let (_, end) = scan_whole(bytes);
    judge_tail(&end, &bytes[end.position as usize..], known_durable)
}
