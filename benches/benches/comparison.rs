//! `cargo bench -p benches`: the comparison at a tiny size, so that it cannot rot. For figures, see `compare`.

use std::io;
use std::time::Duration;

use benches::compare::{Options, Scenario, WsScenario, default_load_cpu, run};
use benches::contestant::{Contestant, default_sws, serve_if_asked};
use clap::ValueEnum;

fn main() -> io::Result<()> {
    serve_if_asked();
    run(&Options {
        contestants: Contestant::value_variants().to_vec(),
        scenarios: vec![
            Scenario::Plaintext(8),
            Scenario::Json(8),
            Scenario::Pipeline(4),
            Scenario::Burst(16),
            Scenario::Idle(32),
            Scenario::WebSocket(WsScenario::Echo(8)),
            Scenario::WebSocket(WsScenario::Large(1024)),
            Scenario::WebSocket(WsScenario::Broadcast(16)),
            Scenario::WebSocket(WsScenario::IdleRoom(32)),
        ],
        runs: 1,
        duration: Duration::from_millis(100),
        warmup: Duration::from_millis(50),
        burst_rounds: 3,
        sws: default_sws(),
        server_cpus: vec![0],
        load_cpu: default_load_cpu(),
        nice: 0,
    })
}
