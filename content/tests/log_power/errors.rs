//! Errors of the storage, each call failing in turn: nothing acknowledged is lost, and what cannot be kept is refused.

use crate::check::{Context, Guarantee, check, check_left, open, read_all};
use crate::workload::{self, DIR, Ledger, SharedLedger, options, topics};
use crate::{run, runtime};
use std::path::Path;
use std::rc::Rc;
use sws_content::log::{Acks, Entry, FetchMax, Log, ProduceError, TopicConfig, repair};
use sws_content::storage::FaultyStorage;
use sws_content::storage::faulty::{Fault, Op, Step, Survival};
use sws_runtime::Runtime;

/// What is on the disk of a workload during which something failed, with the partitions that must be repaired.
fn poisoned(storage: &FaultyStorage) -> Vec<(String, u32)> {
    let (_log, report) = Log::open_with(DIR, options(storage)).expect("opened");
    let is_damaged = |part: &&sws_content::log::PartitionReport| !part.damage.is_empty();
    report.partitions.iter().filter(is_damaged).map(|part| (part.topic.clone(), part.partition)).collect()
}

/// Reads all of what was acknowledged though partitions may be poisoned; then repairs those, and all is as ever.
fn check_after_error(runtime: &Runtime, storage: &FaultyStorage, ledger: &Rc<Ledger>) {
    let (log, _) = Log::open_with(DIR, options(storage)).expect("opened");
    let reader = log.clone();
    let contents = runtime.block_on_fiber(move || read_all(&reader));
    check(&contents, ledger, Guarantee::Durable);
    drop(log);
    for (topic, partition) in poisoned(storage) {
        let (log, _) = Log::open_with(DIR, options(storage)).expect("opened");
        let name = topic.clone();
        runtime.block_on_fiber(move || {
            let options = sws_content::log::ProduceOptions::default().partition(partition);
            let refused = log.produce_batch(&name, &[Entry::text("x")], options).expect_err("poisoned");
            assert!(matches!(refused, ProduceError::Poisoned { .. }), "{refused:?}");
            log.close();
        });
        repair(storage, Path::new(DIR), &topic, partition).expect("repaired");
    }
    // As if each call had been answered at last: what the repair keeps may be more.
    check_left(runtime, storage, ledger, Guarantee::Durable);
}

fn each_fault(op: Op, fault: Fault, seed: u64) {
    let runtime = runtime();
    let whole = FaultyStorage::new();
    whole.set_suspension(2, seed);
    run(&runtime, &whole, seed);
    let mut poisonings = 0;
    let steps: Vec<Step> = whole.steps().into_iter().filter(|step| step.op == op).collect();
    for (number, step) in steps.iter().enumerate() {
        // A segment whose removal was lost comes again when others behind it are gone: that is reported, and is no loss.
        let removes =
            ["retained", "both"].iter().any(|topic| step.path.starts_with(Path::new(DIR).join(topic)));
        if op == Op::SyncDir && removes {
            continue;
        }
        let storage = FaultyStorage::new();
        storage.set_suspension(2, seed);
        storage.fail(op, number, fault);
        let ledger = run(&runtime, &storage, seed);
        let context = format!("seed {seed}, {number}: {step:?}: {fault:?}");
        for (topic, error) in &ledger.refused {
            assert!(!error.to_string().is_empty(), "{topic}");
        }
        poisonings +=
            ledger.refused.iter().filter(|(_, error)| matches!(error, ProduceError::Poisoned { .. })).count();
        // Names that could not be synced cannot be mended: file systems take nothing more then.
        if op != Op::SyncDir {
            let _context = Context(format!("{context}, the process began again"));
            check_after_error(&runtime, &storage.after_crash(), &ledger);
        }
        let _context = Context(format!("{context}, then a power cut"));
        check_after_error(&runtime, &storage.after_power_cut(Survival::Nothing), &ledger);
    }
    assert_eq!(
        poisonings > 0,
        matches!(op, Op::Write | Op::Sync | Op::SyncDir),
        "{poisonings} of {op:?} poisoned"
    );
}

#[test]
fn a_failed_write_loses_nothing_that_was_acknowledged() {
    each_fault(Op::Write, Fault::Io, 1);
}

#[test]
fn a_failed_sync_loses_nothing_that_was_acknowledged() {
    each_fault(Op::Sync, Fault::Io, 2);
    each_fault(Op::Sync, Fault::IoAfter(Survival::Random(3)), 3);
}

#[test]
fn a_failed_sync_of_names_loses_nothing_that_was_acknowledged() {
    each_fault(Op::SyncDir, Fault::Io, 4);
}

#[test]
fn files_that_are_not_made_or_named_lose_nothing_that_was_acknowledged() {
    each_fault(Op::Create, Fault::Io, 5);
    each_fault(Op::Rename, Fault::Io, 6);
    each_fault(Op::Allocate, Fault::Io, 7);
}

#[test]
fn short_and_interrupted_calls_are_as_good_as_any() {
    let runtime = runtime();
    for (op, fault) in
        [(Op::Write, Fault::Short(100)), (Op::Write, Fault::Interrupted), (Op::Read, Fault::Short(7))]
    {
        let whole = FaultyStorage::new();
        run(&runtime, &whole, 8);
        for number in 0..whole.count(op) {
            let _context = Context(format!("{op:?} {number}: {fault:?}"));
            let storage = FaultyStorage::new();
            storage.fail(op, number, fault);
            let ledger = run(&runtime, &storage, 8);
            assert!(ledger.refused.is_empty(), "{:?}", ledger.refused);
            check_left(&runtime, &storage.after_power_cut(Survival::Nothing), &ledger, Guarantee::WrittenToo);
        }
    }
}

#[test]
fn after_a_failed_sync_reads_go_on_and_nothing_is_taken() {
    let runtime = runtime();
    let storage = FaultyStorage::new();
    let log = open(&storage);
    let disk = storage.clone();
    runtime.block_on_fiber(move || {
        log.create_topic("t", TopicConfig::default()).expect("made");
        log.produce("t", Entry::text("safe"), Acks::Durable).expect("produced");
        disk.fail(Op::Sync, disk.count(Op::Sync), Fault::Io);
        for _ in 0..3 {
            let error = log.produce("t", Entry::text("lost"), Acks::Durable).expect_err("not synced");
            assert!(
                matches!(&error, ProduceError::Poisoned { reason } if reason.contains("00000.seg")),
                "{error}"
            );
        }
        let records = log.fetch("t", 0, 0, FetchMax::default()).expect("fetched");
        assert_eq!(records.iter().map(|record| record.payload.to_vec()).collect::<Vec<_>>(), [b"safe"]);
        assert_eq!((records.low, records.high), (0, 1));
        assert!(log.topic("t").expect("there").partitions[0].poisoned.is_some());
        log.close();
    });
    let again = storage.after_crash();
    assert_eq!(poisoned(&again), [("t".to_owned(), 0)]);
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let runtime = runtime();
    let whole = FaultyStorage::new();
    run(&runtime, &whole, 9);
    let used = whole.used();
    let mut refused = 0;
    for part in 0..60 {
        let capacity = used * part / 60;
        let _context = Context(format!("{capacity} of {used} bytes"));
        let storage = FaultyStorage::new();
        storage.set_suspension(1, part);
        let ledger = SharedLedger::default();
        let Ok((log, _)) = Log::open_with(DIR, options(&storage)) else { panic!("it opens without a byte") };
        let (shared, disk) = (ledger.clone(), storage.clone());
        runtime.block_on_fiber(move || {
            disk.set_capacity(capacity);
            for reader in workload::produce(&log, &shared, 9) {
                reader.cancel();
                reader.join().expect("it has ended");
            }
            disk.heal();
            for (topic, config) in topics() {
                if log.topic(topic).is_err() {
                    log.create_topic(topic, config.clone()).expect("there is space");
                    shared.borrow_mut().created.insert((topic, 0));
                }
                for partition in 0..config.partitions {
                    let payload = shared.borrow_mut().issue_one(topic);
                    let options = sws_content::log::ProduceOptions::default().partition(partition);
                    let produced =
                        log.produce_batch(topic, &[Entry::bytes(&payload)], options).expect("there is space");
                    let records =
                        log.fetch(topic, partition, produced.offset, FetchMax::default()).expect("fetched");
                    assert_eq!(records.iter().next().expect("there").payload, payload);
                }
            }
            log.close();
        });
        let ledger = Rc::new(ledger.take());
        for (topic, error) in &ledger.refused {
            assert!(matches!(error, ProduceError::StorageFull), "{topic}: {error}");
        }
        refused += ledger.refused.len();
        check_left(&runtime, &storage.after_power_cut(Survival::Nothing), &ledger, Guarantee::WrittenToo);
    }
    assert!(refused > 100, "{refused} refused");
}
