//! How a batch of a group-committed log becomes durable: each way, over a file that grows, one whose blocks are
//! allocated, and one whose blocks are written already.
//!
//! One batch is under way at a time, and the next one follows at once, as in a group commit under load. The files of a
//! run are deleted at its end, since deleting one is work for the journal and the disk.

pub mod clock;
pub mod commit;
pub mod file;
pub mod prepare;
pub mod turns;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::table::{Figure, Row};
use commit::{Call, Chain, Commit, OnLoop, OnRing, OnThread};
use file::{FileState, LogFile};
use turns::{Spent, Turns};

/// Who does what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Operations of the loop's ring.
    Ring(Chain),
    /// Calls on the loop's thread.
    Loop(Call),
    /// Calls on the log's thread.
    Thread(Call),
}

/// A way to make a batch durable, through the page cache or past it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Method {
    /// Who does what.
    pub way: Way,
    /// Whether the file is opened with O_DIRECT.
    pub direct: bool,
}

impl Method {
    /// All that are measured, in the order of the table.
    pub fn all() -> Vec<Method> {
        let ways = [
            Way::Ring(Chain::WriteThenSync),
            Way::Ring(Chain::DsyncWrite),
            Way::Loop(Call::WriteThenSync),
            Way::Loop(Call::DsyncWrite),
            Way::Thread(Call::WriteThenSync),
            Way::Thread(Call::DsyncWrite),
        ];
        let mut methods: Vec<Method> =
            ways.into_iter().flat_map(|way| [false, true].map(|direct| Method { way, direct })).collect();
        // Beside its like without the worker; buffered the two are the same.
        methods.insert(4, Method { way: Way::Ring(Chain::DsyncWriteByWorker), direct: true });
        methods
    }

    /// Its name in the table.
    pub fn name(self) -> String {
        let way = match self.way {
            Way::Ring(Chain::WriteThenSync) => "ring, WRITE -> FSYNC",
            Way::Ring(Chain::DsyncWrite) => "ring, WRITE RWF_DSYNC",
            Way::Ring(Chain::DsyncWriteByWorker) => "ring, WRITE RWF_DSYNC ASYNC",
            Way::Loop(Call::WriteThenSync) => "call, pwrite + fdatasync",
            Way::Loop(Call::DsyncWrite) => "call, pwritev2 RWF_DSYNC",
            Way::Thread(Call::WriteThenSync) => "thread, pwrite + fdatasync",
            Way::Thread(Call::DsyncWrite) => "thread, pwritev2 RWF_DSYNC",
        };
        format!("{way}, {}", if self.direct { "O_DIRECT" } else { "buffered" })
    }

    fn open(self, log: LogFile, work: Option<Duration>) -> io::Result<Box<dyn Commit>> {
        let turns = Turns::new(work)?;
        Ok(match self.way {
            Way::Ring(chain) => Box::new(OnRing::new(turns, log, chain)),
            Way::Loop(call) => Box::new(OnLoop::new(log, call)),
            Way::Thread(call) => Box::new(OnThread::start(turns, log, call)?),
        })
    }
}

/// How much to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each, interleaved.
    pub runs: usize,
    /// Measured commits in one run.
    pub commits: usize,
    /// Fewer, where they are greater than this in all.
    pub run_bytes_max: usize,
    /// Bytes of one batch: a table for each.
    pub batch_bytes: Vec<usize>,
    /// The methods.
    pub methods: Vec<Method>,
    /// Other work that the loop does in each turn, so that it never waits; none: it is idle but for the commits.
    pub work: Option<Duration>,
    /// The states of the file.
    pub states: Vec<FileState>,
    /// A folder on the disk in question; a folder is made in it, and deleted.
    pub dir: PathBuf,
}

/// Commits before the measured ones: the ring's worker and the log's thread are awake then, and the file's first
/// extent is there.
const WARMUP_COMMITS: usize = 8;
/// Even of the greatest batches there are so many.
const COMMITS_MIN: usize = 20;

impl Plan {
    fn commits_of(&self, batch_bytes: usize) -> usize {
        self.commits.min((self.run_bytes_max / batch_bytes).max(COMMITS_MIN))
    }
}

/// The rows of the table of each size of batch: each method over each state.
pub fn measure(plan: &Plan) -> io::Result<Vec<Vec<Row>>> {
    assert!(plan.runs > 0 && plan.commits > 0, "there is something to measure");
    let row = |method: &Method, state: &FileState| Row {
        name: format!("{}: {}", state.name(), method.name()),
        is_floor: false,
        runs: Vec::new(),
    };
    let rows =
        || plan.states.iter().flat_map(|state| plan.methods.iter().map(move |m| row(m, state))).collect();
    let mut tables: Vec<Vec<Row>> = plan.batch_bytes.iter().map(|_| rows()).collect();
    for _ in 0..plan.runs {
        let scratch = Scratch::new(&plan.dir, "commits")?;
        for (table, &batch_bytes) in tables.iter_mut().zip(&plan.batch_bytes) {
            let cells = plan.states.iter().flat_map(|state| plan.methods.iter().map(move |m| (*m, *state)));
            for (number, (row, (method, state))) in table.iter_mut().zip(cells).enumerate() {
                let path = scratch.path(&format!("{batch_bytes}-{number}"));
                let commits = plan.commits_of(batch_bytes);
                let log =
                    LogFile::create(&path, state, method.direct, batch_bytes, WARMUP_COMMITS + commits)?;
                row.runs.push(run(log, method, plan.work, batch_bytes, commits)?);
            }
        }
    }
    Ok(tables)
}

fn run(
    log: LogFile,
    method: Method,
    work: Option<Duration>,
    batch_bytes: usize,
    commits: usize,
) -> io::Result<Vec<Figure>> {
    let step = log.batch().len() as u64;
    let mut committer = method.open(log, work)?;
    for number in 0..WARMUP_COMMITS as u64 {
        committer.commit(number * step)?;
    }
    let mut latency = Histogram::new();
    let mut spent = Spent::default();
    let (began, cpu) = (Instant::now(), clock::process_cpu()?);
    for number in WARMUP_COMMITS..WARMUP_COMMITS + commits {
        let start = Instant::now();
        spent += committer.commit(number as u64 * step)?;
        latency.record(start.elapsed(), 1);
    }
    let (took, cpu) = (began.elapsed(), clock::process_cpu()? - cpu);
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let each = |time: Duration| us(time) / commits as f64;
    Ok(vec![
        Figure::new("p50 us", us(latency.quantile(0.5)), 0),
        Figure::new("p99 us", us(latency.quantile(0.99)), 0),
        Figure::new("MB/s", (batch_bytes * commits) as f64 / us(took), 1),
        Figure::new("CPU us/commit", each(cpu.saturating_sub(spent.work)), 1),
        Figure::new("lost to the loop, us/commit", each(spent.lost), 1),
    ])
}

/// A folder that is deleted with all that is in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(format!("log-storage-{name}-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let deleted = std::fs::remove_dir_all(&self.0);
        // What deleting leaves to the journal is not to be part of the next run.
        if let Err(error) =
            deleted.and_then(|()| File::open(self.0.parent().expect("made in a folder"))?.sync_all())
        {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_writes_each_batch_at_its_place() {
        let scratch = Scratch::new(&std::env::temp_dir(), "test").unwrap();
        for (number, method) in Method::all().into_iter().enumerate() {
            for state in FileState::ALL {
                let path = scratch.path(&format!("{number}-{}", state.name()));
                let log = LogFile::create(&path, state, method.direct, 1024, 3).unwrap();
                let step = log.batch().len();
                assert_eq!(step, if method.direct { 4096 } else { 1024 });
                let mut committer = method.open(log, None).unwrap();
                for at in [0, 2 * step] {
                    committer.commit(at as u64).unwrap();
                }
                let bytes = std::fs::read(&path).unwrap();
                let expected = [0xa5, 0, 0xa5];
                for (batch, byte) in bytes.chunks(step).zip(expected) {
                    assert!(batch.iter().all(|b| *b == byte), "{}, {state:?}", method.name());
                }
                assert!(bytes.len() >= 3 * step, "{}, {state:?}", method.name());
            }
        }
    }

    #[test]
    fn a_failure_is_told_by_its_commit() {
        for method in Method::all() {
            let log = LogFile::read_only(4096).unwrap();
            let mut committer = method.open(log, None).unwrap();
            let error = committer.commit(0).expect_err("nothing can be written there");
            assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{}", method.name());
        }
    }
}
