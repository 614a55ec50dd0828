//! The client against every floor and peer, and against servers that do wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use benches::floor::{self, ANSWER, Mode};
use benches::load::{AskError, Burst, Closed, Edge, IdleSet, Mixed, burst, closed, mixed, request};
use benches::{peers, sys};
use clap::ValueEnum;

/// Runs `serve` on a thread of its own, for as long as this process lives.
fn started(serve: impl FnOnce(TcpListener) -> std::io::Result<()> + Send + 'static) -> SocketAddr {
    let listener = sys::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener).unwrap());
    addr
}

fn every_server() -> Vec<(String, SocketAddr)> {
    let floors = Mode::value_variants().iter().map(|&mode| {
        let addr = started(move |listener| floor::serve(mode, listener));
        (format!("{mode:?}"), addr)
    });
    let peers = [
        ("hyper".to_string(), started(peers::serve_hyper)),
        ("axum".to_string(), started(peers::serve_axum)),
    ];
    floors.chain(peers).collect()
}

fn closed_plan(connections: usize, depth: u32) -> Closed {
    let (warmup, duration) = (Duration::from_millis(10), Duration::from_millis(50));
    Closed { path: "/plaintext".into(), connections, depth, warmup, duration }
}

#[test]
fn all_servers_answer_all_scenarios() {
    for (name, addr) in every_server() {
        for plan in [closed_plan(8, 1), closed_plan(4, 16)] {
            let mut edges = Vec::new();
            let report = closed(addr, &plan, &mut |edge| edges.push(edge)).unwrap();
            assert_eq!(report.errors.total(), 0, "{name}: {}", report.errors);
            assert!(report.answers > 0, "{name}");
            assert_eq!(report.latency.count(), report.answers, "{name}");
            assert_eq!(edges, [Edge::Open, Edge::Close], "{name}");
        }
        let period = Duration::from_millis(1);
        let plan = Burst { path: "/plaintext".into(), connections: 20, period, warmup_rounds: 1, rounds: 3 };
        let report = burst(addr, &plan, &mut |_| {}).unwrap();
        assert_eq!((report.answers, report.errors.total()), (60, 0), "{name}: {}", report.errors);
        let held = IdleSet::open(addr, "/plaintext", 12).unwrap();
        held.ask_again(3).unwrap();
        assert_eq!(held.len(), 12, "{name}");
    }
}

#[test]
fn heavy_requests_are_all_answered_beside_light_ones() {
    for serve in [peers::serve_hyper, peers::serve_axum] {
        for heavy_path in ["/heavy/inline", "/heavy/submit"] {
            let plan = Mixed {
                light_path: "/plaintext".into(),
                light_rate: 1_000,
                light_connections: 4,
                heavy_path: heavy_path.into(),
                heavy_requests: 5,
                lead: Duration::from_millis(20),
                patience: Duration::from_secs(20),
            };
            let report = mixed(started(serve), &plan).unwrap();
            assert_eq!((report.heavy.answers, report.heavy.errors.total()), (5, 0), "{heavy_path}");
            assert!(report.heavy.latency.max() >= peers::HEAVY_CPU, "{heavy_path}");
            assert!(report.light_alone.answers > 0, "{heavy_path}");
            assert!(report.light_beside.answers > 0, "{heavy_path}");
            assert_eq!(report.light_beside.errors.total(), 0, "{heavy_path}");
        }
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_answered_once() {
    for &mode in Mode::value_variants() {
        let addr = started(move |listener| floor::serve(mode, listener));
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in request(addr, "/plaintext") {
            stream.write_all(&[byte]).unwrap();
        }
        let mut answer = vec![0; ANSWER.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ANSWER, "{mode:?}");
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(stream.read_to_end(&mut answer).unwrap(), 0, "{mode:?}: closed, and nothing more");
    }
}

/// Answers the first read of every connection with `answer` and closes it.
fn once(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            if stream.read(&mut head).unwrap_or(0) > 0 {
                stream.write_all(answer).unwrap();
            }
        }
    });
    addr
}

#[test]
fn what_is_not_answered_rightly_is_an_error_and_no_answer() {
    let table: [(&[u8], &str); 4] = [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "closed by the server"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "nobody asked",
        ),
    ];
    for (answer, expected) in table {
        let plan = Closed { warmup: Duration::ZERO, ..closed_plan(1, 1) };
        let report = closed(once(answer), &plan, &mut |_| {}).unwrap();
        assert_eq!(report.answers, 0, "{expected}");
        assert!(report.errors.to_string().contains(expected), "{}", report.errors);
    }
}

#[test]
fn an_idle_connection_that_is_closed_is_noticed() {
    let held = IdleSet::open(once(ANSWER), "/plaintext", 2).unwrap();
    assert!(matches!(held.ask_again(1), Err(AskError::Closed | AskError::Io(_))));
}
