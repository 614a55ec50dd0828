//! Peers that break off, and peers that stop reading: what they leave behind, and what the others notice.
//!
//! `SWS_FAULTS_SECONDS` is for how long peers break off (until 2,000 have), `SWS_FAULTS_SEED` the seed of what they do (1); `just
//! ws-faults` runs for a minute.

#[path = "websocket_faults/breaking.rs"]
mod breaking;
mod common;
#[path = "websocket_faults/stopping.rs"]
mod stopping;
#[path = "common/wire.rs"]
mod wire;

use common::{PATIENCE, stats};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use sws::websocket::codec::{Opcode, encode_frame_masked};
use sws::websocket::{Message, Socket, SocketOptions, SocketStats, WebSocketUpgrade};
use sws::{Overflow, Router, Running};
use wire::{Ear, Heard, Mode, Silence, socket_stats};

/// Descriptors and memory are the whole process's, so that one test runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Connections that may be opened at once, by the limit of descriptors.
fn connections_max(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("the limits of this process");
    let line =
        limits.lines().find(|line| line.starts_with("Max open files")).expect("the limit of descriptors");
    let soft = line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX);
    wanted.min(soft.saturating_sub(200) / 2)
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the state of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    let kilobytes: usize =
        line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
    kilobytes * 1024
}

/// All that a server and its process hold for connections.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    connections: u32,
    fibers: usize,
    fiber_ops: usize,
    stacks: usize,
    leases: u32,
    /// Receive buffers that neither the kernel nor a lease has.
    buffers_astray: u16,
    buffer_bytes: usize,
    large_blocks: usize,
    topics: usize,
    memberships: usize,
    subscribers: usize,
    members: usize,
    sockets: SocketStats,
    descriptors: usize,
}

impl Held {
    fn of(server: &Running, topics: &sws::Topics) -> Held {
        let now = stats(server);
        Held {
            connections: now.connections,
            fibers: now.fibers,
            fiber_ops: now.fiber_ops,
            stacks: now.stacks.in_use,
            leases: now.receive_buffers.leases,
            buffers_astray: now.receive_buffers.provided - now.receive_buffers.in_kernel,
            buffer_bytes: now.buffer_bytes,
            large_blocks: now.large_blocks,
            topics: now.topics,
            memberships: now.memberships,
            subscribers: breaking::TOPICS.iter().map(|topic| topics.subscribers(topic)).sum(),
            members: topics.member_count(breaking::PRESENCE),
            sockets: socket_stats(server),
            descriptors: std::fs::read_dir("/proc/self/fd").expect("the descriptors").count(),
        }
    }
}

/// Waits for what comes back by itself, then compares.
fn assert_comes_back(server: &Running, topics: &sws::Topics, before: &Held) {
    let begin = Instant::now();
    loop {
        let now = Held::of(server, topics);
        if now == *before {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "held now\n{now:#?}\nand before\n{before:#?}");
        std::thread::yield_now();
    }
}

#[test]
fn peers_that_break_off_leave_nothing() {
    let _alone = alone();
    breaking::run(2000, Duration::from_secs(number("SWS_FAULTS_SECONDS").unwrap_or(0)));
}

#[test]
fn stopped_members_miss_the_oldest() {
    let _alone = alone();
    stopping::run(Overflow::DropOldest);
}

#[test]
fn stopped_members_keep_the_latest() {
    let _alone = alone();
    stopping::run(Overflow::KeepLatest);
}

#[test]
fn stopped_members_are_closed() {
    let _alone = alone();
    stopping::run(Overflow::Close);
}

#[test]
fn one_that_answers_no_ping_is_closed() {
    let _alone = alone();
    let server = common::start(|| {
        Router::new().get("/ws", |upgrade: WebSocketUpgrade| {
            let options = SocketOptions {
                ping_interval: Some(Duration::from_millis(50)),
                pong_timeout: Duration::from_millis(500),
                ..SocketOptions::default()
            };
            upgrade.options(options).on_message(|_: &mut Socket<'_>, _: Message<'_>| {})
        })
    });
    let mut answers = wire::connect(server.addr(), "/ws", Mode::Plain);
    let mut ear = Ear::new(Mode::Plain);
    for _ in 0..3 {
        assert_eq!(ear.hear(&mut answers), Ok(Heard::Ping));
        let mut pong = Vec::new();
        encode_frame_masked(&mut pong, true, false, Opcode::Pong, [1, 2, 3, 4], b"");
        answers.write_all(&pong).expect("sends");
    }
    let mut silent = wire::connect(server.addr(), "/ws", Mode::Plain);
    let mut ear = Ear::new(Mode::Plain);
    assert_eq!(ear.hear(&mut silent), Ok(Heard::Ping));
    assert_eq!(ear.hear(&mut silent), Err(Silence::Over), "one ping is enough");
    drop((answers, silent));
    common::settle(server);
}
