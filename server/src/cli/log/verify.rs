//! `sws log verify`.

use super::folder;
use super::units;
use super::{Failure, Outcome};
use clap::Args;
use std::io::{ErrorKind, Write};
use std::path::Path;
use sws_content::log::{Inspection, OpenError, inspect};
use sws_content::storage::StdStorage;

/// Attempts to read a log from which a server takes segments meanwhile.
const ATTEMPTS_MAX: u32 = 5;

/// What is verified.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// One topic [default: all].
    topic: Option<String>,
}

/// Reads every byte, and says what is wrong.
pub(super) fn verify(data: &Path, args: &VerifyArgs, out: &mut dyn Write) -> Result<Outcome, Failure> {
    folder::require(data)?;
    if let Some(topic) = &args.topic {
        folder::topic(data, topic)?;
    }
    let was_open = folder::is_open(data);
    let mut found = inspect_all(data)?;
    let is_open = was_open || folder::is_open(data);
    found.retain(|inspection| args.topic.as_ref().is_none_or(|topic| inspection.topic == *topic));
    write!(out, "{}", units::table(&rows(&found), 1))?;
    let mut damaged = 0;
    for inspection in &found {
        let place = format!("{}/{}", inspection.topic, inspection.partition);
        for segment in inspection.segments.iter().filter(|segment| segment.torn_bytes > 0) {
            writeln!(
                out,
                "torn: {place}: {}: {} bytes at its end",
                segment.path.display(),
                segment.torn_bytes
            )?;
        }
        for damage in inspection.damage() {
            damaged += 1;
            writeln!(out, "damaged: {place}: {}", units::escaped(damage.trim().as_bytes()))?;
        }
    }
    if is_open {
        writeln!(
            out,
            "another process has the log open: what is torn may be a batch on its way to the disk"
        )?;
    }
    match damaged {
        0 => writeln!(out, "no damage")?,
        _ => writeln!(out, "damage: {damaged}")?,
    }
    Ok(if damaged == 0 { Outcome::Done } else { Outcome::Wanting })
}

/// Reads all of a log.
pub(super) fn inspect_all(data: &Path) -> Result<Vec<Inspection>, Failure> {
    let mut attempts = 1;
    loop {
        match inspect(&StdStorage, data) {
            Err(OpenError::Storage { source, .. })
                if source.kind() == ErrorKind::NotFound && attempts < ATTEMPTS_MAX =>
            {
                attempts += 1;
            }
            result => return result.map_err(|error| Failure::Said(error.to_string())),
        }
    }
}

fn rows(found: &[Inspection]) -> Vec<Vec<String>> {
    let head = ["topic", "partition", "records", "segments", "file bytes", "torn", "state"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for inspection in found {
        let sum =
            |of: fn(&sws_content::log::SegmentInfo) -> u64| inspection.segments.iter().map(of).sum::<u64>();
        let torn = sum(|segment| segment.torn_bytes);
        let state = match (inspection.damage().next(), torn) {
            (Some(_), _) => "damaged",
            (None, 0) => "ok",
            (None, _) => "torn",
        };
        rows.push(vec![
            units::escaped(inspection.topic.as_bytes()),
            inspection.partition.to_string(),
            sum(|segment| segment.records).to_string(),
            inspection.segments.len().to_string(),
            sum(|segment| segment.bytes).to_string(),
            torn.to_string(),
            state.to_owned(),
        ]);
    }
    rows
}
