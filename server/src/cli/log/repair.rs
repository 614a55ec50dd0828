//! `sws log repair`.

use super::folder;
use super::units;
use super::{Failure, Outcome, opening};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use sws_content::log::RepairError;
use sws_content::segment::{Evidence, ScanEnd, TailVerdict, judge_tail};
use sws_content::storage::{StdStorage, StorageFile, read_full_at};

/// The partition to be repaired.
#[derive(Args, Debug)]
pub(super) struct RepairArgs {
    /// The topic.
    topic: String,
    /// The partition.
    partition: u32,
    /// Do it; without this it is only said what would be done.
    #[arg(long)]
    yes: bool,
}

/// What would be cut from a last segment.
struct Cut {
    path: PathBuf,
    /// From here on.
    position: u64,
    bytes: u64,
    /// The first offset that is free again.
    next: u64,
    /// One past the last offset that is known to have been on the disk, if that is known.
    durable: Option<u64>,
    /// What is wrong.
    what: String,
}

/// Repairs a partition, or says what it would do.
pub(super) fn repair(data: &Path, args: &RepairArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let topic = folder::topic(data, &args.topic)?;
    folder::partitions(&topic, Some(args.partition))?;
    let place = format!("{}/{}", args.topic, args.partition);
    if folder::is_open(data) {
        return Err(opening(data, &sws_content::log::OpenError::Locked { path: data.to_owned() }));
    }
    let dir = topic.partition(args.partition);
    let view = folder::view(&dir)?;
    let cut = find_cut(&dir)?;
    if let Some(reason) = &view.poisoned {
        writeln!(out, "{place} takes nothing more: {}", units::escaped(reason.trim().as_bytes()))?;
    }
    match &cut {
        Some(cut) => explain(cut, args.yes, out)?,
        None if view.segments == 0 => writeln!(out, "{place} has no segment, so nothing is cut")?,
        None => {
            writeln!(out, "the last segment of {place} is whole: nothing is cut, next offset {}", view.high)?
        }
    }
    if !args.yes {
        let effect = "the partition is open to producers again, if it was not";
        writeln!(out, "with --yes this is done, and {effect}; look with `sws log verify` and `dump` first")?;
        return Ok(Outcome::Wanting);
    }
    out.flush()?;
    let repaired = sws_content::log::repair(&StdStorage, data, &args.topic, args.partition);
    let repaired = repaired.map_err(|error| match &error {
        RepairError::Open(inner) => opening(data, inner),
        error => Failure::at(&place, error),
    })?;
    match (&repaired.kept_in, repaired.bytes_cut) {
        (Some(kept), bytes) => writeln!(out, "cut {bytes} bytes, kept in {}", kept.display())?,
        (None, 0) => writeln!(out, "cut nothing")?,
        (None, bytes) => writeln!(out, "cut {bytes} bytes, all of them zeros")?,
    }
    writeln!(out, "{place} goes on with offset {}", repaired.next)?;
    Ok(Outcome::Done)
}

/// What of the last segment is behind its last good record.
fn find_cut(dir: &Path) -> Result<Option<Cut>, Failure> {
    let Some(&base) = folder::bases(dir)?.last() else { return Ok(None) };
    let path = folder::segment_path(dir, base);
    let failed = Failure::of_file(&path);
    let file = File::open(&path).map_err(&failed)?;
    let end = sws_content::log::dump(&StdStorage, &path, base, |_, _| {}).map_err(&failed)?;
    let size = file.size().map_err(&failed)?;
    let mut rest = vec![0; size.saturating_sub(end.position) as usize];
    let filled = read_full_at(&file, &mut rest, end.position).map_err(&failed)?;
    let (what, durable) = match judge_tail(&end, &rest[..filled], 0) {
        TailVerdict::Clean { .. } => return Ok(None),
        TailVerdict::Torn { .. } => (reason(&end), None),
        TailVerdict::Corrupt { evidence, .. } => {
            let durable = match evidence {
                Evidence::Record { durable, .. } | Evidence::Known { durable } => durable,
                Evidence::Footer { next_offset, .. } => next_offset,
            };
            (format!("{}; {evidence}", reason(&end)), Some(durable))
        }
    };
    let position = if end.header.is_some() { end.whole.records_bytes } else { 0 };
    drop(failed);
    Ok(Some(Cut { path, position, bytes: size - position, next: end.whole.next_offset, durable, what }))
}

fn reason(end: &ScanEnd) -> String {
    match end.bad {
        Some(bad) => format!("bad at byte {} (offset {}): {}", bad.position, bad.offset, bad.error),
        None => "it ends within a batch".to_owned(),
    }
}

fn explain(cut: &Cut, is_done: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let path = cut.path.display();
    let (verb, lost) = if is_done { ("cutting", "are lost") } else { ("would cut", "would be lost") };
    writeln!(out, "{path}: {}", cut.what)?;
    writeln!(out, "{verb} {} bytes from byte {} on", cut.bytes, cut.position)?;
    match cut.durable {
        Some(durable) if durable > cut.next => writeln!(
            out,
            "the records from offset {} on {lost}; those up to {} were on the disk, and their producers know",
            cut.next,
            durable - 1
        )?,
        Some(_) | None => {
            writeln!(
                out,
                "records from offset {} on {lost}; none of them is known to have been on the disk",
                cut.next
            )?;
        }
    }
    if !is_done {
        let kept = cut.path.with_extension("cut");
        writeln!(out, "the cut bytes would be kept in {} (with a number, if there is one)", kept.display())?;
    }
    Ok(())
}
