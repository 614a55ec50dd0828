//! The power goes at every call that a workload makes to the storage, and the log is opened again with what is left.
//!
//! `SWS_POWER_SEEDS` says how many workloads are tried, 1 unless it is set.
#![cfg(not(sws_sim))]

#[path = "log_power/check.rs"]
mod check;
#[path = "log_power/errors.rs"]
mod errors;
#[path = "log_power/flips.rs"]
mod flips;
#[path = "log_power/payload.rs"]
mod payload;
#[path = "log_power/workload.rs"]
mod workload;

use check::{Context, Guarantee, check_left};
use std::rc::Rc;
use sws_content::log::Log;
use sws_content::storage::FaultyStorage;
use sws_content::storage::faulty::Survival;
use sws_runtime::{Config, Runtime};
use workload::{DIR, Ledger, SharedLedger, options};

fn seeds() -> u64 {
    std::env::var("SWS_POWER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

/// Runs a workload over a storage, as far as that lets it.
fn run(runtime: &Runtime, storage: &FaultyStorage, seed: u64) -> Rc<Ledger> {
    let ledger = SharedLedger::default();
    if let Ok((log, _)) = Log::open_with(DIR, options(storage)) {
        let shared = ledger.clone();
        runtime.block_on_fiber(move || workload::run(&log, &shared, seed));
    }
    Rc::new(ledger.take())
}

fn runtime() -> Runtime {
    Runtime::new(Config::default()).expect("a runtime")
}

#[test]
fn without_a_fault_all_is_kept() {
    let runtime = runtime();
    for seed in 0..10 {
        let _context = Context(format!("seed {seed}"));
        let storage = FaultyStorage::new();
        storage.set_suspension(2, seed);
        let ledger = run(&runtime, &storage, seed);
        assert!(ledger.refused.is_empty(), "{:?}", ledger.refused);
        assert!(ledger.durable.len() > 60 && !ledger.written.is_empty() && ledger.deleted.len() == 1);
        let left = storage.after_power_cut(Survival::Nothing);
        check_left(&runtime, &left, &ledger, Guarantee::WrittenToo);
    }
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_that_was_acknowledged() {
    let runtime = runtime();
    for seed in 0..seeds() {
        let whole = FaultyStorage::new();
        whole.set_suspension(2, seed);
        run(&runtime, &whole, seed);
        let steps = whole.steps();
        assert!(steps.len() > 200, "{} steps", steps.len());
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| !step.op.only_looks()) {
            let storage = FaultyStorage::new();
            storage.set_suspension(2, seed);
            storage.power_cut_at(number);
            let ledger = run(&runtime, &storage, seed);
            storage.cut_power();
            let random = |index| Survival::Random(seed * 1_000_000 + number as u64 * 10 + index);
            let survivals = [[Survival::Nothing, Survival::Everything][number % 2], random(0), random(1)];
            for survival in survivals {
                let _context = Context(format!(
                    "seed {seed}, power cut at {number} of {}: {step:?}, {survival:?}",
                    steps.len()
                ));
                check_left(&runtime, &storage.after_power_cut(survival), &ledger, Guarantee::Durable);
            }
        }
    }
}

#[test]
fn the_end_of_the_process_at_any_call_loses_nothing_that_was_written() {
    let runtime = runtime();
    let seed = 77;
    let whole = FaultyStorage::new();
    whole.set_suspension(2, seed);
    run(&runtime, &whole, seed);
    for (number, step) in whole.steps().iter().enumerate().filter(|(_, step)| !step.op.only_looks()) {
        let storage = FaultyStorage::new();
        storage.set_suspension(2, seed);
        storage.power_cut_at(number);
        let ledger = run(&runtime, &storage, seed);
        let _context = Context(format!("the end at {number}: {step:?}"));
        check_left(&runtime, &storage.after_crash(), &ledger, Guarantee::WrittenToo);
    }
}

#[test]
fn several_lives_in_a_row_lose_nothing_that_was_acknowledged() {
    let runtime = runtime();
    for seed in 0..40 * seeds() {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut storage = FaultyStorage::new();
        let ledger = SharedLedger::default();
        for life in 0..4 {
            // The power may go while the log is opened, too.
            let steps = if rng.bool() { 40 } else { 500 };
            let step = rng.usize(..steps);
            let survival = Survival::Random(rng.u64(..));
            let is_killed = rng.u32(..4) == 0;
            let end = if is_killed { "the end".to_owned() } else { format!("a power cut, {survival:?},") };
            let _context = Context(format!("seed {seed}, life {life} until {end} at {step}"));
            storage.set_suspension(2, seed);
            storage.power_cut_at(step);
            if let Ok((log, report)) = Log::open_with(DIR, options(&storage)) {
                // A disk without power cannot be read.
                assert!(storage.steps().len() > step || report.damage().count() == 0, "{report:?}");
                let shared = ledger.clone();
                runtime.block_on_fiber(move || {
                    for reader in workload::produce(&log, &shared, seed * 10 + life) {
                        reader.cancel();
                        reader.join().expect("it has ended");
                    }
                    log.close();
                });
            }
            storage.cut_power();
            storage = if is_killed { storage.after_crash() } else { storage.after_power_cut(survival) };
            let known = Rc::new(ledger.borrow().clone());
            check_left(&runtime, &storage.after_crash(), &known, Guarantee::Durable);
        }
    }
}
