//! Members that stop reading while messages go to their topic at the full rate of those who read.

use crate::common::{self, settle};
use crate::wire::{Ear, Heard, Mode, connect, socket_stats};
use crate::{connections_max, resident_bytes};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use sws::websocket::{Message, Socket, SocketHandler, SocketOptions, SocketStats, WebSocketUpgrade};
use sws::{Overflow, Publication, PublishError, Router, Topics};

const TOPIC: &str = "full";
const READERS: usize = 4;
const OUTPUT_BYTES_MAX: usize = 128 * 1024;
const MESSAGE_BYTES: usize = 8 * 1024;
/// Messages that the slowest reader may be behind: with their heads they fit its bound.
const WINDOW: usize = OUTPUT_BYTES_MAX / MESSAGE_BYTES / 2;
/// Different keys of [`Overflow::KeepLatest`].
const KEYS: usize = 8;

struct Member;

impl SocketHandler for Member {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        socket.subscribe(TOPIC).expect("subscribes");
    }

    fn on_message(&mut self, _socket: &mut Socket<'_>, _message: Message<'_>) {}
}

fn payload(n: usize) -> String {
    let mut payload = format!("{n:08}");
    payload.extend(std::iter::repeat_n('x', MESSAGE_BYTES - payload.len()));
    payload
}

/// Reads all messages, none of which may be missing.
fn reading(addr: SocketAddr, count: usize, read: &AtomicUsize) {
    let mut stream = connect(addr, "/member", Mode::Plain);
    let mut ear = Ear::new(Mode::Plain);
    for n in 0..count {
        let heard = ear.hear(&mut stream);
        let owed = Heard::Message { text: true, payload: payload(n).into_bytes() };
        assert_eq!(heard, Ok(owed), "message {n}");
        read.store(n + 1, Ordering::Release);
    }
}

/// Publishes as fast as the slowest reader reads. Returns the most memory that the process had.
fn publishing(topics: &Topics, count: usize, read: &[AtomicUsize], given_up: impl Fn() -> bool) -> usize {
    let mut most = 0;
    for n in 0..count {
        let slowest = || read.iter().map(|read| read.load(Ordering::Acquire)).min().unwrap_or(0);
        while n >= slowest() + WINDOW {
            assert!(!given_up(), "everybody who reads gets everything");
            std::thread::yield_now();
        }
        let message = Publication::from(payload(n)).key((n % KEYS) as u64 + 1);
        while let Err(error) = topics.publish(TOPIC, message.clone()) {
            assert_eq!(error, PublishError::Full);
            std::thread::yield_now();
        }
        if n % 20 == 0 {
            most = most.max(resident_bytes());
        }
    }
    most.max(resident_bytes())
}

/// Bytes that the server may hold for the stopped members: the messages themselves once, because all share them, and for
/// each member its place in tables and queues.
fn bytes_bound(stopped: usize, published: usize) -> usize {
    // Of a message that waits: itself, its key, twice for the growth of the queue; and the key in a map.
    let queued = OUTPUT_BYTES_MAX / MESSAGE_BYTES * (2 * 40 + 64);
    let messages = (published * MESSAGE_BYTES).min(stopped * OUTPUT_BYTES_MAX);
    stopped * (queued + TABLES_BYTES) + messages
}

/// Bytes of a member's slot, output and entries.
const TABLES_BYTES: usize = 2048;
/// What a closed member's last words are written into.
const LAST_BUFFER_BYTES: usize = 8 * 1024;
/// What else grows meanwhile: the mailbox, buffers that are kept, what the readers read into.
const SLACK_BYTES: usize = 8 << 20;

/// What a stopped member has got when it reads again: messages in their order, none of them cut, not all, and the last.
fn assert_some_are_missing(stream: &mut TcpStream, published: usize) {
    let mut ear = Ear::new(Mode::Plain);
    let (mut count, mut last) = (0, None);
    while last != Some(published - 1) {
        let heard = ear.hear(stream);
        let Ok(Heard::Message { text: true, payload: heard }) = heard else {
            panic!("{heard:?} behind {last:?}")
        };
        let n = std::str::from_utf8(&heard[..8]).ok().and_then(|n| n.parse().ok()).expect("a number");
        assert!(heard == payload(n).into_bytes() && last < Some(n), "{n} behind {last:?}");
        (count, last) = (count + 1, Some(n));
    }
    assert!(count < published, "it stopped so long that it missed some");
}

pub fn run(overflow: Overflow) {
    let server = sws::Server::bind("127.0.0.1:0").expect("a port");
    let topics = server.topics();
    let options = SocketOptions {
        overflow,
        output_bytes_max: OUTPUT_BYTES_MAX,
        close_timeout: Duration::from_millis(500),
        ..SocketOptions::default()
    };
    let router = move || {
        let options = options.clone();
        Router::new()
            .get("/member", move |upgrade: WebSocketUpgrade| upgrade.options(options.clone()).accept(Member))
    };
    let server = server.spawn(router).expect("starts");
    let addr = server.addr();
    let stopped = connections_max(1000);
    // The kernel takes some megabytes for each.
    let published = 800;
    let mut members: Vec<_> = (0..stopped).map(|_| connect(addr, "/member", Mode::Plain)).collect();
    let read: Vec<AtomicUsize> = (0..READERS).map(|_| AtomicUsize::new(0)).collect();
    let before = resident_bytes();
    let most = std::thread::scope(|scope| {
        let readers: Vec<_> =
            read.iter().map(|read| scope.spawn(move || reading(addr, published, read))).collect();
        let given_up = || readers.iter().any(|reader| reader.is_finished());
        while topics.subscribers(TOPIC) < stopped + READERS {
            assert!(!given_up(), "all subscribe");
            std::thread::yield_now();
        }
        publishing(&topics, published, &read, given_up)
    });
    let (grown, bound) = (most.saturating_sub(before), bytes_bound(stopped, published) + SLACK_BYTES);
    assert!(grown <= bound, "{grown} bytes for {stopped} members, {bound} are due");
    let stats = common::stats(&server);
    assert!(stats.buffer_bytes_high_water <= (stopped + READERS) * LAST_BUFFER_BYTES, "{stats:#?}");
    assert_eq!(stats.buffers_refused, 0);
    let dropped = (stats.messages_dropped, stats.messages_replaced, stats.closed_slow);
    let many = stopped as u64..;
    match overflow {
        Overflow::DropOldest => {
            assert!(many.contains(&dropped.0) && (dropped.1, dropped.2) == (0, 0), "{dropped:?}");
        }
        Overflow::KeepLatest => {
            assert!(many.contains(&dropped.1) && (dropped.0, dropped.2) == (0, 0), "{dropped:?}");
        }
        Overflow::Close | Overflow::Refuse => assert_eq!(dropped, (0, 0, stopped as u64)),
    }
    if overflow == Overflow::Close {
        // They do not take their close frames either.
        common::wait_until(&server, "the stopped are gone", |stats| stats.connections == 0);
    } else {
        assert!(stats.connections as usize >= stopped, "nobody is closed: {stats:#?}");
        members.iter_mut().take(5).for_each(|member| assert_some_are_missing(member, published));
    }
    drop(members);
    common::wait_until(&server, "no connection is left", |stats| stats.connections == 0);
    assert_eq!(socket_stats(&server), SocketStats::default());
    settle(server);
}
