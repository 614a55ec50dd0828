//! `sws log repair`.

use super::folder;
use super::units;
use super::verify;
use super::{Failure, Outcome, opening};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use sws_content::log::{Inspection, OpenError, RepairError};
use sws_content::storage::StdStorage;

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
    /// What is damaged, if it is more than a torn tail.
    damage: Option<String>,
}

/// Repairs a partition, or says what it would do.
pub(super) fn repair(data: &Path, args: &RepairArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let topic = folder::topic(data, &args.topic)?;
    folder::partitions(&topic, Some(args.partition))?;
    let place = format!("{}/{}", args.topic, args.partition);
    if folder::is_open(data) {
        return Err(opening(data, &OpenError::Locked { path: data.to_owned() }));
    }
    let found = verify::inspect_all(data)?;
    let found = found.iter().find(|one| one.topic == args.topic && one.partition == args.partition);
    let found = found.ok_or_else(|| Failure::at(&place, "it was deleted meanwhile"))?;
    let cut = find_cut(found)?;
    if cut.is_none() && found.damage().next().is_none() {
        let next = found.segments.last().map_or(0, |last| last.next);
        writeln!(out, "{place} is sound: nothing to do, next offset {next}")?;
        return Ok(Outcome::Done);
    }
    explain(found, cut.as_ref(), args.yes, out)?;
    if !args.yes {
        writeln!(out, "nothing was changed; with --yes this is done, and producers are let in again")?;
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
fn find_cut(found: &Inspection) -> Result<Option<Cut>, Failure> {
    let Some(last) = found.segments.last().filter(|last| !last.is_sealed) else { return Ok(None) };
    if last.damage.is_none() && last.torn_bytes == 0 {
        return Ok(None);
    }
    let end = sws_content::log::dump(&StdStorage, &last.path, last.base, |_, _| {});
    let end = end.map_err(Failure::of_file(&last.path))?;
    let position = if end.header.is_some() { end.whole.records_bytes } else { 0 };
    Ok(Some(Cut {
        path: last.path.clone(),
        position,
        bytes: last.bytes.saturating_sub(position),
        next: end.whole.next_offset,
        damage: last.damage.clone(),
    }))
}

fn explain(found: &Inspection, cut: Option<&Cut>, is_done: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let place = format!("{}/{}", found.topic, found.partition);
    let mended = cut.and_then(|cut| cut.damage.as_ref());
    for damage in found.damage().filter(|damage| mended != Some(damage)) {
        match found.poisoned.as_ref() == Some(&damage) {
            true => writeln!(out, "{place} takes nothing: {}", units::escaped(damage.trim().as_bytes()))?,
            false => writeln!(out, "not mended by a repair: {damage}")?,
        }
    }
    let Some(Cut { path, position, bytes, next, damage }) = cut else {
        let next = found.segments.last().map_or(0, |last| last.next);
        writeln!(out, "no last segment of {place} is torn or damaged: nothing to cut, next offset {next}")?;
        return Ok(());
    };
    let what = damage.clone().unwrap_or_else(|| format!("{}: a torn tail", path.display()));
    writeln!(out, "{what}")?;
    let verb = if is_done { "cutting" } else { "would cut" };
    writeln!(out, "{verb} {bytes} bytes of {} from byte {position} on", path.display())?;
    let known = match damage {
        Some(_) => "some of them were on the disk, and their producers know",
        None => "none of them is known to have been on the disk",
    };
    let lost = if is_done { "are" } else { "would be" };
    writeln!(out, "records from offset {next} on {lost} lost ({known}), and their offsets given to others")?;
    if !is_done {
        let kept = path.with_extension("cut");
        writeln!(out, "the cut bytes would be kept in {} (with a number, if there is one)", kept.display())?;
    }
    Ok(())
}
