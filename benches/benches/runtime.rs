//! `cargo bench -p benches`: fibers, submitted work and quiet connections at a tiny size, so that they cannot rot. For figures,
//! see the programs `fiber_cost`, `submit_latency` and `quiet`.

use std::io;
use std::time::Duration;

use benches::suspended::Start;
use benches::table::markdown;
use benches::{fiber_cost, quiet, submit_latency, suspended, sws_server, sys};

fn main() -> io::Result<()> {
    sws_server::serve_if_asked();
    sys::raise_nofile()?;
    let plan = fiber_cost::Plan { runs: 1, rounds: 2_000, yielding: 16 };
    let (life, switch) = fiber_cost::measure(&plan).map_err(io::Error::other)?;
    println!("{}\n{}", markdown("fiber", &life), markdown("switch", &switch));
    for how in [Start::Inline, Start::Go] {
        println!("a suspended fiber, {how:?}: {:.0} resident bytes", suspended::bytes_per_fiber(200, how)?);
    }
    println!("a suspended request: {:.0} resident bytes\n", suspended::bytes_per_request(100, &[0])?);

    for gap in [Duration::ZERO, Duration::from_micros(300)] {
        let plan = submit_latency::Plan { runs: 1, rounds: 200, gap, cpus: None };
        println!("{}", markdown("round trip", &submit_latency::measure(&plan)?));
    }

    let rows = quiet::measure(&quiet::Plan {
        runs: 1,
        connections: 200,
        busy_connections: 8,
        quiet_after: Duration::from_millis(100),
        duration: Duration::from_millis(100),
        warmup: Duration::from_millis(50),
        server_cpus: vec![0],
    })?;
    println!("{}", markdown("held by", &rows));
    Ok(())
}
