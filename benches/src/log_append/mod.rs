//! The log without waiting for the disk, beside plain loops over the same page cache: appending, reading sealed segments, and sending
//! one by HTTP beside the same file served as a file and by a server that does nothing but `sendfile`.

pub mod floor;
pub mod local;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::log_client::protocol::TOPIC;
use crate::log_client::server::{self, Folder};
use crate::process::Server;
use crate::table::{Figure, Row};
use floor::Way;
use local::{Append, Medium, PIECE_BYTES, Took};

/// Memory that is touched before a reading of the disk: so many times what is read,
const TOUCHED: u64 = 4;
/// at most.
const TOUCHED_BYTES_MAX: u64 = 4 << 30;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each, interleaved.
    pub runs: usize,
    /// Bytes that are appended, and read, in each.
    pub bytes: u64,
    /// Answers of HTTP in each run.
    pub answers: u32,
    /// Bytes of one, and of a segment.
    pub answer_bytes: u64,
    /// The program of sws.
    pub sws: PathBuf,
    /// A folder on the disk in question.
    pub dir: PathBuf,
    /// Cores of the servers.
    pub server_cpus: Vec<usize>,
}

fn row(name: &str, is_floor: bool) -> Row {
    Row { name: name.into(), is_floor, runs: Vec::new() }
}

fn figures(took: Took) -> Vec<Figure> {
    let mb = took.bytes as f64 / 1e6;
    let cpu = if took.cpu.is_zero() { f64::NAN } else { took.cpu.as_secs_f64() * 1e6 / mb };
    vec![
        Figure::new("MB/s", mb / took.elapsed.as_secs_f64(), 0).against_floor(),
        Figure::new("CPU us/MB", cpu, 0),
    ]
}

/// Rows of appending.
pub fn measure_append(plan: &Plan, medium: Medium) -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Append::ALL.iter().map(|who| row(who.name(), *who == Append::Plain)).collect();
    for run in 0..plan.runs {
        for turn in 0..rows.len() {
            let at = (run + turn) % rows.len();
            let folder = Folder::create(&plan.dir, "append")?;
            rows[at].runs.push(figures(local::append(Append::ALL[at], medium, folder.path(), plan.bytes)?));
        }
    }
    Ok(rows)
}

/// Rows of reading sealed segments.
pub fn measure_fetch(plan: &Plan, medium: Medium) -> io::Result<Vec<Row>> {
    let folder = Folder::create(&plan.dir, "fetch")?;
    local::fill(folder.path(), plan.bytes, plan.answer_bytes)?;
    // What one fetch reads at once, and what one can.
    let chunk_bytes = 64 * 1024;
    let mut rows = vec![
        row("sws, fetches of 1 MB, checked", false),
        row("sws, as stored, reads of 64 KB", false),
        row("loop of reads of 64 KB", true),
        row("loop of reads of 256 KB", false),
    ];
    for run in 0..plan.runs {
        let readers: [&dyn Fn() -> io::Result<Took>; 4] = [
            &|| local::fetch(folder.path()),
            &|| local::fetch_stored(folder.path(), chunk_bytes),
            &|| local::read_plain(folder.path(), chunk_bytes),
            &|| local::read_plain(folder.path(), PIECE_BYTES),
        ];
        // Whoever is the first of a run has it harder on a disk that has a cache of its own.
        for turn in 0..rows.len() {
            let at = (run + turn) % rows.len();
            if medium == Medium::Disk {
                local::forget(folder.path())?;
                local::touch_memory(TOUCHED_BYTES_MAX.min(TOUCHED * plan.bytes))?;
            }
            rows[at].runs.push(figures(readers[at]()?));
        }
    }
    Ok(rows)
}

/// Rows of sending.
pub fn measure_send(plan: &Plan) -> io::Result<Vec<Row>> {
    let folder = Folder::create(&plan.dir, "send")?;
    local::fill(folder.path(), 2 * plan.answer_bytes, plan.answer_bytes + plan.answer_bytes / 8)?;
    let first = local::segments(folder.path())?.into_iter().next();
    let first = first.ok_or_else(|| io::Error::other("the log has no segment"))?;
    let name = first.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let mut sendfile = floor::start(Way::Sendfile, &first, &plan.server_cpus)?;
    let mut splice = floor::start(Way::Splice, &first, &plan.server_cpus)?;
    let mut running = server::start_sws_over(&plan.sws, folder, &[], &plan.server_cpus)?;
    let raw = format!("/topics/{TOPIC}/0?offset=0&format=raw&max_bytes={}", plan.answer_bytes);
    let file = format!("/{TOPIC}/0/{name}");
    let mut rows = vec![
        row("sws, raw fetch", false),
        row("sws, the same file", false),
        row("sendfile", true),
        row("splice on a ring", false),
    ];
    for _ in 0..plan.runs {
        rows[0].runs.push(send(plan, &running.server, &raw)?);
        rows[1].runs.push(send(plan, &running.server, &file)?);
        rows[2].runs.push(send(plan, &sendfile, "/")?);
        rows[3].runs.push(send(plan, &splice, "/")?);
    }
    running.server.stop()?;
    sendfile.stop()?;
    splice.stop()?;
    Ok(rows)
}

fn send(plan: &Plan, server: &Server, path: &str) -> io::Result<Vec<Figure>> {
    let mut buffer = vec![0; PIECE_BYTES];
    local::download(server.addr(), path, &mut buffer)?;
    let (begin, cpu) = (Instant::now(), server.cpu()?);
    let bytes = (0..plan.answers).try_fold(0, |sum, _| {
        Ok::<u64, io::Error>(sum + local::download(server.addr(), path, &mut buffer)?)
    })?;
    let elapsed = begin.elapsed();
    let (spent, _) = server.cpu()?.since(&cpu);
    if bytes < u64::from(plan.answers) * plan.answer_bytes / 2 {
        return Err(io::Error::other(format!(
            "{path} is too short: {bytes} bytes in {} answers",
            plan.answers
        )));
    }
    Ok(figures(Took { bytes, elapsed, cpu: spent.max(Duration::from_nanos(1)) }))
}
