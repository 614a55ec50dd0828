//! Each byte of a small partition is damaged, one at a time: it is noticed, and no other records than those that were produced are ever read.

use crate::check::Context;
use crate::workload::{DIR, options};
use crate::{payload, runtime};
use std::path::{Path, PathBuf};
use sws_content::log::{Acks, Entry, FetchMax, Log, SEGMENT_BYTES_MIN, TopicConfig, inspect};
use sws_content::storage::faulty::Survival;
use sws_content::storage::{FaultyStorage, Storage};
use sws_runtime::Runtime;

/// Three segments of a few records, the last not sealed; closed, or not.
fn small_log(runtime: &Runtime, closes: bool) -> FaultyStorage {
    let storage = FaultyStorage::new();
    let (log, _) = Log::open_with(DIR, options(&storage)).expect("opened");
    runtime.block_on_fiber(move || {
        let config = TopicConfig::default().segment_bytes(SEGMENT_BYTES_MIN);
        log.create_topic("t", config).expect("made");
        for number in 0..12 {
            let id = payload::Id { number, first: number, count: 1 };
            let payload = payload::encode(id, 700);
            log.produce("t", Entry::bytes(&payload).key(b"key"), Acks::Durable).expect("produced");
        }
        // The indexes are written on fibers of their own.
        for _ in 0..100 {
            sws_runtime::yield_now().expect("not cancelled");
        }
        if closes {
            log.close();
        }
    });
    storage.after_power_cut(Survival::Everything)
}

/// What a log says when it is opened and read: whether anything is wrong, and the records.
struct Said {
    notices: Vec<String>,
    records: Vec<(u64, Vec<u8>)>,
}

fn read(runtime: &Runtime, storage: &FaultyStorage) -> Said {
    let mut notices = Vec::new();
    match inspect(storage, Path::new(DIR)) {
        Ok(found) => {
            notices.extend(found.iter().flat_map(|partition| partition.damage()));
            let torn = found
                .iter()
                .flat_map(|partition| &partition.segments)
                .filter(|segment| segment.torn_bytes > 0);
            notices.extend(torn.map(|segment| format!("{} bytes torn", segment.torn_bytes)));
        }
        Err(error) => notices.push(error.to_string()),
    }
    let (log, report) = match Log::open_with(DIR, options(storage)) {
        Ok(opened) => opened,
        Err(error) => {
            notices.push(error.to_string());
            return Said { notices, records: Vec::new() };
        }
    };
    notices.extend(report.damage().map(str::to_owned));
    notices.extend((report.bytes_cut() > 0).then(|| "bytes were cut".to_owned()));
    let (errors, records) = runtime.block_on_fiber(move || {
        let (mut errors, mut records) = (Vec::new(), Vec::new());
        let Ok((mut next, high)) = log.range("t", 0) else { return (vec!["no topic".to_owned()], records) };
        while next < high {
            match log.fetch("t", 0, next, FetchMax::default()) {
                Ok(read) => {
                    records.extend(read.iter().map(|record| (record.offset, record.payload.to_vec())));
                    next = read.next;
                }
                Err(error) => {
                    errors.push(error.to_string());
                    next += 1;
                }
            }
        }
        log.close();
        (errors, records)
    });
    notices.extend(errors);
    Said { notices, records }
}

fn files(storage: &FaultyStorage) -> Vec<(PathBuf, u64)> {
    let folder = Path::new(DIR).join("t/0");
    let entries = storage.list(&folder).expect("listed").into_iter();
    entries
        .map(|entry| {
            let path = folder.join(entry.name);
            let size = storage.open(&path, false).and_then(|file| file.size()).expect("there");
            (path, size)
        })
        .collect()
}

fn each_byte(closes: bool, xors: &[u8]) {
    let runtime = runtime();
    let storage = small_log(&runtime, closes);
    let whole = read(&runtime, &storage.after_crash());
    assert_eq!((whole.notices.len(), whole.records.len()), (0, 12), "{:?}", whole.notices);
    let files = files(&storage);
    let ends = |end: &str| files.iter().filter(|(path, _)| path.to_string_lossy().ends_with(end)).count();
    assert_eq!((ends(".seg"), ends(".idx")), (3, 2), "{files:?}");
    let written_to = whole.records.len() as u64;
    for (path, size) in &files {
        for offset in 0..*size {
            for &xor in xors {
                let _context = Context(format!("{} byte {offset} of {size} xor {xor:#x}", path.display()));
                let damaged = storage.after_crash();
                damaged.corrupt(path, offset, xor).expect("there");
                let said = read(&runtime, &damaged);
                for record in &said.records {
                    assert!(whole.records.contains(record), "another record: {}", record.0);
                }
                if said.notices.is_empty() {
                    assert_eq!(
                        said.records.len() as u64,
                        written_to,
                        "records are missing, and nothing is said"
                    );
                    let is_segment = path.extension().is_some_and(|extension| extension == "seg");
                    assert!(!is_segment, "a damaged segment, and nothing is said");
                }
            }
        }
    }
}

#[test]
fn each_damaged_byte_of_a_closed_log_is_noticed() {
    each_byte(true, &[0x01]);
}

#[test]
fn each_damaged_byte_of_a_log_that_was_not_closed_is_noticed() {
    each_byte(false, &[0x80]);
}
