//! The rooms over the scripted ring: simulated peers, injected faults, virtual time.
//!
//! `SWS_SIM_SEEDS` says how many seeds (50), `SWS_SIM_SEED` names the one to replay. A seed that fails is printed with
//! the command that replays it.
#![cfg(sws_sim)]

#[path = "sim/lines.rs"]
mod lines;
#[path = "sim/peers.rs"]
mod peers;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use sws_rings::script::{Counts, Fault};

/// Seeds in which every fault must have been injected at least once, but for the rare ones.
const SEEDS_FOR_FAULTS: u64 = 50;
/// Seeds in which the rare ones must have been, too.
const SEEDS_FOR_RARE_FAULTS: u64 = 500;
const RARE: [Fault; 2] = [Fault::IndexReused, Fault::LateAfterCancel];

/// Runs one seed after the other; `test` names the test function.
fn for_each_seed(test: &str, run: impl Fn(u64) -> Counts) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SWS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SWS_SIM_SEEDS").unwrap_or(50),
    };
    let mut counts = Counts::default();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(of_seed) => counts.merge(&of_seed),
            Err(payload) => {
                eprintln!(
                    "seed {seed} failed; replay it with\n  RUSTFLAGS=\"--cfg sws_sim\" SWS_SIM_SEED={seed} \
                     cargo test --locked -p tests --test sim {test} -- --nocapture"
                );
                resume_unwind(payload);
            }
        }
    }
    let is_due = |fault: &Fault| {
        let seeds_needed = if RARE.contains(fault) { SEEDS_FOR_RARE_FAULTS } else { SEEDS_FOR_FAULTS };
        count >= seeds_needed
    };
    let missing: Vec<Fault> = counts.missing().into_iter().filter(is_due).collect();
    assert_eq!(missing, [], "{count} seeds did not inject everything");
    let summary: Vec<String> =
        Fault::ALL.iter().map(|fault| format!("{fault:?} {}", counts[*fault])).collect();
    println!("{test}: {count} seeds; {}", summary.join(", "));
}

#[test]
fn line_protocol() {
    for_each_seed("line_protocol", lines::run);
}
