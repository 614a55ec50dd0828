//! Peers that reset or leave at any moment, while messages go to all of them.

use crate::common::{Client, settle};
use crate::wire::{Ear, Heard, Mode, connect, encode_message, handshake, mask};
use crate::{Held, assert_comes_back, common, connections_max, number};
use fastrand::Rng;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use sws::runtime::Cancelled;
use sws::websocket::codec::{Opcode, encode_frame_masked};
use sws::websocket::{
    DeflateConfig, Message, Socket, SocketHandler, SocketOptions, WebSocket, WebSocketUpgrade,
};
use sws::{Path, PublishError, Response, Router, Server, TopicOptions, Topics};

pub const TOPICS: [&str; 4] = ["room", "room/1", "room/2", PRESENCE];
pub const PRESENCE: &str = "present";
/// Threads of peers, and peers of each at once.
const THREADS: usize = 8;
const PEERS_AT_ONCE: usize = 48;

fn options(mode: &str) -> SocketOptions {
    let deflate =
        DeflateConfig { context_takeover: mode == "takeover", level: 1, ..DeflateConfig::default() };
    SocketOptions {
        close_timeout: Duration::from_millis(200),
        deflate: (mode != "plain").then_some(deflate),
        ..SocketOptions::default()
    }
}

/// Is in several topics, and answers in several ways.
struct Guest {
    said: u32,
}

impl SocketHandler for Guest {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        socket.subscribe("room").expect("subscribes");
        socket.subscribe_prefix("room/").expect("subscribes");
        socket
            .subscribe(if socket.id().index.is_multiple_of(2) { "room/1" } else { "room/2" })
            .expect("subscribes");
        let member = format!("member {}", socket.id().index % 50);
        socket.join(PRESENCE, &member).expect("joins");
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        self.said += 1;
        // One that reads too slowly is closed, which is one of the ways to end here.
        let _ = match self.said % 4 {
            0 => socket.publish("room/1", message).map_err(drop),
            1 => socket.publish_to_others("room", message).map_err(drop),
            2 => socket.sender().send(message).map_err(drop),
            _ => socket.send(message).map_err(drop),
        };
        if self.said == 10 {
            socket.unsubscribe("room");
        }
    }
}

/// Sends more than anybody reads.
fn pour(mut socket: WebSocket) -> Result<(), Cancelled> {
    // It may have ended before its fiber ran.
    let _ = socket.with(|socket| socket.subscribe("room").is_ok());
    let drops = vec![7; 10_000];
    while let Some(message) = socket.recv()? {
        for _ in 0..message.len().min(100) {
            if socket.send(&drops).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn router() -> Router {
    let guest = |Path(mode): Path<String>, upgrade: WebSocketUpgrade| -> Response {
        upgrade.options(options(&mode)).accept(Guest { said: 0 })
    };
    let line = |Path(mode): Path<String>, upgrade: WebSocketUpgrade| -> Response {
        upgrade.options(options(&mode)).run(pour)
    };
    let echo = |upgrade: WebSocketUpgrade| -> Response {
        upgrade.on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
            socket.publish("room", message).expect("publishes");
            socket.send(message).expect("there is room");
        })
    };
    Router::new().get("/guest/{mode}", guest).get("/line/{mode}", line).get("/echo", echo).get("/", || "here")
}

/// All that a peer would send.
fn script(rng: &mut Rng) -> Vec<u8> {
    let mode = *rng.choice(&Mode::ALL).expect("not empty");
    let way = if rng.u8(0..4) == 0 { "line" } else { "guest" };
    let mut bytes = Vec::new();
    if rng.u8(0..4) == 0 {
        // What is answered and not read makes the end a reset, also within the handshake.
        bytes.extend_from_slice(common::get("/").as_bytes());
    }
    bytes.extend_from_slice(handshake(&format!("/{way}/{}", mode.name()), mode).as_bytes());
    let mut deflater = mode.deflater(1);
    for _ in 0..rng.usize(0..12) {
        let max = *rng.choice(&[100, 5_000, 100_000]).expect("not empty");
        let payload = vec![rng.u8(..); rng.usize(0..max)];
        let mut compressed = Vec::new();
        if let Some(deflater) = &mut deflater {
            deflater.compress(&payload, &mut compressed);
        }
        let sent = if deflater.is_some() { &compressed } else { &payload };
        let mut cuts: Vec<usize> = (0..rng.usize(0..4)).map(|_| rng.usize(0..=sent.len())).collect();
        cuts.sort_unstable();
        encode_message(&mut bytes, rng, (false, deflater.is_some()), sent, &cuts, |out, rng| {
            encode_frame_masked(out, true, false, Opcode::Ping, mask(rng), b"between");
        });
    }
    match rng.u8(0..6) {
        0 => encode_frame_masked(&mut bytes, true, false, Opcode::Close, mask(rng), &[3, 232]),
        1 => bytes.extend_from_slice(&[0xff; 20]),
        _ => {}
    }
    bytes
}

/// One that breaks off somewhere in its script.
struct Peer {
    stream: TcpStream,
    script: Vec<u8>,
    sent: usize,
    ends_at: usize,
    reads: bool,
}

impl Peer {
    fn open(addr: SocketAddr, rng: &mut Rng) -> Peer {
        let script = script(rng);
        let stream = TcpStream::connect(addr).expect("connects");
        stream.set_nonblocking(true).expect("does not block");
        // As likely within the handshake or a head as behind everything.
        let ends_at = match rng.u8(0..4) {
            0 => rng.usize(0..=script.len().min(600)),
            1 => script.len(),
            _ => rng.usize(0..=script.len()),
        };
        Peer { stream, script, sent: 0, ends_at, reads: rng.bool() }
    }

    /// Goes a step on; false when it has come to its end, or the server has ended it.
    fn step(&mut self, rng: &mut Rng) -> bool {
        if self.reads && !drained(&mut self.stream) {
            return false;
        }
        let left = self.ends_at - self.sent;
        if left == 0 {
            // Some stay a while.
            return rng.u8(0..8) > 0;
        }
        let len = rng.usize(1..=left.min(20_000));
        match self.stream.write(&self.script[self.sent..self.sent + len]) {
            Ok(count) => {
                self.sent += count;
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock && rng.u8(0..16) > 0,
        }
    }
}

/// Reads what there is; false at the end.
fn drained(stream: &mut TcpStream) -> bool {
    let mut buf = [0; 16 * 1024];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Opens peers and lets them break off, until enough have.
fn breaking(
    addr: SocketAddr,
    mut rng: Rng,
    broken: &AtomicUsize,
    peers: usize,
    at_once: usize,
    until: Instant,
) {
    let mut open = Vec::new();
    while broken.load(Ordering::Relaxed) < peers || Instant::now() < until {
        if open.len() < at_once {
            open.push(Peer::open(addr, &mut rng));
        }
        for _ in 0..4 {
            let chosen = rng.usize(0..open.len());
            if !open[chosen].step(&mut rng) {
                drop(open.swap_remove(chosen));
                broken.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
    }
}

/// A peer that does nothing wrong and is served all the time. It publishes, and has it published, as fast as its messages come
/// back. Returns how many did.
fn healthy(addr: SocketAddr, topics: &Topics, done: &AtomicBool) -> u32 {
    let mut stream = connect(addr, "/echo", Mode::Plain);
    let mut ear = Ear::new(Mode::Plain);
    let mut count = 0_u32;
    while !done.load(Ordering::Relaxed) {
        let topic = TOPICS[count as usize % 3];
        match topics.publish(topic, "x".repeat(count as usize % 3_000)) {
            Ok(()) | Err(PublishError::Full) => {}
            Err(error) => panic!("{error}"),
        }
        let mut frame = Vec::new();
        encode_frame_masked(
            &mut frame,
            true,
            false,
            Opcode::Text,
            [1, 2, 3, 4],
            count.to_string().as_bytes(),
        );
        stream.write_all(&frame).expect("sends");
        let owed = Heard::Message { text: true, payload: count.to_string().into_bytes() };
        assert_eq!(ear.hear(&mut stream), Ok(owed));
        count += 1;
    }
    count
}

/// Whether each of these was there at some time.
#[derive(Default)]
struct Seen {
    partials: bool,
    contexts: bool,
    senders: bool,
    fibers: bool,
    memberships: bool,
    members: bool,
    buffers: bool,
}

impl Seen {
    fn look(&mut self, now: &Held) {
        self.partials |= now.sockets.partial_messages > 0;
        self.contexts |= now.sockets.contexts > 0;
        self.senders |= now.sockets.senders > 0;
        self.fibers |= now.fibers > 0;
        self.memberships |= now.memberships > 100;
        self.members |= now.members > 1;
        self.buffers |= now.buffer_bytes > 0;
    }
}

pub fn run(peers: usize, duration: Duration) {
    let mut rng = Rng::with_seed(number("SWS_FAULTS_SEED").unwrap_or(1));
    let server = Server::bind("127.0.0.1:0").expect("a port");
    let topics = server.topics();
    topics.configure(PRESENCE, TopicOptions::default().presence(true));
    let server = server.spawn(router).expect("starts");
    let addr = server.addr();
    // What is made once is made before it is counted.
    for mode in Mode::ALL {
        let mut stream = connect(addr, &format!("/guest/{}", mode.name()), mode);
        let mut frame = Vec::new();
        encode_frame_masked(&mut frame, true, false, Opcode::Text, [1, 2, 3, 4], b"once");
        stream.write_all(&frame).expect("sends");
        assert!(matches!(Ear::new(mode).hear(&mut stream), Ok(Heard::Message { .. })), "the joining is told");
    }
    common::wait_until(&server, "no connection is left", |stats| stats.connections == 0);
    let before = Held::of(&server, &topics);
    let (broken, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let until = Instant::now() + duration;
    let at_once = (connections_max(THREADS * PEERS_AT_ONCE) / THREADS).max(2);
    let mut seen = Seen::default();
    let echoes = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let rng = rng.fork();
                scope.spawn(|| breaking(addr, rng, &broken, peers, at_once, until))
            })
            .collect();
        let echoes = scope.spawn(|| healthy(addr, &topics, &done));
        while threads.iter().any(|thread| !thread.is_finished()) {
            seen.look(&Held::of(&server, &topics));
            assert!(!echoes.is_finished(), "the healthy peer is served");
        }
        done.store(true, Ordering::Relaxed);
        echoes.join().expect("the healthy peer is served to the end")
    });
    // It comes in behind all others, so that none of them is left to be accepted.
    assert_eq!(Client::connect(addr).get("/").text(), "here");
    assert_comes_back(&server, &topics, &before);
    let Seen { partials, contexts, senders, fibers, memberships, members, buffers } = seen;
    let all = [partials, contexts, senders, fibers, memberships, members, buffers];
    assert_eq!(all, [true; 7], "there was something to lose");
    let stats = common::stats(&server);
    assert!(stats.accepted as usize >= peers / 2 && stats.delivered > 0 && echoes > 0);
    println!(
        "{} peers broke off, {} connections, {} delivered, {} closed as slow, {echoes} echoes beside them",
        broken.into_inner(),
        stats.accepted,
        stats.delivered,
        stats.closed_slow
    );
    settle(server);
}
