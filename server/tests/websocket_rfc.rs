//! RFC 6455 and RFC 7692 rule by rule, over raw bytes and real sockets. Each test names its section; the table of rules and tests
//! is `docs/websocket-conformance.md`.

mod common;
#[path = "websocket_rfc/deflate.rs"]
mod deflate;
#[path = "websocket_rfc/handshake.rs"]
mod handshake;
#[path = "websocket_rfc/peer.rs"]
mod peer;

use common::{settle, start};
use peer::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, Peer, TEXT, code, frame, masked};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use sws::websocket::{DeflateConfig, Message, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use sws::{Response, Router, Running};

/// Echoes, but for some texts that it obeys.
struct Obedient {
    messages: Arc<AtomicUsize>,
}

impl SocketHandler for Obedient {
    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        self.messages.fetch_add(1, Ordering::SeqCst);
        let Message::Text(text) = message else {
            return socket.send(message).expect("there is room");
        };
        match text.split_once(' ').unwrap_or((text, "")) {
            ("close", code) => {
                socket.send("before").expect("there is room");
                socket.close(code.parse().expect("a code"), "as told");
                assert!(socket.send("behind").is_err() && socket.ping(b"").is_err());
            }
            ("join", room) => {
                match room.strip_suffix('*') {
                    Some(prefix) => socket.subscribe_prefix(prefix),
                    None => socket.subscribe(room),
                }
                .expect("subscribes");
                socket.send("joined").expect("there is room");
            }
            ("tell", word) => {
                socket.publish("room", word).expect("publishes");
                socket.send("told").expect("there is room");
            }
            ("ping", payload) => socket.ping(payload.as_bytes()).expect("there is room"),
            _ => socket.send(message).expect("there is room"),
        }
    }
}

/// `/ws` does not compress; the others do, in different ways.
fn serve() -> (Running, Arc<AtomicUsize>) {
    let messages = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&messages);
    let server = start(move || {
        let socket = |deflate: Option<DeflateConfig>| {
            let seen = Arc::clone(&seen);
            move |upgrade: WebSocketUpgrade| -> Response {
                let options = SocketOptions {
                    deflate,
                    message_bytes_max: 200_000,
                    frame_bytes_max: 100_000,
                    ..SocketOptions::default()
                };
                upgrade.options(options).accept(Obedient { messages: Arc::clone(&seen) })
            }
        };
        let deflate = DeflateConfig { threshold_bytes: 16, ..DeflateConfig::default() };
        let takeover = DeflateConfig { context_takeover: true, ..deflate };
        Router::new()
            .get("/ws", socket(None))
            .get("/deflate", socket(Some(deflate)))
            .get("/takeover", socket(Some(takeover)))
            .get("/small", socket(Some(DeflateConfig { window_bits: 10, ..takeover })))
    });
    (server, messages)
}

/// Runs a test against a server, and checks that it gave back all that it used.
fn with_server(test: impl FnOnce(SocketAddr, &AtomicUsize)) {
    let (server, messages) = serve();
    test(server.addr(), &messages);
    settle(server);
}

/// Each input, on a connection of its own, fails it with this code: a ping behind it is not answered any more.
#[track_caller]
fn all_fail(addr: SocketAddr, path: &str, more: &[&str], expected: u16, inputs: &[Vec<u8>]) {
    for input in inputs {
        let (mut peer, _) = Peer::open_with(addr, path, more);
        peer.send([input.as_slice(), &masked(FIN | PING, b"behind")].concat());
        let shown = input[..input.len().min(16)].escape_ascii();
        let answer = peer.next();
        assert_eq!(answer.first, FIN | CLOSE, "{shown}: {answer:?}");
        assert_eq!(answer.payload.get(..2), Some(&expected.to_be_bytes()[..]), "{shown}: {answer:?}");
        peer.ended();
    }
}

#[test]
fn rfc6455_5_1_a_frame_that_is_not_masked_closes_the_connection() {
    with_server(|addr, messages| {
        let frames: [&[u8]; 6] =
            [b"\x81\x01a", b"\x82\x01a", b"\x01\x01a", b"\x89\x01a", b"\x8a\x00", b"\x88\x02\x03\xe8"];
        all_fail(addr, "/ws", &[], 1002, &frames.map(<[u8]>::to_vec));
        assert_eq!(messages.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn rfc6455_5_1_no_frame_of_the_server_is_masked() {
    with_server(|addr, _| {
        // `Peer::next` asserts it of each: a text, a binary, a ping, a pong and a close frame.
        let mut peer = Peer::open(addr, "/ws");
        peer.frame(FIN | TEXT, "text");
        peer.frame(FIN | BINARY, [0; 300]);
        peer.frame(FIN | TEXT, "ping p");
        peer.frame(FIN | PING, b"q");
        peer.frame(FIN | TEXT, "close 1000");
        assert_eq!(peer.next(), frame(FIN | TEXT, "text"));
        assert_eq!(peer.next(), frame(FIN | BINARY, [0; 300]));
        assert_eq!(peer.next(), frame(FIN | PING, "p"));
        assert_eq!(peer.next(), frame(FIN | PONG, "q"));
        assert_eq!(peer.next(), frame(FIN | TEXT, "before"));
        assert_eq!(peer.next(), frame(FIN | CLOSE, code(1000, "as told")));
    });
}

#[test]
fn rfc6455_5_2_reserved_bits_and_opcodes_fail_the_connection() {
    with_server(|addr, _| {
        let mut inputs = Vec::new();
        for first in [0xc1, 0xa1, 0x91, 0xf2, 0xc9, 0xa9, 0x98, 0x41] {
            inputs.push(masked(first, b"x"));
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            inputs.push(masked(FIN | opcode, b"x"));
        }
        all_fail(addr, "/ws", &[], 1002, &inputs);
    });
}

#[test]
fn rfc6455_5_2_a_length_that_is_not_minimal_or_has_its_highest_bit_set_fails() {
    with_server(|addr, _| {
        let inputs: [&[u8]; 4] = [
            b"\x82\xfe\x00\x7d",
            b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x7d",
            b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff",
            b"\x82\xff\x80\x00\x00\x00\x00\x01\x00\x00",
        ];
        all_fail(addr, "/ws", &[], 1002, &inputs.map(<[u8]>::to_vec));
    });
}

#[test]
fn rfc6455_5_2_lengths_are_sent_in_their_shortest_form() {
    with_server(|addr, _| {
        // `Peer::next` asserts the form.
        let mut peer = Peer::open(addr, "/ws");
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            peer.frame(FIN | BINARY, &payload);
            assert_eq!(peer.next(), frame(FIN | BINARY, &payload), "{len}");
        }
    });
}

#[test]
fn rfc6455_5_4_fragments_and_control_frames_in_the_middle() {
    with_server(|addr, messages| {
        let mut peer = Peer::open(addr, "/ws");
        let session = [
            masked(TEXT, "one "),
            masked(FIN | PING, "first"),
            masked(CONTINUATION, ""),
            masked(FIN | PONG, "unasked"),
            masked(CONTINUATION, "two "),
            masked(FIN | PING, ""),
            masked(FIN | CONTINUATION, "three"),
            masked(BINARY, ""),
            masked(FIN | CONTINUATION, ""),
            masked(FIN | TEXT, "whole"),
        ];
        for bytewise in [false, true] {
            match bytewise {
                false => peer.send(session.concat()),
                true => session.concat().iter().for_each(|byte| peer.send([*byte])),
            }
            assert_eq!(peer.next(), frame(FIN | PONG, "first"));
            assert_eq!(peer.next(), frame(FIN | PONG, ""));
            assert_eq!(peer.next(), frame(FIN | TEXT, "one two three"));
            assert_eq!(peer.next(), frame(FIN | BINARY, ""));
            assert_eq!(peer.next(), frame(FIN | TEXT, "whole"));
        }
        // A ping is answered while its message is still open; so is a close frame, and the message is none.
        peer.frame(TEXT, "never ");
        peer.frame(FIN | PING, "waits");
        assert_eq!(peer.next(), frame(FIN | PONG, "waits"));
        peer.frame(FIN | CLOSE, code(1000, ""));
        peer.failed(1000);
        assert_eq!(messages.load(Ordering::SeqCst), 6);
    });
}

#[test]
fn rfc6455_5_4_fragments_out_of_place_fail_the_connection() {
    with_server(|addr, _| {
        let inputs = [
            masked(FIN | CONTINUATION, "x"),
            masked(CONTINUATION, "x"),
            [masked(TEXT, "x"), masked(FIN | TEXT, "y")].concat(),
            [masked(TEXT, "x"), masked(BINARY, "y")].concat(),
            [masked(BINARY, "x"), masked(FIN | PING, ""), masked(FIN | BINARY, "y")].concat(),
        ];
        for input in inputs {
            let mut peer = Peer::open(addr, "/ws");
            let pongs = input.iter().filter(|byte| **byte == FIN | PING).count();
            peer.send(input);
            for _ in 0..pongs {
                assert_eq!(peer.next(), frame(FIN | PONG, ""));
            }
            peer.failed(1002);
        }
    });
}

#[test]
fn rfc6455_5_5_control_frames_that_are_long_or_fragmented_fail() {
    with_server(|addr, _| {
        let mut inputs = Vec::new();
        for opcode in [CLOSE, PING, PONG] {
            inputs.push(masked(FIN | opcode, [3; 126]));
            inputs.push(masked(opcode, code(1000, "")));
        }
        all_fail(addr, "/ws", &[], 1002, &inputs);
        // What a handler sends is cut.
        let mut peer = Peer::open(addr, "/ws");
        for len in [125, 126, 300, 70_000] {
            peer.frame(FIN | TEXT, format!("ping {}", "x".repeat(len)));
            assert_eq!(peer.next(), frame(FIN | PING, "x".repeat(125)), "{len}");
        }
    });
}

#[test]
fn rfc6455_5_5_1_a_close_frame_is_answered_and_the_server_closes_first() {
    with_server(|addr, messages| {
        for (sent, answer) in [
            (code(1000, "bye"), code(1000, "")),
            (code(1001, ""), code(1001, "")),
            (code(3000, &"x".repeat(123)), code(3000, "")),
            (code(4999, ""), code(4999, "")),
            (Vec::new(), Vec::new()),
        ] {
            let mut peer = Peer::open(addr, "/ws");
            // What comes behind the peer's close frame is nothing, and a ping is not answered (5.5.2).
            let behind = [masked(FIN | TEXT, "late"), masked(FIN | PING, "late")].concat();
            peer.send([masked(FIN | CLOSE, &sent), behind].concat());
            assert_eq!(peer.next(), frame(FIN | CLOSE, &answer), "{sent:?}");
            // This side of the connection is open: the server ends it by itself (7.1.1).
            peer.ended();
        }
        assert_eq!(messages.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn rfc6455_5_5_1_what_was_sent_before_goes_out_before_the_close_frame() {
    with_server(|addr, _| {
        let mut peer = Peer::open(addr, "/ws");
        let big = vec![7; 100_000];
        peer.send([masked(FIN | BINARY, &big), masked(FIN | CLOSE, code(1000, ""))].concat());
        assert_eq!(peer.next(), frame(FIN | BINARY, &big));
        peer.failed(1000);
    });
}

#[test]
fn rfc6455_5_5_1_no_data_follows_our_close_frame() {
    with_server(|addr, messages| {
        let (mut leaving, mut other) = (Peer::open(addr, "/ws"), Peer::open(addr, "/ws"));
        for peer in [&mut leaving, &mut other] {
            peer.frame(FIN | TEXT, "join room");
            assert_eq!(peer.next(), frame(FIN | TEXT, "joined"));
            peer.frame(FIN | TEXT, "join ro*");
            assert_eq!(peer.next(), frame(FIN | TEXT, "joined"));
        }
        // Of one turn: what was published before the close goes before it.
        leaving.send([masked(FIN | TEXT, "tell once"), masked(FIN | TEXT, "close 4000")].concat());
        for expected in ["once", "once", "told", "before"] {
            assert_eq!(leaving.next(), frame(FIN | TEXT, expected));
        }
        assert_eq!(leaving.next(), frame(FIN | CLOSE, code(4000, "as told")));
        let heard = messages.load(Ordering::SeqCst);
        // It has not answered: the connection is open, publications go on, and it still talks.
        leaving.frame(FIN | TEXT, "echo");
        for word in ["x", "y", "z"] {
            other.frame(FIN | TEXT, format!("tell {word}"));
        }
        for expected in ["once", "once", "x", "x", "told", "y", "y", "told", "z", "z", "told"] {
            assert_eq!(other.next(), frame(FIN | TEXT, expected));
        }
        leaving.frame(FIN | CLOSE, code(4000, ""));
        leaving.ended();
        // 1.4: what came behind our close frame was discarded.
        assert_eq!(messages.load(Ordering::SeqCst), heard + 3);
    });
}

#[test]
fn rfc6455_1_4_a_ping_behind_our_close_frame_is_not_answered() {
    with_server(|addr, _| {
        let mut peer = Peer::open(addr, "/ws");
        peer.frame(FIN | TEXT, "close 1000");
        assert_eq!(peer.next(), frame(FIN | TEXT, "before"));
        assert_eq!(peer.next(), frame(FIN | CLOSE, code(1000, "as told")));
        peer.send([masked(FIN | PING, "late"), masked(FIN | CLOSE, code(1000, ""))].concat());
        peer.ended();
    });
}

#[test]
fn rfc6455_5_5_2_a_ping_is_answered_by_a_pong_with_its_payload() {
    with_server(|addr, _| {
        let mut peer = Peer::open(addr, "/ws");
        for len in [0, 1, 4, 124, 125] {
            let payload: Vec<u8> = (0..len).map(|n| n ^ 0xa5).collect();
            peer.frame(FIN | PING, &payload);
            assert_eq!(peer.next(), frame(FIN | PONG, &payload));
            // 5.5.3: an unasked pong is not answered.
            peer.frame(FIN | PONG, &payload);
        }
        peer.frame(FIN | TEXT, "alive");
        assert_eq!(peer.next(), frame(FIN | TEXT, "alive"));
    });
}

#[test]
fn rfc6455_6_1_a_message_keeps_its_type_and_ends_with_fin() {
    with_server(|addr, _| {
        let mut peer = Peer::open(addr, "/ws");
        for (opcode, payload) in [(TEXT, &b"text"[..]), (BINARY, b"\xff\x00"), (TEXT, b""), (BINARY, b"")] {
            peer.frame(FIN | opcode, payload);
            assert_eq!(peer.next(), frame(FIN | opcode, payload));
        }
    });
}

#[test]
fn rfc6455_7_1_2_a_close_frame_says_code_and_reason() {
    with_server(|addr, _| {
        for sent in [1000, 1001, 1003, 1011, 3000, 4000, 4999] {
            let mut peer = Peer::open(addr, "/ws");
            peer.frame(FIN | TEXT, format!("close {sent}"));
            assert_eq!(peer.next(), frame(FIN | TEXT, "before"));
            assert_eq!(peer.next(), frame(FIN | CLOSE, code(sent, "as told")));
            // The server waits for the answer, then closes at once.
            peer.frame(FIN | CLOSE, code(sent, ""));
            peer.ended();
        }
    });
}

#[test]
fn rfc6455_7_1_7_nothing_is_processed_behind_a_failure() {
    with_server(|addr, messages| {
        let mut peer = Peer::open(addr, "/ws");
        let behind = [masked(FIN | TEXT, "late"), masked(FIN | PING, "late")].concat();
        let input = [masked(FIN | TEXT, "first"), masked(FIN | 3, ""), behind.clone()].concat();
        peer.send(input);
        assert_eq!(peer.next(), frame(FIN | TEXT, "first"));
        let close = peer.next();
        assert_eq!((close.first, &close.payload[..2]), (FIN | CLOSE, &1002_u16.to_be_bytes()[..]));
        peer.ended();
        // Also what comes when the close frame has come.
        peer.send(behind);
        assert_eq!(messages.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn rfc6455_7_4_codes_that_may_not_be_received_fail_the_connection() {
    with_server(|addr, _| {
        let bad: Vec<Vec<u8>> = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]
            .iter()
            .map(|bad| masked(FIN | CLOSE, code(*bad, "")))
            .collect();
        all_fail(addr, "/ws", &[], 1002, &bad);
        all_fail(addr, "/ws", &[], 1002, &[masked(FIN | CLOSE, [3])]);
        for good in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 3000, 3999, 4000, 4999] {
            let mut peer = Peer::open(addr, "/ws");
            peer.frame(FIN | CLOSE, code(good, ""));
            peer.failed(good);
        }
    });
}

#[test]
fn rfc6455_7_4_1_reserved_codes_are_never_sent() {
    with_server(|addr, _| {
        for (told, sent) in [(1005, 1000), (1006, 1011), (1015, 1011), (1004, 1011), (0, 1011), (2999, 1011)]
        {
            let mut peer = Peer::open(addr, "/ws");
            peer.frame(FIN | TEXT, format!("close {told}"));
            assert_eq!(peer.next(), frame(FIN | TEXT, "before"));
            assert_eq!(peer.next(), frame(FIN | CLOSE, code(sent, "as told")), "{told}");
        }
    });
}

#[test]
fn rfc6455_8_1_text_that_is_not_utf8_fails_the_connection() {
    with_server(|addr, messages| {
        let inputs = [
            masked(FIN | TEXT, b"\xff"),
            masked(FIN | TEXT, b"\xc0\xaf"),
            masked(FIN | TEXT, b"\xed\xa0\x80"),
            masked(FIN | TEXT, b"\xf4\x90\x80\x80"),
            masked(FIN | TEXT, b"cut \xe2\x82"),
            [masked(TEXT, b"\xe2"), masked(FIN | CONTINUATION, b"\x28\xa1")].concat(),
            // It fails before the message is whole.
            [masked(TEXT, b"\xce\xba"), masked(CONTINUATION, b"\xed\xa0")].concat(),
            masked(FIN | CLOSE, code(1000, "").into_iter().chain([0xff]).collect::<Vec<u8>>()),
        ];
        all_fail(addr, "/ws", &[], 1007, &inputs);
        assert_eq!(messages.load(Ordering::SeqCst), 0);
        // 5.6: a character may be cut by fragments.
        let mut peer = Peer::open(addr, "/ws");
        peer.send([masked(TEXT, b"\xe2"), masked(FIN | CONTINUATION, b"\x82\xac")].concat());
        assert_eq!(peer.next(), frame(FIN | TEXT, "\u{20ac}"));
    });
}

#[test]
fn rfc6455_10_4_frames_and_messages_over_the_limits_fail_the_connection() {
    with_server(|addr, _| {
        let huge = [&b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"[..], &[0; 4]].concat();
        let frame_over = masked(FIN | BINARY, vec![0; 100_001])[..14].to_vec();
        let mut message_over = masked(BINARY, vec![1; 100_000]);
        message_over.extend(masked(CONTINUATION, vec![2; 100_000]));
        message_over.extend(masked(FIN | CONTINUATION, [3]));
        for input in [huge, frame_over, message_over] {
            let mut peer = Peer::open(addr, "/ws");
            peer.send(input);
            peer.failed(1009);
        }
    });
}
