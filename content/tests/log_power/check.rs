//! What a log must hold when it is opened again.

use crate::payload::{Id, decode, encode};
use crate::workload::{DIR, Kept, Ledger, Unanswered, options, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use sws_content::log::{Acks, Entry, FetchMax, Log, ProduceOptions, TopicInfo};
use sws_content::storage::FaultyStorage;
use sws_runtime::Runtime;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub offset: u64,
    pub payload: Vec<u8>,
    pub key: Option<Vec<u8>>,
}

/// A partition as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub low: u64,
    pub high: u64,
    pub records: Vec<Read>,
}

/// All topics, with their partitions.
pub type Contents = BTreeMap<String, Vec<Part>>;

/// Says where a test was when it failed.
pub struct Context(pub String);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in: {}", self.0);
        }
    }
}

pub fn open(storage: &FaultyStorage) -> Log {
    let (log, report) = Log::open_with(DIR, options(storage)).expect("opened");
    assert_eq!(report.damage().collect::<Vec<_>>(), [""; 0], "nothing is damaged");
    log
}

fn read_topic(log: &Log, info: &TopicInfo) -> Vec<Part> {
    let parts = info.partitions.iter().enumerate().map(|(partition, range)| {
        let mut part = Part { low: range.low, high: range.high, records: Vec::new() };
        let mut next = part.low;
        while next < part.high {
            let max = FetchMax { bytes: 2000, ..FetchMax::default() };
            let records = log.fetch(&info.name, partition as u32, next, max).expect("fetched");
            assert!(records.next > next, "a fetch goes on");
            next = records.next;
            part.records.extend(records.iter().map(|record| Read {
                offset: record.offset,
                payload: record.payload.to_vec(),
                key: record.key.map(|key| key.to_vec()),
            }));
        }
        part
    });
    parts.collect()
}

/// Reads all there is. On a fiber.
pub fn read_all(log: &Log) -> Contents {
    let infos = log.topics().expect("listed");
    infos.iter().map(|info| (info.name.clone(), read_topic(log, info))).collect()
}

/// Which acks must have been kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    Durable,
    WrittenToo,
}

/// What was read is some of what was asked for, whole and in order, and has all of what was acknowledged.
pub fn check(contents: &Contents, ledger: &Ledger, guarantee: Guarantee) {
    check_topics(contents, ledger);
    for (name, config) in topics() {
        for part in contents.get(name).into_iter().flatten() {
            check_records(name, part, ledger, config.compact);
        }
    }
    for kept in &ledger.durable {
        check_kept(contents, ledger, kept);
    }
    if guarantee == Guarantee::WrittenToo {
        for kept in &ledger.written {
            check_kept(contents, ledger, kept);
        }
    }
}

fn check_topics(contents: &Contents, ledger: &Ledger) {
    for topic in &ledger.created {
        assert!(ledger.deleting.contains(topic) || contents.contains_key(topic.0), "{topic:?} is missing");
    }
    for topic in &ledger.deleted {
        let Some(parts) = contents.get(topic.0) else { continue };
        for read in parts.iter().flat_map(|part| &part.records) {
            let id = decode(&read.payload).expect("whole");
            assert_ne!(ledger.issued[&id.number].life, topic.1, "a deleted topic's record: {id:?}");
        }
    }
}

fn check_records(name: &str, part: &Part, ledger: &Ledger, is_compacted: bool) {
    let mut next = part.low;
    let mut numbers = BTreeSet::new();
    let mut before: Option<Id> = None;
    for read in &part.records {
        let id = decode(&read.payload).unwrap_or_else(|| panic!("{name}: a record of nobody: {read:?}"));
        let issued = ledger.issued.get(&id.number).expect("it was asked for");
        assert_eq!((issued.topic, &issued.key), (name, &read.key), "{name}: another record: {id:?}");
        assert!(numbers.insert(id.number), "{name}: twice: {id:?}");
        if is_compacted {
            assert!(read.offset >= next, "{name}: {} after {next}", read.offset);
        } else {
            assert_eq!(read.offset, next, "{name}: a gap");
            let place = id.number - id.first;
            let expected =
                before.map_or(0, |before| (before.number + 1 - before.first) % u64::from(before.count));
            assert_eq!(place, expected, "{name}: half a batch: {before:?} before {id:?}");
            before = Some(id);
        }
        next = read.offset + 1;
    }
    if let Some(last) = before {
        assert_eq!(last.number + 1 - last.first, u64::from(last.count), "{name}: half a batch: {last:?}");
    }
    assert!(is_compacted || next == part.high, "{name}: read up to {next}, there is {}", part.high);
}

fn check_kept(contents: &Contents, ledger: &Ledger, kept: &Kept) {
    if ledger.deleting.contains(&(kept.topic, kept.life))
        && ledger.created.contains(&(kept.topic, kept.life + 1))
    {
        return;
    }
    let Some(parts) = contents.get(kept.topic) else {
        assert!(ledger.deleting.contains(&(kept.topic, kept.life)), "{kept:?} is missing with its topic");
        return;
    };
    let lives = |read: &Read| decode(&read.payload).map(|id| ledger.issued[&id.number].life);
    let all = || parts.iter().flat_map(|part| &part.records);
    if ledger.deleted.contains(&(kept.topic, kept.life)) || all().any(|read| lives(read) > Some(kept.life)) {
        return;
    }
    let part = &parts[kept.partition as usize];
    for number in 0..u64::from(kept.count) {
        let (offset, id) = (kept.offset + number, kept.first + number);
        let found = part.records.binary_search_by_key(&offset, |read| read.offset);
        if let Ok(found) = found {
            let read = decode(&part.records[found].payload).expect("whole");
            assert_eq!(read.number, id, "another record at {offset}: {kept:?}");
            continue;
        }
        let issued = &ledger.issued[&id];
        let newer = |read: &Read| read.offset > offset && read.key == issued.key && read.key.is_some();
        let (_, config) = topics().into_iter().find(|(name, _)| *name == kept.topic).expect("one of ours");
        let is_superseded = config.compact && part.records.iter().any(newer);
        let is_retired = config.retention_bytes.is_some() && offset < part.low;
        assert!(
            is_superseded || is_retired,
            "{offset} is missing: {kept:?}, kept is {}..{}",
            part.low,
            part.high
        );
    }
}

/// One more record for each partition, and the calls that got no answer once more.
fn go_on(log: &Log, contents: &Contents, again: &[Unanswered]) {
    let contents = contents.clone();
    for (topic, parts) in &contents {
        for (partition, part) in parts.iter().enumerate() {
            let id = Id { number: u64::MAX / 2, first: u64::MAX / 2, count: 1 };
            let payload = encode(id, 100);
            let options = ProduceOptions::default().partition(partition as u32).acks(Acks::Durable);
            let produced = log.produce_batch(topic, &[Entry::bytes(&payload)], options).expect("produced");
            assert_eq!(produced.offset, part.high, "{topic}/{partition}: it goes on where it ended");
            let records =
                log.fetch(topic, partition as u32, part.high, FetchMax::default()).expect("fetched");
            assert_eq!(records.iter().next().expect("there").payload, payload);
        }
    }
    for call in again.iter().filter(|call| contents.contains_key(call.topic)) {
        let payload = encode(call.id, call.filling);
        let options = ProduceOptions::default()
            .partition(call.partition)
            .acks(Acks::Durable)
            .producer(call.producer_id, call.sequence);
        let produced =
            log.produce_batch(call.topic, &[Entry::bytes(&payload)], options).expect("produced again");
        let before = contents[call.topic][call.partition as usize]
            .records
            .iter()
            .find(|read| decode(&read.payload).is_some_and(|id| id.number == call.id.number));
        assert_eq!(produced.duplicate, before.is_some(), "{call:?}");
        if let Some(before) = before {
            assert_eq!(produced.offset, before.offset, "{call:?}");
        }
    }
}

/// What readers were shown is still there.
fn assert_same(before: &Contents, after: &Contents) {
    let places = |contents: &Contents| -> Vec<String> {
        let part = |(topic, parts): (&String, &Vec<Part>)| {
            format!(
                "{topic}: {:?}",
                parts
                    .iter()
                    .map(|part| {
                        let offsets: Vec<u64> = part.records.iter().map(|read| read.offset).collect();
                        (part.low, part.high, offsets)
                    })
                    .collect::<Vec<_>>()
            )
        };
        contents.iter().map(part).collect()
    };
    assert_eq!(places(before), places(after), "another power cut changed what had been shown");
    assert!(before == after, "another power cut changed records that had been shown");
}

/// Opens what is left, looks at all of it, opens it once more after another power cut, and goes on.
pub fn check_left(runtime: &Runtime, left: &FaultyStorage, ledger: &Rc<Ledger>, guarantee: Guarantee) {
    let log = open(left);
    let reader = log.clone();
    let contents = runtime.block_on_fiber(move || read_all(&reader));
    check(&contents, ledger, guarantee);
    // What was shown to readers stays, without a close too.
    let again = open(&left.after_power_cut(sws_content::storage::faulty::Survival::Nothing));
    let ledger = Rc::clone(ledger);
    runtime.block_on_fiber(move || {
        let shown = read_all(&again);
        assert_same(&contents, &shown);
        go_on(&again, &contents, &ledger.unanswered);
        again.close();
        log.close();
    });
}
