//! What the tests of the log on real files share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use sws_content::log::*;
use sws_runtime::{Config, Runtime};

/// A folder of its own, taken away at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn open(folder: &Folder) -> Log {
    open_with(folder, LogOptions::default())
}

pub fn open_with(folder: &Folder, options: LogOptions) -> Log {
    let (log, report) = Log::open_with(&folder.0, options).expect("a log");
    assert_eq!(report.damage().collect::<Vec<_>>(), Vec::<&str>::new());
    log
}

/// Runs `f` on a fiber of a worker that ends then.
pub fn on_worker<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    Runtime::new(Config::default()).expect("a runtime").block_on_fiber(f)
}

pub fn texts(records: &Records) -> Vec<(u64, String)> {
    records.iter().map(|r| (r.offset, String::from_utf8(r.payload.to_vec()).expect("text"))).collect()
}

pub fn all(log: &Log, topic: &str, partition: u32, from: u64) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut offset = from;
    loop {
        let records = log.fetch(topic, partition, offset, FetchMax::default()).expect("records");
        if records.next == offset {
            return found;
        }
        found.extend(texts(&records));
        offset = records.next;
    }
}
