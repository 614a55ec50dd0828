//! How long a partition of a gigabyte takes to be opened after a crash, beside reading its files. Not a test that can fail on time: it
//! prints what it measured.
#![cfg(not(sws_sim))]

use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sws_content::log::{Acks, Entry, Log, ProduceOptions, TopicConfig};
use sws_runtime::{Config, Runtime};

const BYTES: u64 = 1 << 30;
const PAYLOAD: usize = 1024;
const BATCH: usize = 1000;
const RUNS: usize = 5;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What was measured is said.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Fills a partition, and leaves it as a crash would: nothing is closed.
fn fill(dir: &Path, segment_bytes: u64) -> u64 {
    let (log, _) = Log::open(dir).expect("opened");
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let records = runtime.block_on_fiber(move || {
        let config = TopicConfig::default().segment_bytes(segment_bytes);
        log.create_topic("t", config).expect("made");
        let mut rng = fastrand::Rng::with_seed(1);
        let mut records = 0;
        while records * (PAYLOAD as u64) < BYTES {
            let payloads: Vec<Vec<u8>> =
                (0..BATCH).map(|_| (0..PAYLOAD).map(|_| rng.u8(..)).collect()).collect();
            let entries: Vec<_> = payloads.iter().map(|payload| Entry::bytes(payload)).collect();
            log.produce_batch("t", &entries, ProduceOptions::default().acks(Acks::Durable))
                .expect("produced");
            records += BATCH as u64;
        }
        records
    });
    // What the log writes at its end is not there after a crash.
    drop(runtime);
    match std::fs::remove_file(dir.join("t/0/checkpoint")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => records,
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("t/0")).expect("listed");
    entries.map(|entry| entry.expect("listed").path()).collect()
}

/// Has the page cache forget the files.
fn forget(dir: &Path) {
    for path in files(dir) {
        let file = File::open(path).expect("opened");
        file.sync_all().expect("synced");
        fadvise(&file, 0, None, Advice::DontNeed).expect("advised");
    }
}

/// Reads all files by plain calls.
fn read(dir: &Path) -> Duration {
    let begin = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    for path in files(dir) {
        let mut file = File::open(path).expect("opened");
        while file.read(&mut buffer).expect("read") > 0 {}
    }
    begin.elapsed()
}

fn open(dir: &Path, records: u64) -> Duration {
    let begin = Instant::now();
    let (_log, report) = Log::open(dir).expect("opened");
    let time = begin.elapsed();
    assert_eq!((report.records(), report.damage().count()), (records, 0));
    time
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement: a gigabyte is written and read several times"]
fn recovery_of_a_gigabyte() {
    for segment_bytes in [2 << 30, 64 << 20] {
        // On the disk of the build, as a folder for temporary files may lie in memory.
        let folder =
            Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("recovery-{}", std::process::id())));
        let records = fill(&folder.0, segment_bytes);
        for is_cold in [true, false] {
            let (mut reading, mut opening) = (Vec::new(), Vec::new());
            for _ in 0..RUNS {
                for (times, run) in [(&mut reading, true), (&mut opening, false)] {
                    if is_cold {
                        forget(&folder.0);
                    }
                    times.push(if run { read(&folder.0) } else { open(&folder.0, records) });
                }
            }
            eprintln!(
                "{records} records of {PAYLOAD} bytes, {} files, {}: opened in {:.2?}, read by plain calls in {:.2?}",
                files(&folder.0).len(),
                if is_cold { "not in the page cache" } else { "in the page cache" },
                median(opening),
                median(reading),
            );
        }
    }
}
