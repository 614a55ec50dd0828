//! Reads a segment from its first byte, in chunks of any size, up to its end or the first bad byte. Sans-IO.

use std::{error, fmt};

use super::footer::{self, FOOTER_BYTES, Footer, Tally};
use super::header::{FormatError, HEADER_BYTES, SegmentHeader};
use super::record::{Measure, RecordError, RecordRef, checksum, measure, view};

/// Reads the records of a segment. Recovery and verification use it.
///
/// Chunks of any sizes give the same records and the same end. A record that lies whole in a chunk is borrowed from there;
/// only one that spans chunks is copied. Offsets must follow each other without a gap from the base (in a compacted
/// segment they must rise), and a footer must agree with all that was read.
///
/// ```
/// use sws_content::segment::{NewRecord, Scanner, SegmentHeader, Step, Tally, encode_record};
///
/// let header = SegmentHeader { base_offset: 5, created_ms: 0, partition: 0, topic_crc: 0, compacted: false };
/// let mut file = header.encode().to_vec();
/// encode_record(&mut file, &NewRecord { offset: 5, payload: b"hello", ..NewRecord::default() })?;
///
/// let (mut scanner, mut seen) = (Scanner::new(5), Vec::new());
/// for mut chunk in file.chunks(50) {
///     while let Step::Record { position, record } = scanner.step(&mut chunk) {
///         seen.push((position, record.payload.to_vec()));
///     }
/// }
/// assert_eq!(seen, [(64, b"hello".to_vec())]);
/// let end = scanner.finish();
/// assert_eq!((end.bad, end.whole.next_offset), (None, 6));
/// # Ok::<(), sws_content::segment::RecordTooLarge>(())
/// ```
#[derive(Debug)]
pub struct Scanner {
    state: State,
    base_offset: u64,
    header: Option<SegmentHeader>,
    /// Up to the last record.
    tally: Tally,
    /// Up to the end of the last whole batch.
    whole: Tally,
    /// The beginning of what spans chunks; at most one record.
    carry: Vec<u8>,
    /// The carry was lent out as a record and is done with.
    lent: bool,
    footer: Option<Footer>,
    bad: Option<Bad>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Records,
    Footer,
    /// Behind the footer, where nothing may follow.
    Sealed,
    /// In the part of a preallocated file that was not written.
    Zeros,
    Stopped,
}

/// What [`Scanner::step`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The next record.
    Record {
        /// Where it begins in the file.
        position: u64,
        /// The record.
        record: RecordRef<'a>,
    },
    /// The chunk is used up; go on with the next, or [`Scanner::finish`].
    NeedMore,
    /// Something is bad. What follows is not looked at; [`Scanner::finish`] says what it was.
    Stopped,
}

/// The first bad place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Where the record, header or footer begins that is bad.
    pub position: u64,
    /// The offset that was expected there.
    pub offset: u64,
    /// What is wrong.
    pub error: ScanError,
}

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanEnd {
    /// The segment's header, if it was good.
    pub header: Option<SegmentHeader>,
    /// The sums up to the end of the last whole batch: where writing goes on. Without a header its position is 0.
    pub whole: Tally,
    /// Where the records end: behind the last good one, which `whole` is before if its batch is not complete.
    pub position: u64,
    /// The offset that comes next at `position`.
    pub next_offset: u64,
    /// The footer, if there is one, it is right and nothing follows it.
    pub footer: Option<Footer>,
    /// The first bad place, `None` if the file is good as far as it goes.
    pub bad: Option<Bad>,
}

impl ScanEnd {
    /// The footer of a segment that has to be sealed and good.
    pub fn sealed(&self) -> Result<Footer, ScanError> {
        match (self.bad, self.footer) {
            (Some(bad), _) => Err(bad.error),
            (None, None) => Err(ScanError::Unsealed),
            (None, Some(footer)) => Ok(footer),
        }
    }
}

impl Scanner {
    /// A scanner for the segment whose name says that it begins at `base_offset`.
    pub fn new(base_offset: u64) -> Self {
        let nothing = Tally {
            count: 0,
            next_offset: base_offset,
            last_timestamp_ms: 0,
            records_bytes: 0,
            segment_crc: 0,
        };
        Self {
            state: State::Header,
            base_offset,
            header: None,
            tally: nothing,
            whole: nothing,
            carry: Vec::new(),
            lent: false,
            footer: None,
            bad: None,
        }
    }

    /// The segment's header, once it was read.
    pub fn header(&self) -> Option<&SegmentHeader> {
        self.header.as_ref()
    }

    /// Takes what it needs from the front of `input` and returns the next record, if there is a whole one.
    pub fn step<'b, 'i: 'b>(&'b mut self, input: &mut &'i [u8]) -> Step<'b> {
        if self.lent {
            self.carry.clear();
            self.lent = false;
        }
        let Some(len) = self.find(input) else {
            return if self.state == State::Stopped { Step::Stopped } else { Step::NeedMore };
        };
        let bytes: &'b [u8] = if self.carry.is_empty() {
            let (record, rest) = input.split_at(len);
            *input = rest;
            record
        } else {
            self.lent = true;
            &self.carry
        };
        let (position, record) = (self.tally.records_bytes, view(bytes));
        let compacted = self.header.is_some_and(|header| header.compacted);
        if let Err(error) = check(bytes, &record, self.tally.next_offset, compacted) {
            (self.state, self.bad) =
                (State::Stopped, Some(Bad { position, offset: self.tally.next_offset, error }));
            return Step::Stopped;
        }
        self.tally.push_record(bytes, &record);
        if !record.more || compacted {
            self.whole = self.tally;
        }
        Step::Record { position, record }
    }

    /// Ends the scan: the file has no more bytes.
    pub fn finish(mut self) -> ScanEnd {
        // Zeros too few to be a length, at the end of a preallocated file, or nothing.
        let zeros = is_zero(&self.carry);
        match self.state {
            State::Header | State::Footer => self.stop(ScanError::Truncated),
            State::Records if !self.lent && !zeros => self.stop(ScanError::Truncated),
            State::Records | State::Sealed | State::Zeros | State::Stopped => {}
        }
        ScanEnd {
            header: self.header,
            whole: self.whole,
            position: self.tally.records_bytes,
            next_offset: self.tally.next_offset,
            footer: self.footer,
            bad: self.bad,
        }
    }

    /// Goes on to a whole record, of which it returns the length: the carry if there is one, else the front of `input`.
    ///
    /// What was carried is looked at even when the input is used up, so that the end does not depend on where chunks end.
    fn find(&mut self, input: &mut &[u8]) -> Option<usize> {
        while !input.is_empty() || (self.state == State::Records && !self.carry.is_empty()) {
            match self.state {
                State::Header => self.take_header(input),
                State::Footer => self.take_footer(input),
                State::Records => match front(if self.carry.is_empty() { input } else { &self.carry }) {
                    Front::Record { len } => return Some(len),
                    Front::NeedMore { at_least } => {
                        if !self.gather(input, at_least) {
                            return None;
                        }
                    }
                    Front::Footer => self.state = State::Footer,
                    Front::End => {
                        self.carry.clear();
                        self.state = State::Zeros;
                    }
                    Front::Bad(error) => self.stop(ScanError::Record(error)),
                },
                State::Zeros if is_zero(input) => *input = &[],
                State::Zeros => self.stop(ScanError::Gap),
                State::Sealed => {
                    self.footer = None;
                    self.stop(ScanError::Trailing);
                }
                State::Stopped => return None,
            }
        }
        None
    }

    /// Fills the carry up to `len` bytes, and says whether it is that full.
    fn gather(&mut self, input: &mut &[u8], len: usize) -> bool {
        let (taken, rest) = input.split_at(input.len().min(len - self.carry.len()));
        self.carry.extend_from_slice(taken);
        *input = rest;
        self.carry.len() == len
    }

    fn take_header(&mut self, input: &mut &[u8]) {
        if !self.gather(input, HEADER_BYTES) {
            return;
        }
        match SegmentHeader::decode(&self.carry) {
            Err(error) => self.stop(ScanError::Header(error)),
            Ok(header) if header.base_offset != self.base_offset => {
                self.stop(ScanError::Base { found: header.base_offset });
            }
            Ok(header) => {
                self.carry.clear();
                self.tally = Tally::new(&header);
                self.whole = self.tally;
                self.header = Some(header);
                self.state = State::Records;
            }
        }
    }

    fn take_footer(&mut self, input: &mut &[u8]) {
        if !self.gather(input, FOOTER_BYTES) {
            return;
        }
        let found = match Footer::decode(&self.carry) {
            Err(error) => return self.stop(ScanError::Footer(error)),
            Ok(found) => found,
        };
        let mut expected = self.tally.footer();
        if self.header.is_some_and(|header| header.compacted) && found.next_offset > expected.next_offset {
            // Compaction may have taken the last records.
            expected.next_offset = found.next_offset;
        }
        if found != expected || self.whole != self.tally {
            return self.stop(ScanError::FooterMismatch);
        }
        self.carry.clear();
        self.footer = Some(found);
        self.state = State::Sealed;
    }

    fn stop(&mut self, error: ScanError) {
        self.state = State::Stopped;
        self.bad = Some(Bad { position: self.tally.records_bytes, offset: self.tally.next_offset, error });
    }
}

/// Whether a whole record is good, and the one that belongs there.
fn check(bytes: &[u8], record: &RecordRef<'_>, next_offset: u64, compacted: bool) -> Result<(), ScanError> {
    if checksum(bytes) != super::le::u32_at(bytes, 4) {
        return Err(ScanError::Record(RecordError::Checksum));
    }
    if record.offset < next_offset || (record.offset > next_offset && !compacted) {
        return Err(ScanError::Offset { found: record.offset });
    }
    Ok(())
}

enum Front {
    Record { len: usize },
    NeedMore { at_least: usize },
    Footer,
    End,
    Bad(RecordError),
}

/// What begins at a record's place. A footer's magic reads as a length that no record has.
fn front(bytes: &[u8]) -> Front {
    match measure(bytes) {
        Ok(Measure::Whole { len }) => Front::Record { len },
        Ok(Measure::NeedMore { at_least }) => Front::NeedMore { at_least },
        Ok(Measure::End) => Front::End,
        Err(_) if bytes.starts_with(&footer::MAGIC) => Front::Footer,
        Err(RecordError::Length(_)) if footer::MAGIC.starts_with(bytes) => {
            Front::NeedMore { at_least: bytes.len() + 1 }
        }
        Err(error) => Front::Bad(error),
    }
}

/// Whether all bytes are zero, by blocks that the processor takes many bytes of at once.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(1024).all(|block| block.iter().fold(0, |any, byte| any | byte) == 0)
}

/// What is wrong in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanError {
    /// The segment's header is bad.
    Header(FormatError),
    /// The header says another base offset than the file's name.
    Base {
        /// The base offset of the header.
        found: u64,
    },
    /// A record is bad.
    Record(RecordError),
    /// A good record is not the one that belongs there.
    Offset {
        /// Its offset.
        found: u64,
    },
    /// The file ends within its header, a record or the footer.
    Truncated,
    /// There are zeros where a record belongs, and something else behind them.
    Gap,
    /// The footer is bad.
    Footer(FormatError),
    /// The footer is good in itself and is not that of the records before it.
    FooterMismatch,
    /// Something follows the footer.
    Trailing,
    /// There is no footer where one has to be.
    Unsealed,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "the segment's header: {error}"),
            Self::Base { found } => write!(f, "the header says base offset {found}, not that of the name"),
            Self::Record(error) => write!(f, "a record: {error}"),
            Self::Offset { found } => write!(f, "a record with offset {found} is out of place"),
            Self::Truncated => f.write_str("the file ends too early"),
            Self::Gap => f.write_str("zeros where a record belongs, with something behind them"),
            Self::Footer(error) => write!(f, "the footer: {error}"),
            Self::FooterMismatch => f.write_str("the footer does not agree with the records"),
            Self::Trailing => f.write_str("something follows the footer"),
            Self::Unsealed => f.write_str("the footer is missing"),
        }
    }
}

impl error::Error for ScanError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Header(error) | Self::Footer(error) => Some(error),
            Self::Record(error) => Some(error),
            Self::Base { .. }
            | Self::Offset { .. }
            | Self::Truncated
            | Self::Gap
            | Self::FooterMismatch
            | Self::Trailing
            | Self::Unsealed => None,
        }
    }
}
