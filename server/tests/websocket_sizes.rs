//! What a socket echoes is what was sent: at any size, in any fragments, cut on the wire anywhere, compressed and not.
//!
//! `SWS_SIZES_SEEDS` says how many seeds (12), `SWS_SIZES_SEED` names the one to replay; `just ws-sizes` runs a thousand. A seed that
//! fails is printed with the command that replays it.

mod common;
#[path = "common/wire.rs"]
mod wire;

use common::{settle, start};
use fastrand::Rng;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use sws::runtime::Cancelled;
use sws::websocket::codec::{Deflater, Opcode, encode_frame_masked};
use sws::websocket::{
    DeflateConfig, Message, Socket, SocketOptions, SocketStats, WebSocket, WebSocketUpgrade,
};
use sws::{Overflow, Path, Response, Router, Running};
use wire::{Ear, Heard, Mode, connect, encode_message, mask, socket_stats};

const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Where something changes: the codec's lengths, the size from which on messages are compressed, buffers, windows, memory that is
/// kept, bounds.
const EDGES: [usize; 15] = [
    0,
    1,
    2,
    125,
    126,
    THRESHOLD,
    4 * 1024,
    8 * 1024,
    16 * 1024,
    32 * 1024,
    64 * 1024,
    128 * 1024,
    256 * 1024,
    1 << 20,
    2 << 20,
];
const THRESHOLD: usize = 64;

fn options(mode: &str, output_bytes_max: usize) -> SocketOptions {
    let deflate = DeflateConfig {
        context_takeover: mode == "takeover",
        threshold_bytes: THRESHOLD,
        level: 1,
        ..DeflateConfig::default()
    };
    SocketOptions {
        message_bytes_max: MESSAGE_BYTES_MAX,
        // What cannot be compressed gets longer.
        frame_bytes_max: MESSAGE_BYTES_MAX + MESSAGE_BYTES_MAX / 8,
        output_bytes_max,
        overflow: Overflow::Refuse,
        deflate: (mode != "plain").then_some(deflate),
        ..SocketOptions::default()
    }
}

fn echo(Path(mode): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    // More than a seed sends.
    upgrade.options(options(&mode, 128 << 20)).on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
        socket.send(message).expect("there is room");
    })
}

fn echo_in_line(Path(mode): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.options(options(&mode, 1 << 20)).run(|mut socket: WebSocket| {
        while let Some(message) = socket.recv()? {
            if socket.send(&message).is_err() {
                break;
            }
        }
        Ok::<(), Cancelled>(())
    })
}

fn echoes() -> Running {
    start(|| Router::new().get("/call/{mode}", echo).get("/line/{mode}", echo_in_line))
}

/// Everything must have come back.
fn end(server: Running) {
    common::wait_until(&server, "no connection is left", |stats| stats.connections == 0);
    let stats = socket_stats(&server);
    assert_eq!(stats, SocketStats::default());
    settle(server);
}

/// A payload of exactly this length.
fn payload(rng: &mut Rng, text: bool, len: usize) -> Vec<u8> {
    let mut block = Vec::new();
    let kind = rng.u8(0..3);
    while block.len() < 4096 {
        match (text, kind) {
            (true, 0) => block.extend_from_slice(b"again and "),
            (true, _) => {
                let char =
                    *rng.choice(&['a', '\u{7f}', '\u{e9}', '\u{20ac}', '\u{1f600}']).expect("not empty");
                block.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            (false, 0) => block.push(0),
            (false, _) => block.push(rng.u8(..)),
        }
    }
    let mut payload = Vec::with_capacity(len);
    while len - payload.len() >= block.len() {
        payload.extend_from_slice(&block);
    }
    let rest = match std::str::from_utf8(&block[..(len - payload.len()).min(block.len())]) {
        Err(error) if text => error.valid_up_to(),
        _ => len - payload.len(),
    };
    payload.extend_from_slice(&block[..rest]);
    payload.resize(len, b'x');
    payload
}

/// Up to `max`, each order of magnitude as likely.
fn length(rng: &mut Rng, max: usize) -> usize {
    let bits = rng.u32(0..=max.ilog2());
    match rng.u8(0..4) {
        0 => {
            let edge = *rng.choice(&EDGES).expect("not empty");
            (edge + rng.usize(0..3)).saturating_sub(1).min(max)
        }
        _ => rng.usize(0..=(2 << bits) - 1).min(max),
    }
}

/// What one connection sends, and what it is owed.
struct Plan {
    path: String,
    mode: Mode,
    bytes: Vec<u8>,
    owed: Vec<Heard>,
    /// The longest piece that is written at once.
    piece_bytes_max: usize,
}

struct Planner<'r> {
    rng: &'r mut Rng,
    plan: Plan,
    deflater: Option<Deflater>,
    pings: bool,
}

impl Planner<'_> {
    fn new(rng: &mut Rng, by_line: bool, mode: Mode) -> Planner<'_> {
        let way = if by_line { "line" } else { "call" };
        let path = format!("/{way}/{}", mode.name());
        let level = rng.u8(1..3);
        let piece_bytes_max = *rng.choice(&[1, 7, 1400, 64 * 1024, usize::MAX]).expect("not empty");
        let plan = Plan { path, mode, bytes: Vec::new(), owed: Vec::new(), piece_bytes_max };
        // In a straight line, a pong overtakes the messages that wait for the fiber.
        Planner { rng, plan, deflater: mode.deflater(level), pings: !by_line }
    }

    fn add(&mut self, text: bool, len: usize) {
        let payload = payload(self.rng, text, len);
        let compressed = match &mut self.deflater {
            Some(deflater) if self.rng.u8(0..4) > 0 => {
                let mut compressed = Vec::new();
                deflater.compress(&payload, &mut compressed);
                Some(compressed)
            }
            _ => None,
        };
        let sent = compressed.as_ref().unwrap_or(&payload);
        let count = if self.rng.bool() { 0 } else { self.rng.usize(0..8) };
        let mut cuts: Vec<usize> = (0..count).map(|_| self.rng.usize(0..=sent.len())).collect();
        cuts.sort_unstable();
        let (owed, pings) = (&mut self.plan.owed, self.pings);
        encode_message(
            &mut self.plan.bytes,
            self.rng,
            (text, compressed.is_some()),
            sent,
            &cuts,
            |out, rng| {
                if pings && rng.bool() {
                    let mut ping = owed.len().to_be_bytes().to_vec();
                    ping.resize(rng.usize(8..=125), rng.u8(..));
                    encode_frame_masked(out, true, false, Opcode::Ping, mask(rng), &ping);
                    owed.push(Heard::Pong(ping));
                }
            },
        );
        self.plan.owed.push(Heard::Message { text, payload });
    }
}

impl Plan {
    /// Sends and reads at the same time. Returns how many answers came compressed.
    fn run(&self, addr: SocketAddr, rng: &mut Rng) -> u64 {
        let mut stream = connect(addr, &self.path, self.mode);
        let writing = stream.try_clone().expect("a clone");
        let cuts = Rng::with_seed(rng.u64(..));
        std::thread::scope(|scope| {
            scope.spawn(move || self.write(writing, cuts));
            let mut ear = Ear::new(self.mode);
            for (number, owed) in self.owed.iter().enumerate() {
                let heard = ear.hear(&mut stream);
                if heard.as_ref() != Ok(owed) {
                    // The writer must not wait for one that reads no more.
                    let _ = stream.shutdown(Shutdown::Both);
                    panic!("{}, {number}: {heard:?} and not {owed:?}", self.path);
                }
            }
            ear.compressed
        })
    }

    fn write(&self, mut stream: TcpStream, mut rng: Rng) {
        let mut rest = &self.bytes[..];
        while !rest.is_empty() {
            let len = rng.usize(1..=rest.len().min(self.piece_bytes_max));
            // The reader tells of what goes wrong.
            if stream.write_all(&rest[..len]).is_err() {
                return;
            }
            rest = &rest[len..];
        }
    }
}

/// Bytes of messages of one seed, and the fewest pieces in which it is written.
const SEED_BYTES_MAX: usize = 1 << 20;
const PIECES_MAX: usize = 20_000;

fn run_seed(addr: SocketAddr, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mode = *rng.choice(&Mode::ALL).expect("not empty");
    let by_line = rng.u8(0..3) == 0;
    let mut planner = Planner::new(&mut rng, by_line, mode);
    let mut left = SEED_BYTES_MAX;
    for _ in 0..planner.rng.usize(1..60) {
        let (text, len) = (planner.rng.bool(), length(planner.rng, left.min(SEED_BYTES_MAX / 2)));
        planner.add(text, len);
        left = (left - len).max(1);
    }
    let mut plan = planner.plan;
    plan.piece_bytes_max = plan.piece_bytes_max.max(plan.bytes.len() / PIECES_MAX);
    plan.run(addr, &mut rng);
}

#[test]
fn any_messages_come_back_in_any_pieces() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SWS_SIZES_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SWS_SIZES_SEEDS").unwrap_or(12),
    };
    let server = echoes();
    for seed in seeds {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| run_seed(server.addr(), seed))) {
            eprintln!(
                "seed {seed} failed; replay it with\n  SWS_SIZES_SEED={seed} cargo test --locked -p sws --test websocket_sizes any"
            );
            resume_unwind(payload);
        }
    }
    end(server);
}

#[test]
fn messages_of_a_few_bytes_come_back_byte_by_byte() {
    let server = echoes();
    let mut rng = Rng::with_seed(1);
    for mode in Mode::ALL {
        for by_line in [false, true] {
            let mut planner = Planner::new(&mut rng, by_line, mode);
            for len in [0, 1, 2, 3, 63, 64, 65, 125, 126, 127, 300] {
                planner.add(true, len);
                planner.add(false, len);
            }
            planner.plan.piece_bytes_max = 1;
            let plan = planner.plan;
            plan.run(server.addr(), &mut rng);
        }
    }
    end(server);
}

#[test]
fn messages_around_every_edge_come_back() {
    let server = echoes();
    let mut rng = Rng::with_seed(2);
    for mode in Mode::ALL {
        let mut planner = Planner::new(&mut rng, false, mode);
        for (number, edge) in EDGES.into_iter().enumerate() {
            for len in [edge.saturating_sub(1), edge, edge + 1] {
                // Both kinds below a size that takes long to compress in a debug build.
                planner.add(number % 2 == 0, len);
                if len < 64 * 1024 {
                    planner.add(number % 2 == 1, len);
                }
            }
        }
        planner.plan.piece_bytes_max = 64 * 1024;
        let plan = planner.plan;
        let compressed = plan.run(server.addr(), &mut rng);
        assert_eq!(compressed > 0, mode != Mode::Plain, "{mode:?}: {compressed} answers came compressed");
    }
    end(server);
}

#[test]
fn the_largest_messages_come_back() {
    let server = echoes();
    let mut rng = Rng::with_seed(3);
    for (by_line, mode, text, len) in [
        (false, Mode::Plain, true, MESSAGE_BYTES_MAX),
        (true, Mode::Plain, false, MESSAGE_BYTES_MAX - 1),
        (false, Mode::Deflate, false, MESSAGE_BYTES_MAX),
        (true, Mode::Takeover, true, MESSAGE_BYTES_MAX),
    ] {
        let mut planner = Planner::new(&mut rng, by_line, mode);
        planner.add(text, len);
        planner.add(text, 1000);
        planner.plan.piece_bytes_max = planner.plan.piece_bytes_max.max(1400);
        let plan = planner.plan;
        plan.run(server.addr(), &mut rng);
    }
    end(server);
}
