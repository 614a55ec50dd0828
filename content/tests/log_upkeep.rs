//! What becomes of records that were written: retention, compaction, deletion; and how they are read again.

mod log_common;

use log_common::*;
use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use sws_content::log::*;
use sws_content::storage::{DirEntry, RingStorage, SharedFile, Storage};
use sws_runtime::{cancel_fiber, current_fiber, go, sleep, yield_now};

#[test]
fn retention_takes_whole_segments_and_says_so() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker({
        let log = log.clone();
        move || {
            let config = TopicConfig::default().segment_bytes(4096).retain_bytes(10_000);
            log.create_topic("t", config).expect("a topic");
            let text = "x".repeat(500);
            for _ in 0..100 {
                log.produce("t", Entry::text(&text), Acks::Written).expect("an ack");
            }
            log.maintain().expect("open");
            let info = log.topic("t").expect("it is there").partitions[0].clone();
            assert!(info.low > 50 && info.bytes <= 10_000, "{info:?}");
            let max = FetchMax::default();
            assert!(
                matches!(log.fetch("t", 0, 0, max), Err(FetchError::OutOfRange { low, .. }) if low == info.low)
            );
            assert_eq!(
                log.fetch("t", 0, info.low, max).expect("records").iter().next().expect("one").offset,
                info.low
            );
            log.close();
        }
    });
    drop(log);
    let log = open(&folder);
    on_worker(move || assert_eq!(log.range("t", 0).expect("a range").1, 100));
}

#[test]
fn old_records_go_and_their_numbers_stay_used() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker({
        let log = log.clone();
        move || {
            log.create_topic("t", TopicConfig::default().retain_for(Duration::from_secs(3600)))
                .expect("a topic");
            for _ in 0..3 {
                log.produce("t", Entry::text("x").timestamp_ms(1000), Acks::Durable).expect("an ack");
            }
            log.maintain().expect("open");
            assert_eq!(log.range("t", 0).expect("a range"), (3, 3));
        }
    });
    drop(log);
    let log = open(&folder);
    on_worker(move || {
        assert_eq!(log.range("t", 0).expect("a range"), (3, 3));
        assert_eq!(log.produce("t", Entry::text("x"), Acks::Durable).expect("an ack").offset, 3);
    });
}

#[test]
fn compaction_keeps_the_last_of_each_key() {
    let folder = Folder::new();
    let options =
        LogOptions { compaction_bytes_per_second: u64::MAX, recent_bytes_max: 0, ..LogOptions::default() };
    let log = open_with(&folder, options.clone());
    on_worker({
        let log = log.clone();
        move || {
            let config = TopicConfig::default().segment_bytes(4096).compact(true);
            log.create_topic("t", config).expect("a topic");
            for n in 0..400u64 {
                let (key, text) = (format!("key {}", n % 7), format!("value {n}"));
                log.produce("t", Entry::text(&text).key(&key), Acks::Written).expect("an ack");
            }
            log.produce("t", Entry::tombstone("key 3"), Acks::Durable).expect("an ack");
            // One that runs already is waited for; indexes are written beside it.
            let bytes = || log.topic("t").expect("it is there").partitions[0].bytes;
            while {
                let before = bytes();
                log.maintain().expect("open");
                before != bytes() || before > 8000
            } {}
            check_compacted(&log);
            log.close();
        }
    });
    drop(log);
    let log = open_with(&folder, options);
    on_worker(move || check_compacted(&log));
}

fn check_compacted(log: &Log) {
    let found = all(log, "t", 0, 0);
    assert!(found.len() < 100, "{}", found.len());
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets rise");
    for n in 393..400 {
        assert!(found.contains(&(n, format!("value {n}"))), "the last of each key is there: {n}");
    }
    let (offset, _) = found[0];
    let from_gap = all(log, "t", 0, offset + 1);
    assert_eq!(from_gap, found[1..], "reading can begin in a gap");
    let stored = log.fetch_stored("t", 0, offset, u64::MAX).expect("no error");
    assert!(stored.is_none(), "there are gaps in it: {stored:?}");
}

#[test]
fn a_deleted_topic_is_gone_and_its_name_free() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker(move || {
        log.create_topic("room/1", TopicConfig::default()).expect("a topic");
        assert!(matches!(log.create_topic("room/1", TopicConfig::default()), Err(TopicError::Exists)));
        assert!(matches!(log.create_topic("a#b", TopicConfig::default()), Err(TopicError::Name)));
        log.produce("room/1", Entry::text("x"), Acks::Durable).expect("an ack");
        let waiting = go("waiting", {
            let log = log.clone();
            move || log.fetch_wait("room/1", 0, 1, FetchMax::default(), Duration::from_secs(60)).map(drop)
        });
        sws_runtime::yield_now().expect("not cancelled");
        log.delete_topic("room/1").expect("deleted");
        assert!(matches!(waiting.join(), Ok(Err(FetchError::UnknownTopic))));
        assert!(log.topics().expect("open").is_empty());
        log.create_topic("room/1", TopicConfig::default()).expect("a topic");
        assert_eq!(log.produce("room/1", Entry::text("x"), Acks::Durable).expect("an ack").offset, 0);
    });
}

#[test]
fn a_fetch_reads_each_chunk_once_and_none_that_it_does_not_want() {
    let folder = Folder::new();
    let log = open_with(&folder, LogOptions { recent_bytes_max: 0, ..LogOptions::default() });
    on_worker(move || {
        log.create_topic("t", TopicConfig::default().segment_bytes(300_000)).expect("a topic");
        let text = "x".repeat(1000);
        for _ in 0..1000 {
            log.produce("t", Entry::text(&text), Acks::None).expect("taken in");
        }
        log.flush("t").expect("written");
        let read = || log.stats().expect("open").chunks_read;
        let fetch = |offset, records, bytes| {
            let records = log.fetch("t", 0, offset, FetchMax { records, bytes }).expect("records");
            // What was begun beside it would be ended.
            (0..100).for_each(|_| yield_now().expect("not cancelled"));
            records.len()
        };
        assert_eq!((fetch(7, 1, usize::MAX), read()), (1, 1), "a record is in one chunk");
        assert_eq!((fetch(400, usize::MAX, 5000), read()), (4, 2), "so are these");
        assert_eq!(all(&log, "t", 0, 0).len(), 1000);
        let once = read();
        assert!((15..=20).contains(&once), "{once} chunks of 64 KB");
        assert_eq!((all(&log, "t", 0, 0).len(), read()), (1000, once), "they are in memory");
        log.close();
    });
}

/// What a topic has after passes of compaction over records that were made before it was one that compacts.
fn compacted(options: LogOptions, config: TopicConfig, make: fn(&Log), passes: usize) -> Vec<(u64, String)> {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker(move || {
        log.create_topic("t", config).expect("a topic");
        make(&log);
        log.close();
    });
    let settings = folder.0.join("t/topic.json");
    let json = std::fs::read_to_string(&settings).expect("settings");
    let compacting = json.replace("\"compact\": false", "\"compact\": true");
    assert_ne!(json, compacting);
    std::fs::write(settings, compacting).expect("written");
    let log = open_with(&folder, options);
    on_worker(move || {
        (0..passes).for_each(|_| log.maintain().expect("open"));
        let found = all(&log, "t", 0, 0);
        log.close();
        found
    })
}

#[test]
fn a_key_that_was_deleted_does_not_come_back() {
    // Each pass has the keys of one segment: that of the tombstone has to wait.
    let options = LogOptions {
        compaction_bytes_per_second: u64::MAX,
        compaction_keys_bytes_max: 1,
        maintenance_interval: Duration::from_secs(3600),
        ..LogOptions::default()
    };
    for passes in 1..12 {
        let mut config = TopicConfig::default().segment_bytes(4096);
        config.tombstone_age = Some(Duration::ZERO);
        let make = |log: &Log| {
            let put = |key: &str, n: u64| {
                let entry = Entry::text("x").key(key).timestamp_ms(1000 + n);
                log.produce("t", entry, Acks::Written).expect("an ack");
            };
            put("gone", 0);
            (0..200).for_each(|n| put(&format!("key {n}"), n));
            log.produce("t", Entry::tombstone("gone").timestamp_ms(2000), Acks::Written).expect("an ack");
            (200..400).for_each(|n| put(&format!("key {n}"), n));
        };
        let found = compacted(options.clone(), config, make, passes);
        let tombstone = found.iter().any(|(offset, _)| *offset == 201);
        let value = found.iter().any(|(offset, _)| *offset == 0);
        assert!(tombstone || !value, "after {passes} passes the value is back");
        assert!(passes < 9 || !(value || tombstone), "after {passes} passes both are gone");
    }
}

#[test]
fn who_asks_for_a_topic_to_be_deleted_and_goes_has_it_deleted() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker({
        let log = log.clone();
        move || {
            log.create_topic("t", TopicConfig::default()).expect("a topic");
            log.produce("t", Entry::text("x"), Acks::Durable).expect("an ack");
            let asking = log.clone();
            let asker = Rc::new(Cell::new(None));
            let told = Rc::clone(&asker);
            let deleting = go("deleting", move || {
                told.set(current_fiber());
                asking.delete_topic("t")
            });
            while asker.get().is_none() {
                yield_now().expect("not cancelled");
            }
            cancel_fiber(asker.get().expect("it has begun"));
            assert!(matches!(deleting.join(), Ok(Err(TopicError::Cancelled))));
            let begin = Instant::now();
            while log.create_topic("t", TopicConfig::default()).is_err() {
                assert!(begin.elapsed() < Duration::from_secs(20), "its name does not become free");
                sleep(Duration::from_millis(1)).expect("not cancelled");
            }
            assert_eq!(log.produce("t", Entry::text("x"), Acks::Durable).expect("an ack").offset, 0);
            log.close();
        }
    });
    drop(log);
    let log = open(&folder);
    on_worker(move || assert_eq!(all(&log, "t", 0, 0).len(), 1));
}

/// A storage that panics when it is first told to take a segment away.
#[derive(Debug, Default)]
struct Tripping {
    inner: RingStorage,
    has_tripped: AtomicBool,
}

impl Storage for Tripping {
    fn create(&self, path: &Path) -> io::Result<SharedFile> {
        self.inner.create(path)
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<SharedFile> {
        self.inner.open(path, writable)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let trips = is_segment && !self.has_tripped.swap(true, Ordering::Relaxed);
        assert!(!trips, "the first is one too many");
        self.inner.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
}

#[test]
fn a_panic_in_the_maintenance_of_one_topic_leaves_the_others_theirs() {
    let folder = Folder::new();
    let options = LogOptions {
        storage: Arc::new(Tripping::default()),
        maintenance_interval: Duration::from_millis(20),
        ..LogOptions::default()
    };
    let log = open_with(&folder, options);
    on_worker(move || {
        let text = "x".repeat(2000);
        let fill = |topic: &str| {
            log.create_topic(topic, TopicConfig::default().segment_bytes(4096).retain_bytes(10_000))
                .expect("a topic");
            for _ in 0..20 {
                log.produce(topic, Entry::text(&text), Acks::Written).expect("an ack");
            }
        };
        ["a", "b"].into_iter().for_each(fill);
        let begin = Instant::now();
        let bytes = |topic: &str| log.topic(topic).expect("it is there").partitions[0].bytes;
        while bytes("a") > 10_000 || bytes("b") > 10_000 {
            assert!(begin.elapsed() < Duration::from_secs(20), "{} and {}", bytes("a"), bytes("b"));
            sleep(Duration::from_millis(5)).expect("not cancelled");
        }
        // It goes on, too.
        fill("c");
        while bytes("c") > 10_000 {
            assert!(begin.elapsed() < Duration::from_secs(20), "{}", bytes("c"));
            sleep(Duration::from_millis(5)).expect("not cancelled");
        }
    });
}
