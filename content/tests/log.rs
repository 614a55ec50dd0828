//! The log on real files and a real ring.

mod log_common;

use log_common::*;
use std::rc::Rc;
use std::time::{Duration, Instant};
use sws_content::log::*;
use sws_content::segment::{Decoded, decode_record};
use sws_runtime::{Config, Handle, Runtime, cancel_fiber, dump_fibers, go, sleep};

#[test]
fn what_was_acknowledged_is_there_after_opening_again() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker({
        let log = log.clone();
        move || {
            log.create_topic("orders", TopicConfig::default().segment_bytes(4096)).expect("a topic");
            for n in 0..200 {
                let text = format!("order {n}");
                let produced =
                    log.produce("orders", Entry::text(&text).key("k"), Acks::Durable).expect("an ack");
                assert_eq!((produced.offset, produced.duplicate), (n, false));
            }
            log.close();
            assert!(matches!(
                log.produce("orders", Entry::text("late"), Acks::Durable),
                Err(ProduceError::Closed)
            ));
        }
    });
    drop(log);
    let (log, report) = Log::open(&folder.0).expect("a log");
    assert_eq!((report.records(), report.bytes_cut()), (200, 0));
    on_worker(move || {
        let expected: Vec<_> = (0..200).map(|n| (n, format!("order {n}"))).collect();
        assert_eq!(all(&log, "orders", 0, 0), expected);
        assert_eq!(all(&log, "orders", 0, 123), expected[123..]);
        let info = log.topic("orders").expect("it is there");
        assert!(info.partitions[0].segments >= 3, "{info:?}");
        assert_eq!(log.produce("orders", Entry::text("next"), Acks::Durable).expect("an ack").offset, 200);
    });
}

#[test]
fn what_comes_together_goes_to_the_disk_together() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker(move || {
        log.create_topic("t", TopicConfig::default()).expect("a topic");
        let fibers: Vec<_> = (0..100)
            .map(|n| {
                let log = log.clone();
                go("producer", move || {
                    let text = format!("{n}");
                    log.produce("t", Entry::text(&text), Acks::Durable).expect("an ack").offset
                })
            })
            .collect();
        let mut offsets: Vec<u64> =
            fibers.into_iter().map(|fiber| fiber.join().expect("its offset")).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_tail_has_every_record_once_while_segments_roll() {
    let folder = Folder::new();
    let options = LogOptions { recent_bytes_max: 2000, ..LogOptions::default() };
    let log = open_with(&folder, options);
    on_worker(move || {
        log.create_topic("t", TopicConfig::default().segment_bytes(8192)).expect("a topic");
        let tails: Vec<_> = (0..5)
            .map(|number| {
                let log = log.clone();
                go("tail", move || {
                    let mut tail = log.tail("t", 0, 0);
                    for n in 0..500u64 {
                        let record = tail.next_record().expect("a record");
                        assert_eq!(
                            (record.offset, &record.payload[..]),
                            (n, format!("record {n}").as_bytes())
                        );
                        if n % 100 == number {
                            sleep(Duration::from_millis(2)).expect("not cancelled");
                        }
                    }
                })
            })
            .collect();
        for n in 0..500 {
            let text = format!("record {n}");
            let acks = if n % 3 == 0 { Acks::None } else { Acks::Written };
            log.produce("t", Entry::text(&text), acks).expect("an ack");
        }
        for tail in tails {
            tail.join().expect("all of them");
        }
        let stats = log.stats().expect("open");
        assert!(stats.recent_bytes <= 2000, "{stats:?}");
    });
}

#[test]
fn an_offset_out_of_range_says_what_there_is() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker(move || {
        log.create_topic("t", TopicConfig::default()).expect("a topic");
        log.produce("t", Entry::text("x"), Acks::Durable).expect("an ack");
        let max = FetchMax::default();
        assert!(log.fetch("t", 0, 1, max).expect("the end").is_empty());
        assert!(matches!(log.fetch("t", 0, 2, max), Err(FetchError::OutOfRange { low: 0, high: 1 })));
        assert!(matches!(log.fetch("t", 1, 0, max), Err(FetchError::UnknownPartition)));
        assert!(matches!(log.fetch("u", 0, 0, max), Err(FetchError::UnknownTopic)));
        assert!(matches!(log.produce("u", Entry::text("x"), Acks::None), Err(ProduceError::UnknownTopic)));
        assert!(matches!(log.wait_for("t", 0, 1, Duration::from_millis(5)), Err(FetchError::TimedOut)));
        log.wait_for("t", 0, 0, Duration::from_millis(5)).expect("it is there");
    });
}

#[test]
fn producers_that_send_again_write_once() {
    let folder = Folder::new();
    let log = open(&folder);
    let numbered = |sequence| ProduceOptions::default().producer(7, sequence);
    on_worker({
        let log = log.clone();
        move || {
            log.create_topic("t", TopicConfig::default().segment_bytes(4096)).expect("a topic");
            let two = [Entry::text("a"), Entry::text("b")];
            assert_eq!(log.produce_batch("t", &two, numbered(0)).expect("an ack").offset, 0);
            let again = log.produce_batch("t", &two, numbered(0)).expect("an ack");
            assert_eq!((again.offset, again.duplicate), (0, true));
            assert!(matches!(
                log.produce_batch("t", &two, numbered(5)),
                Err(ProduceError::OutOfSequence { expected: 2 })
            ));
            let large = "x".repeat(5000);
            log.produce_batch("t", &[Entry::text(&large)], numbered(2)).expect("an ack");
            log.produce("t", Entry::text("other"), Acks::Durable).expect("an ack");
            log.close();
        }
    });
    drop(log);
    let log = open(&folder);
    on_worker(move || {
        let large = "x".repeat(5000);
        let again = log.produce_batch("t", &[Entry::text(&large)], numbered(2)).expect("an ack");
        assert_eq!((again.offset, again.duplicate), (2, true), "known from the sealed segment's index");
        assert_eq!(log.produce_batch("t", &[Entry::text("c")], numbered(3)).expect("an ack").offset, 4);
    });
}

#[test]
fn keys_keep_their_partition_and_others_take_turns() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker(move || {
        log.create_topic("t", TopicConfig::default().partitions(4)).expect("a topic");
        let of_key = log.partition_of("t", Some(b"user-1")).expect("a partition");
        for _ in 0..5 {
            let entry = Entry::text("x").key("user-1");
            assert_eq!(log.produce("t", entry, Acks::Written).expect("an ack").partition, of_key);
        }
        let turns: Vec<u32> = (0..4)
            .map(|_| log.produce("t", Entry::text("x"), Acks::Written).expect("an ack").partition)
            .collect();
        let mut sorted = turns.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
    });
}

#[test]
fn too_much_at_once_is_refused_and_nothing_is_lost() {
    let folder = Folder::new();
    let options = LogOptions { queue_bytes_max: 10_000, ..LogOptions::default() };
    let log = open_with(&folder, options);
    on_worker(move || {
        log.create_topic("t", TopicConfig::default()).expect("a topic");
        let text = "x".repeat(1000);
        let mut taken = 0;
        let refused = loop {
            match log.produce("t", Entry::text(&text), Acks::None) {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, ProduceError::Overloaded { .. }), "{refused}");
        assert_eq!(taken, 9);
        log.flush("t").expect("on the disk");
        assert_eq!(log.range("t", 0).expect("a range"), (0, 9));
        log.produce("t", Entry::text(&text), Acks::Durable).expect("there is room again");
        assert!(matches!(log.produce_batch("t", &[], ProduceOptions::default()), Err(ProduceError::Size)));
    });
}

#[test]
fn records_of_a_full_segment_are_a_part_of_its_file() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker(move || {
        log.create_topic("t", TopicConfig::default().segment_bytes(300_000)).expect("a topic");
        let text = "x".repeat(1000);
        for n in 0..1000 {
            log.produce("t", Entry::text(&format!("{n} {text}")), Acks::None).expect("taken in");
        }
        log.flush("t").expect("written");
        let stored = log.fetch_stored("t", 0, 7, u64::MAX).expect("it is there").expect("it is full");
        assert_eq!((stored.low, stored.high), (0, 1000));
        for (offset, bytes_max) in [(7, 1000), (999, u64::MAX), (1000, u64::MAX), (2000, u64::MAX)] {
            let none = log.fetch_stored("t", 0, offset, bytes_max).expect("no error");
            assert!(none.is_none(), "{offset}, {bytes_max}: {none:?}");
        }
        assert!(matches!(log.fetch_stored("u", 0, 0, 9), Err(FetchError::UnknownTopic)));
        // What was opened stays, whatever becomes of the topic.
        log.delete_topic("t").expect("gone");
        let mut bytes = vec![0; stored.len as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            let at = stored.position + filled as u64;
            filled += stored.file.read_at(&mut bytes[filled..], at).expect("bytes");
        }
        let (mut rest, mut next) = (&bytes[..], 7);
        while !rest.is_empty() {
            let Ok(Decoded::Record(record)) = decode_record(rest) else { panic!("no record at {next}") };
            assert_eq!((record.offset, record.payload), (next, format!("{next} {text}").as_bytes()));
            (rest, next) = (&rest[record.encoded_len..], next + 1);
        }
        assert_eq!(next, stored.next);
        assert!(stored.len > 200_000, "{} bytes", stored.len);
        log.close();
    });
}

#[test]
fn a_second_process_is_kept_out() {
    let folder = Folder::new();
    let log = open(&folder);
    assert!(matches!(Log::open(&folder.0), Err(OpenError::Locked { .. })));
    drop(log);
    drop(open(&folder));
}

#[test]
fn other_workers_reach_it() {
    let offset = from_afar(|log, _| {
        let produced = log.produce("t", Entry::text("from afar"), Acks::Durable).expect("an ack");
        assert_eq!(
            texts(&log.fetch("t", 0, 0, FetchMax::default()).expect("records")),
            [(0, "from afar".to_owned())]
        );
        produced.offset
    });
    assert_eq!(offset, 0);
}

#[test]
fn who_waits_from_afar_and_is_cancelled_leaves_nobody_waiting() {
    from_afar(|log, home| {
        let fibers = || {
            let (tell, heard) = std::sync::mpsc::channel();
            home.invoke(move || tell.send(sws_runtime::stats().fibers).expect("heard")).expect("it runs");
            heard.recv_timeout(Duration::from_secs(20)).expect("an answer")
        };
        let reach = |count: usize, what: &str| {
            let begin = Instant::now();
            while fibers() != count {
                assert!(begin.elapsed() < Duration::from_secs(20), "{what}: {}", fibers());
                sleep(Duration::from_millis(1)).expect("not cancelled");
            }
        };
        let at_rest = fibers();
        let waiting = log.clone();
        let asker = go("asks", move || {
            let hour = Duration::from_secs(3600);
            waiting.fetch_wait("t", 0, 0, FetchMax::default(), hour).map(drop)
        });
        reach(at_rest + 1, "it waits there");
        let ours = dump_fibers().into_iter().find(|fiber| fiber.name == "asks").expect("it waits here");
        cancel_fiber(ours.id);
        assert!(matches!(asker.join(), Ok(Err(FetchError::Cancelled))));
        reach(at_rest, "nobody waits there");
    });
}

#[test]
fn who_calls_off_a_worker_leaves_the_log_as_it_was() {
    let folder = Folder::new();
    on_worker({
        let log = open(&folder);
        move || {
            log.create_topic("t", TopicConfig::default()).expect("a topic");
            log.produce("t", Entry::text("kept"), Acks::Durable).expect("an ack");
            log.close();
        }
    });
    let log = open(&folder);
    let lost = log.clone();
    let called = std::thread::spawn(move || lost.produce("t", Entry::text("lost"), Acks::Durable).map(drop));
    assert!(called.join().is_err(), "there is no worker on that thread");
    on_worker(move || {
        assert_eq!(log.produce("t", Entry::text("more"), Acks::Durable).expect("an ack").offset, 1);
        assert_eq!(all(&log, "t", 0, 0), [(0, "kept".to_owned()), (1, "more".to_owned())]);
    });
}

/// Calls `ask` on a worker beside the one that has the log, when that has made the topic `t`.
fn from_afar<T: Send + 'static>(ask: impl FnOnce(&Log, &Handle) -> T + Send + 'static) -> T {
    let folder = Folder::new();
    let log = open(&folder);
    let home = Runtime::new(Config::default()).expect("a runtime");
    // Also when something of the following fails.
    let end = End(home.handle());
    let other = std::thread::spawn({
        let log = log.clone();
        // It asks again until the first worker has taken the log.
        move || {
            on_worker(move || {
                while log.topic("t").is_err() {
                    sleep(Duration::from_millis(1)).expect("not cancelled");
                }
                ask(&log, &end.0)
            })
        }
    });
    let made = Rc::new(log);
    home.enter(|| {
        go("make", move || made.create_topic("t", TopicConfig::default()).expect("a topic"));
    });
    home.run();
    other.join().expect("no panic")
}

/// Ends a worker.
struct End(Handle);

impl Drop for End {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

#[test]
fn without_syncing_readers_see_what_is_written() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker(move || {
        log.create_topic("t", TopicConfig::default().flush(Flush::OnRequest).segment_bytes(4096))
            .expect("a topic");
        for n in 0..100 {
            log.produce("t", Entry::text(&format!("{n}")), Acks::Written).expect("an ack");
        }
        assert_eq!(log.range("t", 0).expect("a range"), (0, 100));
        log.produce("t", Entry::text("safe"), Acks::Durable).expect("an ack");
        log.produce("t", Entry::text("soon"), Acks::Written).expect("an ack");
        log.flush("t").expect("on the disk");
        assert_eq!(all(&log, "t", 0, 0).len(), 102);
    });
}

#[test]
fn a_flush_waits_for_the_disk_while_a_write_is_under_way() {
    use sws_content::storage::faulty::{FaultyStorage, Survival};
    for seed in 0..20 {
        let storage = FaultyStorage::new();
        storage.set_suspension(4, seed);
        let options = LogOptions { storage: std::sync::Arc::new(storage.clone()), ..LogOptions::default() };
        let (log, _) = Log::open_with("/log", options).expect("a log");
        let flushed = on_worker(move || {
            log.create_topic("t", TopicConfig::default().flush(Flush::OnRequest)).expect("a topic");
            log.produce("t", Entry::text("first"), Acks::Durable).expect("an ack");
            let producer = log.clone();
            let writing =
                go("writing", move || producer.produce("t", Entry::text("x"), Acks::Written).map(drop));
            sws_runtime::yield_now().expect("not cancelled");
            log.flush("t").expect("on the disk");
            let left = storage.after_power_cut(Survival::Nothing);
            writing.join().expect("no panic").expect("an ack");
            left
        });
        let options = LogOptions { storage: std::sync::Arc::new(flushed), ..LogOptions::default() };
        let (_, report) = Log::open_with("/log", options).expect("a log");
        assert_eq!(report.records(), 2, "seed {seed}");
    }
}

#[test]
fn damaged_settings_cost_one_topic_and_no_records() {
    let folder = Folder::new();
    let log = open(&folder);
    on_worker({
        let log = log.clone();
        move || {
            for topic in ["bad", "good"] {
                log.create_topic(topic, TopicConfig::default()).expect("a topic");
                log.produce(topic, Entry::text("kept"), Acks::Durable).expect("an ack");
            }
            log.close();
        }
    });
    drop(log);
    let settings = folder.0.join("bad/topic.json");
    let good = std::fs::read(&settings).expect("settings");
    std::fs::write(&settings, "").expect("damaged");
    let (log, report) = Log::open(&folder.0).expect("a log");
    assert!(report.damage().any(|what| what.contains("topic.json")), "{report:?}");
    on_worker({
        let log = log.clone();
        move || {
            assert_eq!(all(&log, "good", 0, 0).len(), 1);
            assert!(matches!(log.fetch("bad", 0, 0, FetchMax::default()), Err(FetchError::UnknownTopic)));
            assert!(matches!(log.create_topic("bad", TopicConfig::default()), Err(TopicError::Storage(_))));
        }
    });
    drop(log);
    std::fs::write(&settings, good).expect("restored");
    let log = open(&folder);
    on_worker(move || assert_eq!(all(&log, "bad", 0, 0).len(), 1));
}
