//! What the reader of a log makes of pieces and damage.

use super::*;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use sws_content::segment::{NewRecord, Tally, encode_record};

/// A partition's folder that grows as a test wants it to.
struct Partition {
    dir: PathBuf,
    path: PathBuf,
    tally: Tally,
}

impl Partition {
    fn new() -> Partition {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sws-log-reader-{}-{number}", std::process::id()));
        fs::create_dir(&dir).expect("a new folder");
        let mut partition = Partition { path: PathBuf::new(), tally: Tally::new(&header(0, false)), dir };
        partition.begin(0, false);
        partition
    }

    fn begin(&mut self, base: u64, compacted: bool) {
        self.path = folder::segment_path(&self.dir, base);
        self.tally = Tally::new(&header(base, compacted));
        fs::write(&self.path, header(base, compacted).encode()).expect("written");
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("it is there")
    }

    fn push(&mut self, offset: u64, more: bool) {
        let record = NewRecord { offset, more, payload: b"some payload", ..NewRecord::default() };
        let mut encoded = Vec::new();
        encode_record(&mut encoded, &record).expect("a small one");
        self.tally.push(&encoded, 1, offset + 1, 0);
        self.append(&encoded);
    }

    fn append(&self, bytes: &[u8]) {
        fs::write(&self.path, [self.bytes(), bytes.to_vec()].concat()).expect("written");
    }

    fn seal(&mut self) {
        self.append(&self.tally.footer().encode());
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // The test has said what it had to say.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn header(base: u64, compacted: bool) -> SegmentHeader {
    SegmentHeader { base_offset: base, created_ms: 0, partition: 0, topic_crc: 0, compacted }
}

/// The offsets of what is read, and where that pauses.
fn read(reader: &mut Reader) -> (Vec<u64>, Pause) {
    let mut offsets = Vec::new();
    let pause = reader.read(&mut |record| {
        offsets.push(record.offset);
        Ok(())
    });
    (offsets, pause.expect("the files can be read"))
}

fn at_end(offsets: &[u64]) -> (Vec<u64>, Pause) {
    (offsets.to_vec(), Pause::End)
}

#[test]
fn what_comes_is_read_once_and_over_segments() {
    let mut partition = Partition::new();
    let mut reader = Reader::new(&partition.dir, 1);
    assert_eq!(read(&mut reader), at_end(&[]));
    partition.push(0, false);
    partition.push(1, false);
    assert_eq!(read(&mut reader), at_end(&[1]));
    partition.push(2, false);
    partition.seal();
    assert_eq!(read(&mut reader), at_end(&[2]));
    assert_eq!(read(&mut reader), at_end(&[]));
    partition.begin(3, false);
    partition.push(3, false);
    assert_eq!(read(&mut reader), at_end(&[3]));
    partition.append(&[0; 5000]);
    assert_eq!(read(&mut reader), at_end(&[]));
    assert_eq!(read(&mut Reader::new(&partition.dir, 0)), at_end(&[0, 1, 2, 3]));
}

#[test]
fn a_record_is_read_when_all_of_it_is_there() {
    let mut partition = Partition::new();
    let empty = partition.bytes();
    partition.push(0, false);
    let whole = partition.bytes();
    for len in 0..whole.len() {
        fs::write(&partition.path, &whole[..len]).expect("written");
        let mut reader = Reader::new(&partition.dir, 0);
        let (offsets, pause) = read(&mut reader);
        assert!(offsets.is_empty(), "of {len} bytes: {offsets:?}");
        assert_eq!(pause == Pause::End, len == 0 || len == empty.len(), "of {len} bytes");
        fs::write(&partition.path, &whole).expect("written");
        assert_eq!(read(&mut reader), at_end(&[0]), "after {len} bytes");
    }
}

#[test]
fn a_batch_is_read_as_a_whole() {
    let mut partition = Partition::new();
    partition.push(0, false);
    partition.push(1, true);
    let mut reader = Reader::new(&partition.dir, 0);
    let (offsets, pause) = read(&mut reader);
    assert_eq!(offsets, [0]);
    assert!(matches!(pause, Pause::Bad { position: 124, .. }), "{pause:?}");
    partition.push(2, false);
    assert_eq!(read(&mut reader), at_end(&[1, 2]));
}

#[test]
fn a_record_longer_than_what_is_read_at_once() {
    let mut partition = Partition::new();
    partition.push(0, false);
    let payload = vec![7; 3 * READ_BYTES];
    let mut encoded = Vec::new();
    let record = NewRecord { offset: 1, payload: &payload, ..NewRecord::default() };
    encode_record(&mut encoded, &record).expect("not too large");
    partition.append(&encoded);
    partition.push(2, false);
    assert_eq!(read(&mut Reader::new(&partition.dir, 0)), at_end(&[0, 1, 2]));
}

#[test]
fn gaps_are_bad_but_for_compacted_segments_and_what_retention_took() {
    let mut partition = Partition::new();
    partition.push(0, false);
    partition.push(2, false);
    let (offsets, pause) = read(&mut Reader::new(&partition.dir, 0));
    assert_eq!(offsets, [0]);
    assert!(matches!(pause, Pause::Bad { position: 124, .. }), "{pause:?}");

    fs::remove_file(&partition.path).expect("it was there");
    partition.begin(10, true);
    partition.push(11, true);
    partition.push(14, false);
    partition.tally.next_offset = 20;
    partition.seal();
    partition.begin(20, false);
    partition.push(20, false);
    assert_eq!(read(&mut Reader::new(&partition.dir, 3)), at_end(&[11, 14, 20]));
}

#[test]
fn a_changed_byte_is_bad_where_its_record_begins() {
    let mut partition = Partition::new();
    partition.push(0, false);
    partition.push(1, false);
    partition.seal();
    let whole = partition.bytes();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&partition.path, bytes).expect("written");
        let (offsets, pause) = read(&mut Reader::new(&partition.dir, 0));
        let (expected, begin) = match at {
            0..64 => (Vec::new(), 0),
            64..124 => (Vec::new(), 64),
            124..184 => (vec![0], 124),
            _ => (vec![0, 1], 184),
        };
        assert_eq!(offsets, expected, "byte {at}");
        assert!(matches!(pause, Pause::Bad { position, .. } if position == begin), "byte {at}: {pause:?}");
    }
}
