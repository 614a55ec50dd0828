//! The rooms over the scripted ring: simulated peers, injected faults, virtual time.
//!
//! `SWS_SIM_SEEDS` says how many seeds (50), `SWS_SIM_SEED` names the one to replay. A seed that fails is printed with
//! the command that replays it.
#![cfg(sws_sim)]

#[path = "sim/answers.rs"]
mod answers;
#[path = "sim/expecting.rs"]
mod expecting;
#[path = "sim/hearing.rs"]
mod hearing;
#[path = "sim/http.rs"]
mod http;
#[path = "sim/lines.rs"]
mod lines;
#[path = "sim/peers.rs"]
mod peers;
#[path = "sim/requests.rs"]
mod requests;
#[path = "sim/sockets.rs"]
mod sockets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use sws_rings::script::{Counts, Fault};

/// Seeds in which every fault must have been injected at least once.
const SEEDS_FOR_FAULTS: u64 = 200;

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
    if count >= SEEDS_FOR_FAULTS {
        assert_eq!(counts.missing(), [], "{count} seeds did not inject everything");
    }
    let summary: Vec<String> =
        Fault::ALL.iter().map(|fault| format!("{fault:?} {}", counts[*fault])).collect();
    println!("{test}: {count} seeds; {}", summary.join(", "));
}

#[test]
fn line_protocol() {
    for_each_seed("line_protocol", lines::run);
}

#[test]
fn http_server() {
    for_each_seed("http_server", http::run);
}

#[test]
fn http_unread_body_ends() {
    http::unread_body_ends();
}

#[test]
fn web_sockets() {
    for_each_seed("web_sockets", sockets::run);
}
