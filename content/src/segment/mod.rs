//! The segment format, version 1: how records lie in a file, and what a reader makes of a file that is not whole. Pure: no
//! file, no clock. The byte tables, each field with its reason, stand in `docs/segment-format.md`.
//!
//! ```text
//! 0        64                                                 records_bytes
//! | header | record | record | record | ...          | record | footer (when sealed)
//! | header | record | record | ...  | zeros (preallocated)      the active segment has no footer
//!
//! write    SegmentHeader::encode, encode_record, Tally::push, Tally::footer, IndexBuilder
//! read     SegmentHeader::decode, decode_record, Footer::find, Index::lookup
//! check    Scanner: any chunks of a file -> its records, until the first bad byte
//!          judge_tail: what lies behind the bad byte -> Clean | Torn | Corrupt
//! ```
//!
//! A record says with `durable` which offsets were safe when it was written. So a bad record before a good one that knew it
//! to be safe is corruption, which is never cut; only what was never acknowledged is a torn tail.

mod footer;
mod header;
mod index;
mod le;
mod prefix;
mod record;
mod scan;
mod tail;

pub use footer::{FOOTER_BYTES, Footer, Tally};
pub use header::{FormatError, HEADER_BYTES, SegmentHeader, topic_crc};
pub use index::{INDEX_INTERVAL_BYTES, Index, IndexBuilder, IndexEntry, IndexError, ProducerEntry};
pub(crate) use record::view as view_record;
pub use record::{
    Decoded, KEY_BYTES_MAX, NewRecord, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, RecordError, RecordRef,
    RecordTooLarge, decode_record, encode_record,
};
pub use scan::{Bad, ScanEnd, ScanError, Scanner, Step};
pub use tail::{Evidence, TailVerdict, judge_tail};

#[cfg(test)]
mod tests;
