//! `cargo bench -p benches`: memory and wake-ups at a tiny size, so that they cannot rot. For figures, see the
//! programs `memory` and `pingpong`.

use std::io;

use benches::contestant::{Contestant, Service, default_sws, serve_if_asked};
use benches::{memory, pingpong, sys};

fn main() -> io::Result<()> {
    serve_if_asked();
    sys::raise_nofile()?;
    let plan = memory::Plan { path: "/plaintext".into(), connections: 256, warmup_connections: 16 };
    for contestant in [Contestant::FloorUring, Contestant::FloorUringPoll, Contestant::FloorEpoll] {
        let mut server = contestant.start(Service::Http, &default_sws(), &[0])?;
        println!("### {contestant}\n\n{}", memory::measure(&server, &plan).map_err(io::Error::other)?);
        server.stop()?;
    }
    let latency = pingpong::round_trips(1_000, None)?;
    println!("eventfd round trip: p50 {:.2} us", latency.quantile(0.5).as_secs_f64() * 1e6);
    Ok(())
}
