//! What recovery makes of the end of an active segment: good, a torn tail that may be cut, or corruption that may not.
//!
//! A crash leaves any mixture of the sectors of what was not synced: old, new, in any order. None of it was acknowledged.
//! So behind a bad record there may well be good ones, and they prove something only by what they know: a record that was
//! written when the bad one's offset was already durable says that the bytes were good on the disk and went bad since.

use std::fmt;

use super::footer::{self, FOOTER_BYTES, Footer};
use super::le::u32_at;
use super::prefix::PrefixCrc;
use super::record::{Measure, RECORD_HEADER_BYTES, measure, view};
use super::scan::{ScanEnd, is_zero};

/// What recovery does with an active segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailVerdict {
    /// Nothing is lost and nothing to be cut. At position 0 the file has not even a header and is to be begun anew.
    Clean {
        /// Where the next record goes.
        position: u64,
        /// The next record's offset.
        next_offset: u64,
    },
    /// What lies behind `position` was never known to be durable and is to be cut. At position 0 that includes the header.
    Torn {
        /// Where the next record goes.
        position: u64,
        /// The next record's offset.
        next_offset: u64,
        /// Bytes from `position` to the last that is not zero.
        bytes_cut: u64,
    },
    /// A record that was durable is bad or gone. Nothing may be cut before a person has looked.
    Corrupt {
        /// Where the bad record begins.
        position: u64,
        /// The offset that belongs there.
        offset: u64,
        /// What says that it had been durable.
        evidence: Evidence,
    },
}

/// What says that a record had been durable before it went bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A later good record that was written when all below `durable` was safe.
    Record {
        /// Where it begins.
        position: u64,
        /// Its offset.
        offset: u64,
        /// What it says to be safe.
        durable: u64,
    },
    /// A good footer at its own place: a segment is sealed only when all of it is safe.
    Footer {
        /// Where it begins.
        position: u64,
        /// One past the last offset of the segment.
        next_offset: u64,
    },
    /// The caller knows, from a clean close, that all below this offset was safe.
    Known {
        /// One past the last offset that was safe.
        durable: u64,
    },
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Record { position, offset, durable } => {
                write!(f, "the record {offset} at byte {position} knew all below {durable} to be on the disk")
            }
            Evidence::Footer { position, next_offset } => {
                write!(f, "the footer at byte {position} knew all below {next_offset} to be on the disk")
            }
            Evidence::Known { durable } => write!(f, "all below {durable} is known to have been on the disk"),
        }
    }
}

/// Judges the end of a partition's active segment.
///
/// `end` is the result of a [`Scanner`](super::Scanner) over the whole file. `rest` is the file from [`ScanEnd::position`] to its end, and
/// may be empty if nothing is bad. All offsets below `known_durable` are known to have been durable, 0 if nothing is known.
///
/// The time is linear in `rest`, also where it was made to deceive. A batch that is not complete goes as a whole. A segment with
/// a good footer is clean, whatever `known_durable` says about those that follow it.
///
/// ```
/// use sws_content::segment::{NewRecord, Scanner, SegmentHeader, Step, TailVerdict, encode_record, judge_tail};
///
/// let header = SegmentHeader { base_offset: 0, created_ms: 0, partition: 0, topic_crc: 0, compacted: false };
/// let mut file = header.encode().to_vec();
/// encode_record(&mut file, &NewRecord { offset: 0, payload: b"safe", ..NewRecord::default() })?;
/// encode_record(&mut file, &NewRecord { offset: 1, payload: b"on its way", ..NewRecord::default() })?;
/// file.truncate(file.len() - 4);
///
/// let mut scanner = Scanner::new(0);
/// let mut chunk = &file[..];
/// while let Step::Record { .. } = scanner.step(&mut chunk) {}
/// let end = scanner.finish();
/// let rest = &file[end.position as usize..];
/// assert_eq!(judge_tail(&end, rest, 0), TailVerdict::Torn { position: 116, next_offset: 1, bytes_cut: 54 });
/// assert!(matches!(judge_tail(&end, rest, 2), TailVerdict::Corrupt { position: 116, offset: 1, .. }));
/// # Ok::<(), sws_content::segment::RecordTooLarge>(())
/// ```
pub fn judge_tail(end: &ScanEnd, rest: &[u8], known_durable: u64) -> TailVerdict {
    let (position, next_offset) = (end.whole.records_bytes, end.whole.next_offset);
    if end.footer.is_some() {
        return TailVerdict::Clean { position, next_offset };
    }
    let corrupt =
        |evidence| TailVerdict::Corrupt { position: end.position, offset: end.next_offset, evidence };
    if next_offset < known_durable {
        return corrupt(Evidence::Known { durable: known_durable });
    }
    let mut bytes_cut = end.position - position;
    if end.bad.is_some() {
        if let Some(evidence) = find_evidence(end, rest) {
            return corrupt(evidence);
        }
        if let Some(written) = written_bytes(rest) {
            bytes_cut += written;
        }
    }
    match bytes_cut {
        0 => TailVerdict::Clean { position, next_offset },
        _ => TailVerdict::Torn { position, next_offset, bytes_cut },
    }
}

/// Bytes up to the last that is not zero, `None` if all are.
fn written_bytes(rest: &[u8]) -> Option<u64> {
    let mut len = rest.len();
    while len > 1024 && is_zero(&rest[len - 1024..len]) {
        len -= 1024;
    }
    rest[..len].iter().rposition(|byte| *byte != 0).map(|at| at as u64 + 1)
}

/// Looks for a good record or footer behind the bad place that says that something now bad or cut had been durable.
fn find_evidence(end: &ScanEnd, rest: &[u8]) -> Option<Evidence> {
    let cut = end.whole.next_offset;
    let compacted = end.header.is_some_and(|header| header.compacted);
    let mut crcs = PrefixCrc::new(rest);
    let mut at = 0;
    while let Some(ahead) = next_candidate(&rest[at..]) {
        at += ahead;
        let (bytes, position) = (&rest[at..], end.position + at as u64);
        if bytes.starts_with(&footer::MAGIC) {
            let found = Footer::decode(bytes).ok().filter(|found| found.records_bytes == position);
            if let Some(Footer { next_offset, .. }) = found.filter(|found| found.next_offset > cut) {
                return Some(Evidence::Footer { position, next_offset });
            }
        } else if let Ok(Measure::Whole { len }) = measure(bytes) {
            let record = view(&bytes[..len]);
            // Between the bad place and here are at least the records from the expected one to this one's.
            let ahead_max = if compacted || at == 0 { u64::MAX } else { (at / RECORD_HEADER_BYTES) as u64 };
            let plausible = record.offset >= end.next_offset && record.offset - end.next_offset <= ahead_max;
            if plausible && crcs.checksum(at, len) == u32_at(bytes, 4) {
                if record.durable > cut {
                    return Some(Evidence::Record {
                        position,
                        offset: record.offset,
                        durable: record.durable,
                    });
                }
                // Its payload is data, whatever it looks like.
                at += len;
                continue;
            }
        }
        at += 1;
    }
    None
}

/// How far ahead something could begin: a record and a footer both have their version, 1, in the byte at 8.
fn next_candidate(rest: &[u8]) -> Option<usize> {
    const { assert!(RECORD_HEADER_BYTES <= FOOTER_BYTES) };
    let last = rest.len().checked_sub(RECORD_HEADER_BYTES)?;
    rest[8..=last + 8].iter().position(|byte| *byte == 1)
}
