//! The HTTP server on the runtime.

use crate::expecting;
use crate::peers::{self, Expected, Leaving};
use crate::requests::{self, Exchange, FILE, Setting};
use fastrand::Rng;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::panic::resume_unwind;
use std::time::Duration;
use sws::http1::HeadLimits;
use sws::{Bytes, Context, HttpLimits, Path, Response, Router};
use sws_rings::script::{self, Counts, Options, Peer, World};
use sws_runtime::fs::File;
use sws_runtime::{Cancelled, Config, Limits, Runtime, Stats, sleep, try_go};

fn router() -> Router {
    Router::new()
        .get("/plaintext", || "Hello, World!")
        .post("/echo", |body: Bytes| body)
        .post("/ignore/{ms}", ignore)
        .post("/upload/{pause}", upload)
        .get("/sleep/{ms}", slow)
        .get("/deferred/{ms}", deferred)
        .get("/early", early)
        .get("/panic", || -> &'static str { resume_unwind(Box::new("asked for")) })
        .get("/big/{len}", |Path(len): Path<usize>| requests::pattern(len))
        .get("/stream/{count}", stream)
        .get("/slow-stream/{ms}", slow_stream)
        .get("/file", file)
}

fn slow(Path(ms): Path<u64>) -> Result<&'static str, Cancelled> {
    sleep(Duration::from_millis(ms))?;
    Ok("slept")
}

/// Leaves the body where it is, and waits if there is a time for it.
fn ignore(Path(ms): Path<u64>) -> Result<&'static str, Cancelled> {
    if ms > 0 {
        sleep(Duration::from_millis(ms))?;
    }
    Ok("ignored")
}

/// Reads the body piece by piece, with a pause after each.
fn upload(ctx: &mut Context) -> io::Result<String> {
    let pause: u64 = ctx.parse_param("pause").expect("a number");
    let (mut body, mut piece) = (Vec::new(), [0; 4000]);
    loop {
        match ctx.body().read(&mut piece)? {
            0 => return Ok(format!("{} {}", body.len(), requests::checksum(&body))),
            len => body.extend(&piece[..len]),
        }
        if pause > 0 {
            sleep(Duration::from_millis(pause))?;
        }
    }
}

/// Answered by another fiber, later.
fn deferred(ctx: &mut Context) {
    let ms = ctx.parse_param("ms").expect("a number");
    let answer = ctx.defer();
    // Without a fiber the answer is dropped, which is a 500.
    let _ = try_go("deferred", move || {
        if sleep(Duration::from_millis(ms)).is_ok() {
            // The peer may be gone.
            let _ = answer.answer("deferred");
        }
    });
}

/// Answered before the handler returns.
fn early(ctx: &mut Context) {
    // The peer may be gone.
    let _ = ctx.defer().answer("early");
    // Whether it is cancelled makes no difference.
    let _ = sleep(Duration::from_millis(3));
}

fn stream(Path(count): Path<usize>) -> Response {
    Response::stream("text/plain; charset=utf-8", move |out| {
        for number in 0..count {
            out.write_all(&requests::stream_piece(number))?;
            if number % 8 == 7 {
                sleep(Duration::from_micros(700))?;
            }
        }
        Ok(())
    })
}

fn slow_stream(Path(ms): Path<u64>) -> Response {
    Response::stream("text/plain; charset=utf-8", move |out| {
        out.write_all(b"begin")?;
        sleep(Duration::from_millis(ms))?;
        out.write_all(b"end")
    })
}

fn file() -> io::Result<String> {
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))?;
    let mut bytes = vec![0; FILE.len()];
    file.read_exact_at(&mut bytes, 0)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn setting(rng: &mut Rng) -> Setting {
    Setting {
        head: HeadLimits {
            head_bytes_max: rng.usize(1_000..8_000),
            target_bytes_max: rng.usize(100..900),
            headers_max: rng.usize(8..100),
        },
        body_bytes_max: *rng.choice(&[100, 10_000, 100_000]).expect("not empty"),
        discard_bytes_max: *rng.choice(&[500, 1_000_000]).expect("not empty"),
        fibers_are_few: rng.u8(0..8) == 0,
        handler_timeout: 10_000,
        drains: rng.u8(0..6) == 0,
    }
}

fn http_limits(rng: &mut Rng, setting: &Setting) -> HttpLimits {
    HttpLimits {
        head: setting.head,
        body_bytes_max: setting.body_bytes_max,
        head_timeout: Duration::from_secs(600),
        body_timeout: Duration::from_secs(600),
        idle_timeout: Duration::from_secs(60),
        handler_timeout: Duration::from_millis(setting.handler_timeout),
        requests_per_turn: rng.u32(1..20),
        output_bytes_high: *rng.choice(&[0, 100, 20_000, 300_000]).expect("not empty"),
        discard_bytes_max: setting.discard_bytes_max,
        ..HttpLimits::default()
    }
}

fn limits(rng: &mut Rng, setting: &Setting) -> Limits {
    let input_bytes_max = *rng.choice(&[0, 10_000, 100_000]).expect("not empty");
    let default = Limits::default();
    Limits {
        input_bytes_max: setting.head.head_bytes_max + input_bytes_max,
        fibers_max: if setting.fibers_are_few { rng.u32(1..6) } else { default.fibers_max },
        buffer_bytes_max: if rng.u8(0..10) == 0 {
            rng.usize(10_000..200_000)
        } else {
            default.buffer_bytes_max
        },
        fibers_per_turn: rng.usize(1..50),
        invokes_per_turn: rng.usize(1..10),
        ..default
    }
}

fn peer(rng: &mut Rng, setting: &Setting) -> Expected {
    if rng.u8(0..8) == 0 {
        return expecting::add(rng, setting);
    }
    let leaving = Leaving::draw(rng);
    let mut all = Exchange::default();
    for _ in 0..rng.usize(0..12) {
        all.add(requests::request(rng, setting, false));
    }
    match leaving {
        Leaving::ByRequest => all.add(requests::ending(rng, setting)),
        Leaving::HalfClose if rng.u8(0..3) == 0 => all.add(requests::truncated(rng, setting)),
        Leaving::HalfClose | Leaving::Close | Leaving::Reset | Leaving::StopReading => {}
    }
    let Exchange { bytes, answers } = all;
    peers::add(rng, &bytes, answers, leaving)
}

/// One seed.
pub fn run(seed: u64) -> Counts {
    let mut rng = Rng::with_seed(seed);
    World::install(seed, peers::options(&mut rng));
    let setting = setting(&mut rng);
    let limits = limits(&mut rng, &setting);
    let runtime = Runtime::new(peers::config(&mut rng, limits)).expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let http_limits = http_limits(&mut rng, &setting);
    router().listen_on(&runtime, listener, http_limits).expect("no conflicts");
    let peers: Vec<Expected> = (0..rng.usize(3..=20)).map(|_| peer(&mut rng, &setting)).collect();
    let stats = match setting.drains {
        true => drain_early(&mut rng, &runtime),
        false => drain_late(&mut rng, seed, &runtime),
    };
    drop(runtime);
    let is_poor = stats.buffers_refused > 0;
    for peer in &peers {
        match setting.drains {
            true => drop(peer.check_begun(seed)),
            false => peer.check(seed, is_poor),
        }
    }
    let (audit, trace, counts) = script::with(|world| (world.audit(), world.trace(), world.counts()));
    assert!(audit.is_clean(), "seed {seed}: {audit}\n{trace}");
    counts
}

/// Ends the worker when all peers have left.
fn drain_late(rng: &mut Rng, seed: u64, runtime: &Runtime) -> Stats {
    while !script::with(|world| world.peers_are_done()) {
        runtime.tick();
    }
    peers::add_latecomers(rng);
    runtime.handle().shutdown();
    runtime.run();
    let stats = runtime.stats();
    peers::check_stats(seed, &stats);
    stats
}

/// Ends the worker while peers ask. Those that do not leave in time are left to the end of the runtime.
fn drain_early(rng: &mut Rng, runtime: &Runtime) -> Stats {
    let (handle, at) = (runtime.handle(), Duration::from_micros(rng.u64(0..3_000_000)));
    script::with(|world| world.call_at(at, move || handle.shutdown()));
    runtime.run();
    runtime.stats()
}

/// A peer ends its side within a body that its handler leaves unread: the connection is over with the answer, not when
/// the rest of the body is late.
pub fn unread_body_ends() {
    World::install(0, Options::default());
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    router().listen_on(&runtime, listener, HttpLimits::default()).expect("no conflicts");
    let request = b"POST /ignore/50 HTTP/1.1\r\nHost: sim\r\nContent-Length: 100\r\n\r\nbegin".to_vec();
    let chunks = vec![(Duration::ZERO, request)];
    let peer = Peer::connecting_at(Duration::ZERO).sends(chunks).half_closes_at(Duration::from_millis(10));
    let peer = script::with(|world| world.add_peer(peer));
    while !script::with(|world| world.peers_are_done()) {
        runtime.tick();
    }
    assert!(script::with(|world| world.received(peer).ends_with(b"\r\n\r\nignored")));
    assert!(script::now() < Duration::from_secs(1), "the connection was kept for {:?}", script::now());
}
