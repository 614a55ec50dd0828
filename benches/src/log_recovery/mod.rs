//! Opening a log that did not end in peace, beside plain reading of the same files.
//!
//! Both find the files in the page cache: it cannot be emptied here, so what a cold disk adds is to be added to both.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::log_append::local;
use crate::log_client::protocol::TOPIC;
use crate::log_client::server::Folder;
use crate::table::{Figure, Row};
use sws::Log;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each, interleaved.
    pub runs: usize,
    /// Bytes of payload in the log.
    pub bytes: u64,
    /// Bytes of a segment where there are many.
    pub segment_bytes: u64,
    /// A folder on the disk in question.
    pub dir: PathBuf,
}

/// Bytes of one plain read.
const READ_BYTES: usize = 256 * 1024;

/// Rows: many segments, and one.
pub fn measure(plan: &Plan) -> io::Result<Vec<Row>> {
    let one = plan.bytes + plan.bytes / 4;
    let ways = [("sealed segments and an active one", plan.segment_bytes), ("one active segment", one)];
    let mut rows = Vec::new();
    let mut folders = Vec::new();
    for (number, (name, segment_bytes)) in ways.into_iter().enumerate() {
        let folder = Folder::create(&plan.dir, &format!("recovery-{number}"))?;
        local::fill(folder.path(), plan.bytes, segment_bytes)?;
        folders.push(folder);
        rows.push(Row { name: name.into(), is_floor: false, runs: Vec::new() });
    }
    for _ in 0..plan.runs {
        for (row, folder) in rows.iter_mut().zip(&folders) {
            row.runs.push(measure_one(folder.path())?);
        }
    }
    Ok(rows)
}

fn measure_one(dir: &Path) -> io::Result<Vec<Figure>> {
    // What says that the log was closed: after a crash it is not there.
    match std::fs::remove_file(dir.join(TOPIC).join("0").join("checkpoint")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let plain = local::read_plain(dir, READ_BYTES)?;
    let begin = Instant::now();
    let (log, report) = Log::open(dir).map_err(io::Error::other)?;
    let opened = begin.elapsed();
    drop(log);
    if report.damage().next().is_some() || report.records() == 0 {
        return Err(io::Error::other("the log is damaged, or empty"));
    }
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new("segments", local::segments(dir)?.len() as f64, 0),
        Figure::new("MB", plain.bytes as f64 / 1e6, 0),
        Figure::new("records", report.records() as f64, 0),
        Figure::new("opened in ms", ms(opened), 1),
        Figure::new("read in ms", ms(plain.elapsed), 1),
    ])
}
