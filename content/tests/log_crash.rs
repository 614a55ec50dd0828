//! A process that produces is killed at random, again and again, and the next one goes on in the same folder: nothing that was acknowledged
//! is ever missing, and nothing is half there.
//!
//! `SWS_CRASH_ROUNDS` says how often, 100 times unless it is set.
#![cfg(not(sws_sim))]

#[path = "log_power/payload.rs"]
mod payload;

use fastrand::Rng;
use payload::{Id, decode, encode};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use sws_content::log::{Acks, Entry, FetchMax, Flush, Log, LogOptions, ProduceOptions, TopicConfig};
use sws_runtime::{Config, Runtime, go};

const DIR: &str = "SWS_CRASH_DIR";
const ROUND: &str = "SWS_CRASH_ROUND";
const ROUNDS: &str = "SWS_CRASH_ROUNDS";
const TOPICS: [&str; 2] = ["asked", "each"];
const PARTITIONS: u32 = 2;
const PRODUCERS: u64 = 12;

fn config(topic: &str) -> TopicConfig {
    let flush = if topic == "asked" { Flush::OnRequest } else { Flush::EveryBatch };
    TopicConfig::default().partitions(PARTITIONS).segment_bytes(32 * 1024).flush(flush)
}

// The options may get more fields, so they cannot be written out here.
#[allow(clippy::field_reassign_with_default)]
fn open(dir: &Path) -> Log {
    let mut options = LogOptions::default();
    options.open_files_max = 3;
    options.recent_bytes_max = 8 * 1024;
    let (log, report) = Log::open_with(dir, options).expect("opened");
    assert_eq!(report.damage().collect::<Vec<_>>(), [""; 0]);
    log
}

/// The process that is killed: not a test by itself.
#[test]
#[ignore = "the other test starts it as a process of its own"]
fn child() {
    let (Ok(dir), Ok(round)) = (std::env::var(DIR), std::env::var(ROUND)) else { return };
    let round: u64 = round.parse().expect("a number");
    let log = open(Path::new(&dir));
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    runtime.block_on_fiber(move || {
        for topic in TOPICS {
            log.ensure_topic(topic, config(topic)).expect("made");
        }
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|number| {
                let log = log.clone();
                go("producer", move || produce(&log, round << 32 | number << 24))
            })
            .collect();
        for producer in producers {
            producer.join().expect("it goes on until the process is killed");
        }
    });
}

/// Produces for ever, and says of each ack what it was for.
fn produce(log: &Log, mut number: u64) {
    let mut rng = Rng::with_seed(number);
    loop {
        let topic = TOPICS[rng.usize(..TOPICS.len())];
        let count = if rng.u32(..4) == 0 { rng.u32(2..4) } else { 1 };
        let (first, filling) = (number, rng.usize(..600));
        let payloads: Vec<_> = (0..u64::from(count))
            .map(|place| encode(Id { number: first + place, first, count }, filling))
            .collect();
        number += u64::from(count);
        let entries: Vec<_> = payloads.iter().map(|payload| Entry::bytes(payload)).collect();
        let acks = if topic == "asked" && rng.bool() { Acks::Written } else { Acks::Durable };
        let produced = log
            .produce_batch(topic, &entries, ProduceOptions::default().acks(acks))
            .expect("nothing but the end of the process ends it");
        let line = format!("ack {topic} {} {} {first} {count}\n", produced.partition, produced.offset);
        std::io::stdout().write_all(line.as_bytes()).expect("the parent listens");
    }
}

/// The records that were acknowledged: topic, partition and offset, and the record's number.
type Acked = BTreeMap<(String, u32, u64), u64>;

/// One child, and what it says.
struct Running {
    child: Child,
    lines: Receiver<String>,
    reader: JoinHandle<()>,
}

fn start(dir: &Path, round: u64) -> Running {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let output = child.stdout.take().expect("a pipe");
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = String::new();
        // A line that the kill has cut off was not said.
        while output.read_line(&mut line).is_ok_and(|count| count > 0) && line.ends_with('\n') {
            if let Some(ack) = line.strip_prefix("ack ") {
                sender.send(ack.trim_end().to_owned()).expect("the test listens");
            }
            line.clear();
        }
    });
    Running { child, lines, reader }
}

/// Starts a child, kills it at some time, and adds what it had acknowledged.
fn round(dir: &Path, round: u64, rng: &mut Rng, acked: &mut Acked) {
    let Running { mut child, lines, reader } = start(dir, round);
    let mut heard = Vec::new();
    // Some are killed as they start or recover, the others while they produce.
    let wait = Duration::from_micros(if rng.u32(..4) == 0 {
        rng.u64(..20_000)
    } else {
        heard.extend(lines.recv_timeout(Duration::from_secs(60)));
        assert!(!heard.is_empty(), "round {round}: the child produces nothing");
        rng.u64(..6_000)
    });
    std::thread::sleep(wait);
    assert!(child.try_wait().expect("asked").is_none(), "round {round}: the child has ended by itself");
    child.kill().expect("killed");
    child.wait().expect("waited for");
    reader.join().expect("read");
    heard.extend(lines);
    for line in heard {
        let words: Vec<&str> = line.split(' ').collect();
        let [topic, partition, offset, first, count] = words[..] else { panic!("a strange line: {line}") };
        let (partition, offset) =
            (partition.parse().expect("a number"), offset.parse::<u64>().expect("a number"));
        let (first, count) =
            (first.parse::<u64>().expect("a number"), count.parse::<u64>().expect("a number"));
        for place in 0..count {
            let before = acked.insert((topic.to_owned(), partition, offset + place), first + place);
            assert_eq!(before, None, "round {round}: an offset is given twice: {line}");
        }
    }
}

/// Reads a partition from its begin to its end.
fn read(log: &Log, topic: &str, partition: u32) -> Vec<(u64, Vec<u8>)> {
    let (mut next, high) = log.range(topic, partition).expect("there");
    assert_eq!(next, 0, "nothing is deleted");
    let mut records = Vec::new();
    while next < high {
        let fetched = log.fetch(topic, partition, next, FetchMax::default()).expect("fetched");
        records.extend(fetched.iter().map(|record| (record.offset, record.payload.to_vec())));
        next = fetched.next;
    }
    records
}

/// Opens the log and looks at all of it. It is closed in a proper way or not.
fn check(dir: &Path, acked: &Acked, closes: bool) {
    let log = open(dir);
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let partitions = runtime.block_on_fiber(move || {
        let mut partitions = Vec::new();
        for info in log.topics().expect("listed") {
            for partition in 0..PARTITIONS {
                partitions.push((info.name.clone(), partition, read(&log, &info.name, partition)));
            }
        }
        if closes {
            log.close();
        }
        partitions
    });
    let mut numbers = BTreeSet::new();
    let mut missing = acked.clone();
    for (topic, partition, records) in partitions {
        let mut before: Option<Id> = None;
        for (place, (offset, payload)) in records.iter().enumerate() {
            assert_eq!(*offset, place as u64, "{topic}/{partition}: a gap");
            let id = decode(payload).unwrap_or_else(|| panic!("{topic}/{partition}: {offset} is not whole"));
            assert!(numbers.insert(id.number), "{topic}/{partition}: {offset}: {id:?} is there twice");
            let expected = before.map_or(0, |id| (id.number + 1 - id.first) % u64::from(id.count));
            assert_eq!(id.number - id.first, expected, "{topic}/{partition}: {offset}: half a batch");
            before = Some(id);
            if let Some(number) = missing.remove(&(topic.clone(), partition, *offset)) {
                assert_eq!(number, id.number, "{topic}/{partition}: {offset}: another record");
            }
        }
        let is_whole = before.is_none_or(|id| id.number + 1 - id.first == u64::from(id.count));
        assert!(is_whole, "{topic}/{partition}: half a batch at the end");
    }
    assert!(missing.is_empty(), "acknowledged, and missing: {missing:?}");
}

/// A folder of its own, left there when the test fails.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what is left is in {}", self.0.display());
        } else {
            // The test has said what it had to say.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

#[test]
fn a_process_killed_at_random_loses_nothing_that_was_acknowledged() {
    let rounds: u64 = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(100);
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}, {rounds} rounds");
    let mut rng = Rng::with_seed(seed);
    let folder = Folder(std::env::temp_dir().join(format!("sws-crash-{}", std::process::id())));
    let mut acked = Acked::new();
    for number in 0..rounds {
        round(&folder.0, number, &mut rng, &mut acked);
        // Else the next child recovers what this one has left.
        if rng.u32(..3) == 0 {
            check(&folder.0, &acked, rng.bool());
        }
    }
    check(&folder.0, &acked, true);
    eprintln!("{} acknowledged records", acked.len());
    assert!(acked.len() as u64 > rounds * 5, "{} acknowledged records", acked.len());
}
