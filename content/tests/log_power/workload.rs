//! What is done to a log while its storage fails: topics of every kind, producers with every ack, batches, retention, compaction, and
//! a topic that goes and comes again. The ledger says what was asked for and what was answered.

use crate::payload::{Id, encode};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use sws_content::log::{
    Acks, Entry, FetchMax, Flush, Log, LogOptions, ProduceError, ProduceOptions, SEGMENT_BYTES_MIN,
    TopicConfig, TopicError,
};
use sws_content::storage::FaultyStorage;
use sws_runtime::{JoinHandle, go, yield_now};

pub const DIR: &str = "/data/log";

/// A record that was asked for.
#[derive(Clone, Debug)]
pub struct Issued {
    pub topic: &'static str,
    /// Which life of the topic it was meant for.
    pub life: u32,
    pub key: Option<Vec<u8>>,
}

/// A batch that was acknowledged, or a record that was read.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub topic: &'static str,
    pub life: u32,
    pub partition: u32,
    pub offset: u64,
    pub first: u64,
    pub count: u32,
}

/// A producer's last call, which it would make again.
#[derive(Clone, Debug)]
pub struct Unanswered {
    pub topic: &'static str,
    pub partition: u32,
    pub producer_id: u64,
    pub sequence: u32,
    pub id: Id,
    pub filling: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    next: u64,
    pub issued: BTreeMap<u64, Issued>,
    /// Acknowledged as durable, or seen where only what is durable is seen.
    pub durable: Vec<Kept>,
    /// Acknowledged as written.
    pub written: Vec<Kept>,
    pub unanswered: Vec<Unanswered>,
    /// Topics that were made, and those whose deletion was asked for, and happened, by their lives.
    pub created: BTreeSet<(&'static str, u32)>,
    pub deleting: BTreeSet<(&'static str, u32)>,
    pub deleted: BTreeSet<(&'static str, u32)>,
    /// The errors of producers.
    pub refused: Vec<(&'static str, ProduceError)>,
}

pub type SharedLedger = Rc<RefCell<Ledger>>;

pub fn topics() -> [(&'static str, TopicConfig); 6] {
    let small = || TopicConfig::default().segment_bytes(SEGMENT_BYTES_MIN);
    [
        ("both", small().compact(true).retain_bytes(9000)),
        ("compacted", small().compact(true)),
        ("gone", small()),
        ("lazy", small().flush(Flush::OnRequest)),
        ("retained", small().retain_bytes(9000)),
        ("several", small().partitions(2)),
    ]
}

// They may get more fields, so they cannot be written out here.
#[allow(clippy::field_reassign_with_default)]
pub fn options(storage: &FaultyStorage) -> LogOptions {
    let mut options = LogOptions::default();
    options.storage = Arc::new(storage.clone());
    options.compaction_bytes_per_second = u64::MAX;
    // Files, chunks and what was written last are given up and read again.
    options.open_files_max = 4;
    options.recent_bytes_max = 1500;
    options.cache_bytes_max = 4096;
    options
}

impl Ledger {
    /// The payload of one record more.
    pub fn issue_one(&mut self, topic: &'static str) -> Vec<u8> {
        self.issue(topic, 0, &[None], 50).1.remove(0)
    }

    /// A new batch, and its payloads.
    fn issue(
        &mut self,
        topic: &'static str,
        life: u32,
        keys: &[Option<Vec<u8>>],
        filling: usize,
    ) -> (Id, Vec<Vec<u8>>) {
        let (first, count) = (self.next, keys.len() as u32);
        let mut payloads = Vec::new();
        for key in keys {
            let id = Id { number: self.next, first, count };
            payloads.push(encode(id, filling));
            self.issued.insert(self.next, Issued { topic, life, key: key.clone() });
            self.next += 1;
        }
        (Id { number: first, first, count }, payloads)
    }
}

/// One producer: its calls one after the other, until one fails.
struct Producer {
    log: Log,
    ledger: SharedLedger,
    topic: &'static str,
    life: u32,
    /// With these it names its partition and numbers its calls.
    number: Option<(u64, u32)>,
    rng: fastrand::Rng,
}

impl Producer {
    fn run(mut self, calls: u32) {
        let mut sequence = 0;
        for _ in 0..calls {
            let count = if self.rng.u32(..4) == 0 { self.rng.usize(2..5) } else { 1 };
            if !self.produce(count, sequence) {
                return;
            }
            sequence += count as u32;
        }
    }

    fn produce(&mut self, count: usize, sequence: u32) -> bool {
        let has_keys = matches!(self.topic, "compacted" | "both");
        let key = |rng: &mut fastrand::Rng| has_keys.then(|| vec![b'k', rng.u8(..5)]);
        let keys: Vec<_> = (0..count).map(|_| key(&mut self.rng)).collect();
        let filling = self.rng.usize(..700);
        // Where a sync has to be asked for, most do not.
        let acks = match self.rng.u32(..6) {
            _ if self.number.is_some() => Acks::Durable,
            0 => Acks::None,
            1 => Acks::Written,
            2..=4 if self.topic == "lazy" => Acks::Written,
            _ => Acks::Durable,
        };
        let (id, payloads) = self.ledger.borrow_mut().issue(self.topic, self.life, &keys, filling);
        let entries: Vec<Entry<'_>> = payloads
            .iter()
            .zip(&keys)
            .map(|(payload, key)| match key {
                Some(key) => Entry::bytes(payload).key(key),
                None => Entry::bytes(payload),
            })
            .collect();
        let mut options = ProduceOptions::default().acks(acks);
        if let Some((producer_id, partition)) = self.number {
            options = options.partition(partition).producer(producer_id, sequence);
        }
        let result = self.log.produce_batch(self.topic, &entries, options);
        let mut ledger = self.ledger.borrow_mut();
        match result {
            Ok(produced) => {
                let kept = Kept {
                    topic: self.topic,
                    life: self.life,
                    partition: produced.partition,
                    offset: produced.offset,
                    first: id.first,
                    count: id.count,
                };
                match acks {
                    Acks::None => {}
                    Acks::Written => ledger.written.push(kept),
                    Acks::Durable => ledger.durable.push(kept),
                }
                true
            }
            Err(error) => {
                ledger.refused.push((self.topic, error));
                if let Some((producer_id, partition)) = self.number.filter(|_| count == 1) {
                    let topic = self.topic;
                    ledger.unanswered.push(Unanswered {
                        topic,
                        partition,
                        producer_id,
                        sequence,
                        id,
                        filling,
                    });
                }
                false
            }
        }
    }
}

/// Reads what comes, as long as it comes, and says what it saw.
fn follow(log: &Log, ledger: &SharedLedger, topic: &'static str, partition: u32, life: u32) {
    let mut next = 0;
    while !ledger.borrow().deleting.contains(&(topic, life)) {
        let records = match log.fetch(topic, partition, next, FetchMax::default()) {
            Ok(records) => records,
            Err(sws_content::log::FetchError::OutOfRange { low, .. }) if low > next => {
                next = low;
                continue;
            }
            Err(_) => return,
        };
        for record in records.iter() {
            let id = crate::payload::decode(&record.payload).expect("what is read is whole");
            let kept = Kept { topic, life, partition, offset: record.offset, first: id.number, count: 1 };
            ledger.borrow_mut().durable.push(kept);
        }
        next = records.next;
        if yield_now().is_err() {
            return;
        }
    }
}

/// All of it, on a fiber; at the end the log is closed. It goes on as far as the storage lets it.
pub fn run(log: &Log, ledger: &SharedLedger, seed: u64) {
    let readers = produce(log, ledger, seed);
    replace(log, ledger, seed);
    // It may fail: the ledger says what must hold then.
    let _ = log.maintain();
    for reader in readers {
        reader.cancel();
        reader.join().expect("it has ended");
    }
    log.close();
}

/// Makes the topics and produces to them, with readers, which are returned.
pub fn produce(log: &Log, ledger: &SharedLedger, seed: u64) -> Vec<JoinHandle<()>> {
    let mut fibers = Vec::new();
    let mut readers = Vec::new();
    for (number, (topic, config)) in topics().into_iter().enumerate() {
        let partitions = config.partitions;
        let is_synced = config.flush == Flush::EveryBatch;
        match log.create_topic(topic, config) {
            Ok(()) => drop(ledger.borrow_mut().created.insert((topic, 0))),
            Err(TopicError::Exists) => {}
            Err(_) => continue,
        }
        for fiber in 0..2 {
            let numbered = topic == "several";
            let producer = Producer {
                log: log.clone(),
                ledger: ledger.clone(),
                topic,
                life: 0,
                number: numbered.then_some((1 + seed * 10 + fiber, fiber as u32 % partitions)),
                rng: fastrand::Rng::with_seed(seed * 1000 + number as u64 * 10 + fiber),
            };
            fibers.push(go("producer", move || producer.run(7)));
        }
        for partition in (0..partitions).filter(|_| is_synced) {
            let (log, ledger) = (log.clone(), ledger.clone());
            readers.push(go("reader", move || follow(&log, &ledger, topic, partition, 0)));
        }
    }
    for fiber in fibers {
        fiber.join().expect("it has ended");
        // As above.
        let _ = log.maintain();
    }
    readers
}

/// Deletes a topic and makes another of the same name.
fn replace(log: &Log, ledger: &SharedLedger, seed: u64) {
    if !ledger.borrow().created.contains(&("gone", 0)) {
        return;
    }
    ledger.borrow_mut().deleting.insert(("gone", 0));
    if log.delete_topic("gone").is_err() {
        return;
    }
    ledger.borrow_mut().deleted.insert(("gone", 0));
    let config = TopicConfig::default().segment_bytes(SEGMENT_BYTES_MIN);
    if log.create_topic("gone", config).is_ok() {
        ledger.borrow_mut().created.insert(("gone", 1));
        let rng = fastrand::Rng::with_seed(seed);
        let ledger = ledger.clone();
        Producer { log: log.clone(), ledger, topic: "gone", life: 1, number: None, rng }.run(4);
    }
}
