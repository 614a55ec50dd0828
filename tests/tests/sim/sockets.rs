//! WebSockets on the runtime: echoes by callbacks and in a straight line, and rooms.

use crate::hearing::{self, Heard, Mode};
use crate::peers;
use fastrand::Rng;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;
use sws::websocket::codec::{Deflater, Opcode, encode_frame_masked};
use sws::websocket::{
    Close, DeflateConfig, Message, Socket, SocketHandler, SocketOptions, SocketStats, WebSocket,
    WebSocketUpgrade,
};
use sws::{HttpLimits, Overflow, Path, Publication, Response, Router};
use sws_rings::script::{self, Counts, Ending, Pace, Peer, PeerId, World};
use sws_runtime::{Cancelled, Limits, Runtime, Stats};

const MESSAGE_BYTES_MAX: usize = 50_000;
const ROOMS: [&str; 3] = ["room/a", "room/b", "room/c"];
/// Fits each of them.
const ALL_ROOMS: &str = "room/*";
const NORMAL: u16 = 1000;

/// What was published.
struct Entry {
    room: &'static str,
    text: String,
    /// The peer that gets it not.
    except: Option<usize>,
}

/// What happened in the rooms, in its order.
#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    /// For each member, between which entries it was there.
    stays: HashMap<usize, (usize, Option<usize>)>,
}

type SharedLog = Rc<RefCell<Log>>;

/// One in a room, or, with [`ALL_ROOMS`], in all.
struct Guest {
    peer: usize,
    room: &'static str,
    log: SharedLog,
}

impl SocketHandler for Guest {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        let mut log = self.log.borrow_mut();
        let from = log.entries.len();
        log.stays.insert(self.peer, (from, None));
        drop(log);
        match self.room.strip_suffix('*') {
            Some(prefix) => socket.subscribe_prefix(prefix),
            None => socket.subscribe(self.room),
        }
        .expect("subscribes");
    }

    /// `to others:` begins what the sender is not to get.
    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        let text = message.as_text().expect("rooms are of texts");
        let room = if self.room == ALL_ROOMS { ROOMS[text.len() % ROOMS.len()] } else { self.room };
        let publication = Publication::from(text).key(self.peer as u64 % 3 + 1);
        let except = text.starts_with("to others:").then_some(self.peer);
        match except {
            Some(_) => socket.publish_to_others(room, publication).expect("publishes"),
            None => sws::topics().publish(room, publication).expect("publishes"),
        }
        self.log.borrow_mut().entries.push(Entry { room, text: text.to_owned(), except });
    }

    fn on_close(&mut self, _socket: &mut Socket<'_>, _close: &Close) {
        let mut log = self.log.borrow_mut();
        let to = log.entries.len();
        log.stays.entry(self.peer).and_modify(|stay| stay.1 = Some(to));
    }
}

fn echo_in_line(mut socket: WebSocket) -> Result<(), Cancelled> {
    while let Some(message) = socket.recv()? {
        if socket.send(&message).is_err() {
            break;
        }
    }
    Ok(())
}

fn router(log: &SharedLog, options: &SocketOptions, in_rooms: &SocketOptions) -> Router {
    let with_mode = {
        let options = options.clone();
        move |mode: &str| {
            let config =
                DeflateConfig { context_takeover: mode == Mode::Takeover.name(), ..DeflateConfig::default() };
            SocketOptions { deflate: (mode != Mode::Plain.name()).then_some(config), ..options.clone() }
        }
    };
    let for_lines = with_mode.clone();
    let (log, in_rooms) = (Rc::clone(log), in_rooms.clone());
    Router::new()
        .get("/echo/{mode}", move |Path(mode): Path<String>, upgrade: WebSocketUpgrade| -> Response {
            upgrade.options(with_mode(&mode)).on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
                // Without memory for it, it is missing; the test knows.
                let _ = socket.send(message);
            })
        })
        .get("/line/{mode}", move |Path(mode): Path<String>, upgrade: WebSocketUpgrade| -> Response {
            upgrade.options(for_lines(&mode)).run(echo_in_line)
        })
        .get(
            "/rooms/{room}/{peer}",
            move |Path((room, peer)): Path<(usize, usize)>, upgrade: WebSocketUpgrade| -> Response {
                let room = ROOMS.get(room).copied().unwrap_or(ALL_ROOMS);
                upgrade.options(in_rooms.clone()).accept(Guest { peer, room, log: Rc::clone(&log) })
            },
        )
}

/// How a peer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// By a close frame behind all it sends.
    CloseFrame,
    /// By a close frame, when all it is owed has come.
    Answered,
    HalfClose,
    Close,
    Reset,
    /// Stops reading, and waits for the server to give up.
    StopReading,
}

impl Leaving {
    fn draw(rng: &mut Rng) -> Leaving {
        match rng.u8(0..12) {
            0..6 => Leaving::CloseFrame,
            6 => Leaving::HalfClose,
            7 | 8 => Leaving::Close,
            9 => Leaving::Reset,
            _ => Leaving::StopReading,
        }
    }
}

/// What a peer is owed.
enum Owed {
    /// This.
    Echoes(Vec<Heard>),
    /// These messages; pongs overtake them, because they wait for a fiber.
    EchoesInLine(Vec<Heard>),
    /// What is said in these rooms while it is there.
    Rooms(&'static str),
}

struct Expected {
    id: PeerId,
    number: usize,
    mode: Mode,
    owed: Owed,
    leaving: Leaving,
}

/// Frames as a peer sends them.
struct Frames {
    bytes: Vec<u8>,
    deflater: Option<Deflater>,
}

impl Frames {
    /// Appends a message in fragments, with pings between them; returns the pings.
    fn push(&mut self, rng: &mut Rng, text: bool, payload: &[u8]) -> Vec<Vec<u8>> {
        let (mut compressed, mut pings) = (Vec::new(), Vec::new());
        let is_compressed = self.deflater.is_some() && rng.bool();
        if let Some(deflater) = self.deflater.as_mut().filter(|_| is_compressed) {
            deflater.compress(payload, &mut compressed);
        }
        let sent = if is_compressed { &compressed } else { payload };
        let mut cuts: Vec<usize> = (0..rng.usize(0..3)).map(|_| rng.usize(0..=sent.len())).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for (number, to) in cuts.iter().copied().chain([sent.len()]).enumerate() {
            let opcode = match (number, text) {
                (0, true) => Opcode::Text,
                (0, false) => Opcode::Binary,
                _ => Opcode::Continuation,
            };
            if number > 0 && rng.bool() {
                pings.push(rng.u32(..).to_be_bytes().to_vec());
                self.control(rng, Opcode::Ping, &pings[pings.len() - 1]);
            }
            let mask = rng.u32(..).to_ne_bytes();
            let (fin, rsv1) = (number == cuts.len(), is_compressed && number == 0);
            encode_frame_masked(&mut self.bytes, fin, rsv1, opcode, mask, &sent[from..to]);
            from = to;
        }
        pings
    }

    fn control(&mut self, rng: &mut Rng, opcode: Opcode, payload: &[u8]) {
        encode_frame_masked(&mut self.bytes, true, false, opcode, rng.u32(..).to_ne_bytes(), payload);
    }
}

fn close_frame(rng: &mut Rng) -> Vec<u8> {
    let mut frames = Frames { bytes: Vec::new(), deflater: None };
    frames.control(rng, Opcode::Close, &NORMAL.to_be_bytes());
    frames.bytes
}

fn text(rng: &mut Rng, begin: &str) -> String {
    let len_max = *rng.choice(&[0, 10, 300, 9_000, MESSAGE_BYTES_MAX - 100]).expect("not empty");
    let mut text = begin.to_owned();
    let char = *rng.choice(&["a", "\u{e9}", "\u{1f600}"]).expect("not empty");
    text.extend(std::iter::repeat_n(char, rng.usize(0..=len_max) / char.len()));
    text
}

/// One that has its messages echoed.
fn echoed(rng: &mut Rng, number: usize) -> Expected {
    let mode = *rng.choice(&[Mode::Plain, Mode::Plain, Mode::Deflate, Mode::Takeover]).expect("not empty");
    let by_line = rng.u8(0..3) == 0;
    let leaving = match Leaving::draw(rng) {
        // What waits for a straight line is not echoed behind a close frame.
        Leaving::CloseFrame if by_line => Leaving::Answered,
        leaving => leaving,
    };
    let way = if by_line { "line" } else { "echo" };
    let bytes = hearing::handshake(&format!("/{way}/{}", mode.name()), mode);
    let mut frames = Frames { bytes, deflater: mode.deflater() };
    let mut owed = Vec::new();
    for message in 0..rng.usize(0..20) {
        let text = text(rng, &format!("{number}.{message}."));
        let is_text = rng.bool();
        let pings = frames.push(rng, is_text, text.as_bytes());
        owed.extend(pings.into_iter().map(Heard::Pong));
        owed.push(Heard::Message { text: is_text, payload: text.into_bytes() });
    }
    if by_line {
        owed.retain(|owed| matches!(owed, Heard::Message { .. }));
    }
    let id = add(rng, frames.bytes, leaving, mode, &owed);
    let owed = if by_line { Owed::EchoesInLine(owed) } else { Owed::Echoes(owed) };
    Expected { id, number, mode, owed, leaving }
}

/// One in a room.
fn guest(rng: &mut Rng, number: usize) -> Expected {
    let leaving = Leaving::draw(rng);
    let room = rng.usize(0..=ROOMS.len());
    let bytes = hearing::handshake(&format!("/rooms/{room}/{number}"), Mode::Plain);
    let mut frames = Frames { bytes, deflater: None };
    for message in 0..rng.usize(0..20) {
        let begin = if rng.u8(0..4) == 0 { "to others: " } else { "" };
        let text = text(rng, &format!("{begin}{number}.{message}."));
        frames.push(rng, true, text.as_bytes());
    }
    let id = add(rng, frames.bytes, leaving, Mode::Plain, &[]);
    let room = ROOMS.get(room).copied().unwrap_or(ALL_ROOMS);
    Expected { id, number, mode: Mode::Plain, owed: Owed::Rooms(room), leaving }
}

fn add(rng: &mut Rng, mut bytes: Vec<u8>, leaving: Leaving, mode: Mode, owed: &[Heard]) -> PeerId {
    if leaving == Leaving::CloseFrame {
        bytes.extend(close_frame(rng));
    }
    let start_max = *rng.choice(&[500, 20_000, 200_000]).expect("not empty");
    let start = Duration::from_micros(rng.u64(0..start_max));
    let (chunks, end) = peers::cut(rng, &bytes, start);
    let peer = Peer::connecting_at(start).sends(chunks);
    let later = end + Duration::from_micros(rng.u64(0..30_000));
    let slow = Pace::Slow { bytes: rng.usize(500..20_000), every: Duration::from_micros(rng.u64(1..5_000)) };
    let peer = if rng.u8(0..4) == 0 { peer.reads(slow) } else { peer };
    let peer = match leaving {
        Leaving::CloseFrame => peer,
        Leaving::Answered => {
            let (mut frame, owed) = (Some(close_frame(rng)), owed.len());
            peer.reacts(move |received, reply| {
                if frame.is_some()
                    && hearing::hear(mode, received).is_some_and(|heard| messages(&heard).count() >= owed)
                {
                    reply.send(Duration::ZERO, frame.take().unwrap_or_default());
                }
            })
        }
        Leaving::HalfClose => peer.half_closes_at(end),
        Leaving::Close => peer.closes_at(later),
        Leaving::Reset => peer.resets_at(later),
        Leaving::StopReading => peer.reads(Pace::Stop { after: rng.usize(0..50_000) }),
    };
    script::with(|world| world.add_peer(peer))
}

fn messages(heard: &[Heard]) -> impl Iterator<Item = &Heard> {
    heard.iter().filter(|heard| matches!(heard, Heard::Message { .. }))
}

/// What may have been lost on purpose.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// The server ended while peers were there.
    drains: bool,
    /// A buffer was refused.
    is_poor: bool,
    /// Messages in rooms were dropped, or replaced by later ones.
    drops: bool,
    replaces: bool,
    closes: bool,
}

impl Expected {
    fn check(&self, seed: u64, log: &Log, allowance: Allowance) {
        let (received, ending, interfered) = script::with(|world| {
            (world.received(self.id).to_vec(), world.ending(self.id), world.is_interfered(self.id))
        });
        let what = format!(
            "seed {seed}: peer {} ({:?}, {:?}, {ending:?}, interfered {interfered}, {allowance:?})",
            self.number, self.leaving, self.mode
        );
        let Some(mut heard) = hearing::hear(self.mode, &received) else {
            let is_owed = self.is_owed_all(interfered, allowance);
            return assert!(!is_owed, "{what} was not upgraded: {:?}", String::from_utf8_lossy(&received));
        };
        let close = heard.pop_if(|heard| matches!(heard, Heard::Close(_)));
        let owed = match &self.owed {
            Owed::Echoes(owed) | Owed::EchoesInLine(owed) => owed.clone(),
            Owed::Rooms(room) => log.said_to(self.number, room),
        };
        if !matches!(self.owed, Owed::Echoes(_)) {
            heard.retain(|heard| matches!(heard, Heard::Message { .. }));
        }
        let in_rooms = matches!(self.owed, Owed::Rooms(_));
        if allowance.is_poor || in_rooms && (allowance.drops || allowance.replaces) {
            let unordered = allowance.replaces && in_rooms;
            return assert_is_part(&what, &heard, &owed, unordered);
        }
        assert!(owed.starts_with(&heard), "{what} heard {heard:?}\nand is owed {owed:?}");
        if self.is_owed_all(interfered, allowance) {
            let trace = || script::with(|world| world.trace());
            let all = heard.len() == owed.len();
            assert!(all, "{what} heard {} of {}\n{heard:?}\n{owed:?}\n{}", heard.len(), owed.len(), trace());
            assert_eq!(close, Some(Heard::Close(Some(NORMAL))), "{what}\n{}", trace());
            assert_eq!(ending, Ending::Fin, "{what}\n{}", trace());
        }
    }

    fn is_owed_all(&self, interfered: bool, allowance: Allowance) -> bool {
        let is_polite = matches!(self.leaving, Leaving::CloseFrame | Leaving::Answered);
        let is_closed = allowance.closes && matches!(self.owed, Owed::Rooms(_));
        is_polite && !interfered && !is_closed && !allowance.drains && !allowance.is_poor
    }
}

impl Log {
    /// What a member must have been sent.
    fn said_to(&self, peer: usize, room: &str) -> Vec<Heard> {
        let Some(&(from, to)) = self.stays.get(&peer) else { return Vec::new() };
        self.entries[from..to.unwrap_or(self.entries.len())]
            .iter()
            .filter(|entry| (room == ALL_ROOMS || entry.room == room) && entry.except != Some(peer))
            .map(|entry| Heard::Message { text: true, payload: entry.text.clone().into_bytes() })
            .collect()
    }
}

/// What is heard is owed, each once, and unless `unordered` in this order.
fn assert_is_part(what: &str, heard: &[Heard], owed: &[Heard], unordered: bool) {
    let mut left: Vec<&Heard> = owed.iter().rev().collect();
    for one in heard {
        let found = match unordered {
            true => left.iter().position(|owed| *owed == one).map(|at| left.remove(at)),
            false => std::iter::from_fn(|| left.pop()).find(|owed| *owed == one),
        };
        assert!(found.is_some(), "{what} heard {one:?} of {heard:?}\nand is owed {owed:?}");
    }
}

fn limits(rng: &mut Rng) -> Limits {
    let default = Limits::default();
    let is_poor = rng.u8(0..10) == 0;
    Limits {
        input_bytes_max: rng.usize(8_000..100_000),
        buffer_bytes_max: if is_poor { rng.usize(10_000..200_000) } else { default.buffer_bytes_max },
        fibers_per_turn: rng.usize(1..50),
        ..default
    }
}

fn socket_options(rng: &mut Rng) -> SocketOptions {
    SocketOptions {
        message_bytes_max: MESSAGE_BYTES_MAX,
        frame_bytes_max: MESSAGE_BYTES_MAX,
        // More than all messages of a peer.
        output_bytes_max: 4 << 20,
        overflow: Overflow::Refuse,
        ping_interval: Some(Duration::from_secs(rng.u64(2..40))),
        pong_timeout: Duration::from_secs(rng.u64(2..20)),
        ..SocketOptions::default()
    }
}

/// One seed.
pub fn run(seed: u64) -> Counts {
    let mut rng = Rng::with_seed(seed);
    World::install(seed, peers::options(&mut rng));
    let limits = limits(&mut rng);
    let runtime = Runtime::new(peers::config(&mut rng, limits)).expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let http = HttpLimits {
        head_timeout: Duration::from_secs(600),
        idle_timeout: Duration::from_secs(60),
        ..HttpLimits::default()
    };
    let log = SharedLog::default();
    let options = socket_options(&mut rng);
    let overflows = [Overflow::Refuse, Overflow::Close, Overflow::DropOldest, Overflow::KeepLatest];
    let in_rooms = SocketOptions {
        output_bytes_max: *rng.choice(&[60_000, 200_000, 64 << 20]).expect("not empty"),
        overflow: *rng.choice(&overflows).expect("not empty"),
        ..options.clone()
    };
    router(&log, &options, &in_rooms).listen_on(&runtime, listener, http).expect("no conflicts");
    let peers: Vec<Expected> = (0..rng.usize(3..=20))
        .map(|number| if rng.bool() { echoed(&mut rng, number) } else { guest(&mut rng, number) })
        .collect();
    let drains = rng.u8(0..6) == 0;
    let stats = finish(&mut rng, seed, &runtime, drains);
    drop(runtime);
    let allowance = Allowance {
        drains,
        is_poor: stats.buffers_refused > 0,
        drops: stats.messages_dropped + stats.messages_refused > 0,
        replaces: stats.messages_replaced > 0,
        closes: stats.closed_slow > 0,
    };
    peers.iter().for_each(|peer| peer.check(seed, &log.borrow(), allowance));
    let (audit, trace, counts) = script::with(|world| (world.audit(), world.trace(), world.counts()));
    assert!(audit.is_clean(), "seed {seed}: {audit}\n{trace}");
    counts
}

/// Ends the worker, when all peers have left or before.
fn finish(rng: &mut Rng, seed: u64, runtime: &Runtime, drains: bool) -> Stats {
    if drains {
        let (handle, at) = (runtime.handle(), Duration::from_micros(rng.u64(0..3_000_000)));
        script::with(|world| world.call_at(at, move || handle.shutdown()));
        runtime.run();
        return runtime.stats();
    }
    while !script::with(|world| world.peers_are_done()) {
        runtime.tick();
    }
    peers::add_latecomers(rng);
    runtime.handle().shutdown();
    runtime.run();
    let stats = runtime.stats();
    peers::check_stats(seed, &stats);
    assert_eq!((stats.topics, stats.memberships), (0, 0), "seed {seed}: memberships are left");
    let sockets = runtime.enter(sws::websocket::stats);
    assert_eq!(sockets, SocketStats::default(), "seed {seed}: sockets are left");
    stats
}
