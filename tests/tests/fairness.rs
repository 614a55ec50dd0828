//! One greedy client does not starve the light ones.
//!
//! A client pipelines without end beside 299 that ask once every 50 ms. The loop gives each connection a budget of requests per
//! turn, so between the turn in which a light request arrives and its answer the greedy client gets the rest of a turn and one
//! more. Counted in requests, not in time: what the greedy client was given while a light request waited.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use sws::{Context, HttpLimits, Router, Server};

const LIGHT: usize = 299;
const ROUNDS: usize = 40;
const PACE: Duration = Duration::from_millis(50);
const PER_TURN: u32 = 32;

/// What handlers count, on the one IO thread.
#[derive(Default)]
struct Counts {
    greedy: AtomicU64,
    light: AtomicU64,
    /// The most greedy requests of one turn.
    turn: AtomicU64,
    in_turn: AtomicU64,
    most_in_turn: AtomicU64,
    /// The most greedy requests between two handlers of light ones that arrived together.
    most_between: AtomicU64,
    last_light: AtomicU64,
    last_light_turn: AtomicU64,
}

fn add(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

fn router(counts: &Arc<Counts>) -> Router {
    let (greedy, light) = (Arc::clone(counts), Arc::clone(counts));
    Router::new()
        .get("/greedy", move || {
            add(&greedy.greedy);
            let turn = sws::runtime::stats().turns;
            if greedy.turn.swap(turn, Ordering::Relaxed) != turn {
                greedy.in_turn.store(0, Ordering::Relaxed);
            }
            let in_turn = add(&greedy.in_turn);
            greedy.most_in_turn.fetch_max(in_turn, Ordering::Relaxed);
            "g"
        })
        .get("/light", move |_: &mut Context| {
            add(&light.light);
            let turn = sws::runtime::stats().turns;
            let served = light.greedy.load(Ordering::Relaxed);
            // Light ones of the same burst are heard in the same turn, or in turns that follow each other.
            if light.last_light_turn.swap(turn, Ordering::Relaxed) + 1 >= turn {
                let between = served - light.last_light.load(Ordering::Relaxed);
                light.most_between.fetch_max(between, Ordering::Relaxed);
            }
            light.last_light.store(served, Ordering::Relaxed);
            // The client reads how far the greedy one had come.
            format!("{served:020}")
        })
}

fn connect(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

/// Pipelines until it is told to stop; reads on another thread, as fast as answers come.
fn be_greedy(addr: SocketAddr, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let mut writer = connect(addr);
    let mut reader = writer.try_clone().unwrap();
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let reading = std::thread::spawn(move || {
            let mut buf = vec![0; 256 * 1024];
            while reader.read(&mut buf).is_ok_and(|count| count > 0) {}
        });
        let requests = b"GET /greedy HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
        while !stop.load(Ordering::Acquire) {
            match writer.write_all(&requests) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("the greedy client is starved"),
                Err(error) => panic!("{error}"),
            }
        }
        writer.shutdown(std::net::Shutdown::Both).unwrap();
        reading.join().unwrap();
    })
}

/// The number in the answer to a light request.
fn read_answer(client: &mut TcpStream) -> u64 {
    let mut answer = Vec::new();
    let mut buf = [0; 512];
    loop {
        let count = client.read(&mut buf).expect("every light request is answered");
        assert!(count > 0, "the connection stays open");
        answer.extend_from_slice(&buf[..count]);
        if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n")
            && answer.len() == at + 4 + 20
        {
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
            return std::str::from_utf8(&answer[at + 4..]).unwrap().parse().unwrap();
        }
    }
}

#[test]
fn one_greedy_client_beside_299_light_ones() {
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    let limits = HttpLimits { requests_per_turn: PER_TURN, ..HttpLimits::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().limits(limits);
    let server = server.spawn(move || router(&shared)).unwrap();
    let mut light: Vec<_> = (0..LIGHT).map(|_| connect(server.addr())).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let greedy = be_greedy(server.addr(), &stop);

    let mut next = Instant::now();
    for _ in 0..ROUNDS {
        for client in &mut light {
            client.write_all(b"GET /light HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
        for client in &mut light {
            read_answer(client);
        }
        next += PACE;
        // The pace of the light ones; nothing is synchronised by it.
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    stop.store(true, Ordering::Release);
    greedy.join().unwrap();

    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(get(&counts.light), (LIGHT * ROUNDS) as u64, "every light request is answered");
    assert!(get(&counts.greedy) > get(&counts.light), "it was greedy: {}", get(&counts.greedy));
    // In one turn it gets what it had left over from the turn before, and what comes in this one: a budget for each.
    let budget = 2 * u64::from(PER_TURN);
    assert!(get(&counts.most_in_turn) <= budget, "its budget: {}", get(&counts.most_in_turn));
    // Two light ones that were heard in the same turn, or in one and the next, have at most two budgets between them.
    let between = get(&counts.most_between);
    assert!(between <= 2 * budget, "{between} greedy requests while light ones waited");
    drop(light);
    server.shutdown();
}
