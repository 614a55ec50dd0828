//! `sws log dump`.

use super::folder;
use super::units;
use super::{Failure, Outcome};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use sws_content::segment::{
    FOOTER_BYTES, FormatError, HEADER_BYTES, Index, IndexError, RecordRef, ScanEnd, SegmentHeader,
    TailVerdict, judge_tail,
};
use sws_content::storage::{StdStorage, StorageFile, read_file, read_full_at};

/// Bytes of an index file, at most.
const INDEX_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Characters of a payload in its record's line.
const PREVIEW_CHARS: usize = 60;
/// Bytes shown of a bad place.
const BAD_BYTES: usize = 64;

/// The file, and what of it is shown.
#[derive(Args, Debug)]
pub(super) struct DumpArgs {
    /// A segment (.seg) or an index (.idx).
    file: PathBuf,
    /// Show records from this offset on.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,
    /// Show so many records [default: all]. The others are read all the same.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    max: u64,
    /// Show all bytes.
    #[arg(long)]
    hex: bool,
}

/// Prints a file, and where it goes bad.
pub(super) fn dump(args: &DumpArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    match args.file.extension().and_then(|extension| extension.to_str()) {
        Some("idx") => dump_index(args, out),
        _ => dump_segment(args, out),
    }
}

fn dump_segment(args: &DumpArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let path = &args.file;
    let file = File::open(path).map_err(Failure::of_file(path))?;
    let (bytes, header) = read_header(path, &file)?;
    if matches!(header, Err(FormatError::Magic | FormatError::Truncated)) {
        require_name(path)?;
    }
    let base = match (folder::base_of(path), &header) {
        (Some(base), _) => base,
        (None, Ok(header)) => header.base_offset,
        (None, Err(_)) => 0,
    };
    match &header {
        Ok(header) => writeln!(
            out,
            "header at byte 0: base offset {}, made {}, partition {}, topic crc {:08x}{}",
            header.base_offset,
            units::time(header.created_ms),
            header.partition,
            header.topic_crc,
            if header.compacted { ", compacted" } else { "" }
        )?,
        Err(what) => writeln!(out, "header at byte 0: bad: {what}")?,
    }
    if args.hex {
        write!(out, "{}", units::hexdump(0, &bytes))?;
    }
    let (mut shown, mut failure) = (0, None);
    let end = sws_content::log::dump(&StdStorage, path, base, |position, record| {
        if record.offset >= args.from && shown < args.max && failure.is_none() {
            shown += 1;
            failure = show(args, &file, position, record, out).err();
        }
    });
    let end = end.map_err(Failure::of_file(path))?;
    match failure {
        Some(failure) => Err(failure),
        None => show_end(args, &file, &end, out),
    }
}

/// Fails for a file that does not begin as a file of a log does, and has no such name either: it is none, and nothing of it is torn.
fn require_name(path: &Path) -> Result<(), Failure> {
    match folder::base_of(path) {
        Some(_) => Ok(()),
        None => Err(Failure::at(path.display(), "this is no segment and no index of a log")),
    }
}

fn read_header(path: &Path, file: &File) -> Result<(Vec<u8>, Result<SegmentHeader, FormatError>), Failure> {
    let mut bytes = vec![0; HEADER_BYTES];
    let filled = read_full_at(file, &mut bytes, 0).map_err(Failure::of_file(path))?;
    bytes.truncate(filled);
    let header = SegmentHeader::decode(&bytes);
    Ok((bytes, header))
}

fn show(
    args: &DumpArgs,
    file: &File,
    position: u64,
    record: &RecordRef<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    write!(
        out,
        "record at byte {position}: offset {}, {}, {} bytes",
        record.offset,
        units::time(record.timestamp_ms),
        record.encoded_len
    )?;
    let flags = [(record.tombstone, "tombstone"), (record.more, "more"), (record.text, "text")];
    for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
        write!(out, ", {name}")?;
    }
    write!(out, ", durable {}", record.durable)?;
    if record.producer_id != 0 {
        write!(out, ", producer {} sequence {}", record.producer_id, record.sequence)?;
    }
    if let Some(key) = record.key {
        write!(out, ", key [{}]", preview(key))?;
    }
    writeln!(out, ", payload of {} bytes: {}", record.payload.len(), preview(record.payload))?;
    if args.hex {
        write_hex(args, file, position, record.encoded_len, out)?;
    }
    Ok(())
}

/// The beginning of some bytes.
fn preview(bytes: &[u8]) -> String {
    // A character has at most 4 bytes; what is cut within one is cut away again below.
    let text = units::escaped(&bytes[..bytes.len().min(PREVIEW_CHARS * 4)]);
    let mut short: String = text.chars().take(PREVIEW_CHARS).collect();
    if short.len() < text.len() || bytes.len() > PREVIEW_CHARS * 4 {
        short.push('…');
    }
    short
}

fn write_hex(
    args: &DumpArgs,
    file: &File,
    position: u64,
    len: usize,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut bytes = vec![0; len];
    let filled = read_full_at(file, &mut bytes, position).map_err(Failure::of_file(&args.file))?;
    write!(out, "{}", units::hexdump(position, &bytes[..filled]))?;
    Ok(())
}

/// Says how the file ends, and what that means.
fn show_end(args: &DumpArgs, file: &File, end: &ScanEnd, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let size = file.size().map_err(Failure::of_file(&args.file))?;
    if let Some(footer) = end.footer {
        writeln!(
            out,
            "footer at byte {}: {} records, next offset {}, last {}, segment crc {:08x}",
            footer.records_bytes,
            footer.count,
            footer.next_offset,
            units::time(footer.last_timestamp_ms),
            footer.segment_crc
        )?;
        if args.hex {
            write_hex(args, file, footer.records_bytes, FOOTER_BYTES, out)?;
        }
        return Ok(Outcome::Done);
    }
    let (count, position) = (end.whole.count, end.whole.records_bytes);
    let Some(bad) = end.bad else {
        writeln!(
            out,
            "no footer: {count} records up to byte {position}, next offset {}, then {} zeros",
            end.whole.next_offset,
            size.saturating_sub(end.position)
        )?;
        return Ok(Outcome::Done);
    };
    writeln!(out, "bad at byte {} (offset {}): {}", bad.position, bad.offset, bad.error)?;
    if args.hex {
        write_hex(args, file, bad.position, BAD_BYTES, out)?;
    }
    let mut rest = vec![0; size.saturating_sub(end.position) as usize];
    let filled = read_full_at(file, &mut rest, end.position).map_err(Failure::of_file(&args.file))?;
    match judge_tail(end, &rest[..filled], 0) {
        TailVerdict::Clean { .. } => {
            writeln!(out, "only zeros follow: {count} records up to byte {position}")?
        }
        TailVerdict::Torn { position, bytes_cut, next_offset } => {
            writeln!(
                out,
                "nothing in the file says that what follows was on the disk: in a last segment it is a torn tail of {bytes_cut} bytes from byte {position} on, next offset {next_offset} (`sws log verify` looks at the checkpoint, too)"
            )?;
        }
        TailVerdict::Corrupt { evidence, .. } => {
            writeln!(out, "damaged: {evidence}; {count} records up to byte {position} are good")?;
        }
    }
    Ok(Outcome::Wanting)
}

fn dump_index(args: &DumpArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let path = &args.file;
    let bytes = read_file(&StdStorage, path, INDEX_BYTES_MAX).map_err(Failure::of_file(path))?;
    let index = Index::decode(&bytes);
    if matches!(index, Err(IndexError::Magic | IndexError::Length)) {
        require_name(path)?;
    }
    if args.hex {
        write!(out, "{}", units::hexdump(0, &bytes))?;
    }
    let index = match index {
        Ok(index) => index,
        Err(error) => {
            writeln!(out, "bad: {error}; it is made again from its segment when the log is opened")?;
            return Ok(Outcome::Wanting);
        }
    };
    writeln!(
        out,
        "index of {} bytes: base offset {}, segment of {} bytes, {} entries, {} producers",
        bytes.len(),
        index.base_offset,
        index.segment_bytes,
        index.entries.len(),
        index.producers.len()
    )?;
    let most = usize::try_from(args.max).unwrap_or(usize::MAX);
    for entry in index.entries.iter().filter(|entry| entry.offset >= args.from).take(most) {
        let time = units::time(entry.timestamp_ms);
        writeln!(out, "entry: offset {} at byte {}, {time}", entry.offset, entry.position)?;
    }
    for producer in &index.producers {
        writeln!(
            out,
            "producer {}: sequence {} at offset {}, {}",
            producer.producer_id,
            producer.sequence,
            producer.offset,
            units::time(producer.timestamp_ms)
        )?;
    }
    Ok(Outcome::Done)
}
