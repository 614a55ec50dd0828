//! WebSockets over real sockets, with tungstenite as the client.

mod common;

use common::{Client, PATIENCE, settle, start};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use sws::websocket::{
    Close, Message, Sender, Socket, SocketHandler, SocketOptions, WebSocket, WebSocketUpgrade,
};
use sws::{Response, Router, Running};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message as Msg};

type Peer = tungstenite::WebSocket<TcpStream>;

/// Connects and upgrades.
fn open(addr: SocketAddr, path: &str) -> Peer {
    let stream = TcpStream::connect(addr).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("nodelay");
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let url = format!("ws://{addr}{path}");
    tungstenite::client::client_with_config(url, stream, Some(config)).expect("upgrades").0
}

fn text(peer: &mut Peer) -> String {
    match peer.read().expect("a message comes") {
        Msg::Text(text) => text.as_str().to_owned(),
        other => panic!("a text was expected: {other:?}"),
    }
}

/// Reads up to the close frame.
fn closed(peer: &mut Peer) -> (CloseCode, String) {
    loop {
        match peer.read() {
            Ok(Msg::Close(Some(frame))) => {
                // The answer goes out with the next use.
                let _ = peer.flush();
                return (frame.code, frame.reason.as_str().to_owned());
            }
            Ok(Msg::Close(None)) => return (CloseCode::Status, String::new()),
            Ok(_) => {}
            Err(error) => panic!("no close frame: {error}"),
        }
    }
}

fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
        socket.send(message).expect("there is room");
    })
}

fn echo_in_line(upgrade: WebSocketUpgrade) -> Response {
    upgrade.run(|mut socket: WebSocket| {
        while let Some(message) = socket.recv()? {
            if socket.send(&message).is_err() {
                break;
            }
        }
        Ok::<(), sws::runtime::Cancelled>(())
    })
}

fn echoes() -> Running {
    start(|| Router::new().get("/ws", echo).get("/line", echo_in_line).get("/plain", || "plain"))
}

#[test]
fn messages_come_back_by_callbacks_and_in_a_straight_line() {
    let server = echoes();
    for path in ["/ws", "/line"] {
        let mut peer = open(server.addr(), path);
        for size in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
            let message = "é".repeat(size / 2);
            peer.send(Msg::text(message.clone())).expect("sends");
            assert_eq!(text(&mut peer), message);
            let bytes: Vec<u8> = (0..size).map(|n| n as u8).collect();
            peer.send(Msg::binary(bytes.clone())).expect("sends");
            assert_eq!(peer.read().expect("an answer"), Msg::binary(bytes));
        }
        peer.send(Msg::Ping(b"are you there"[..].into())).expect("sends");
        assert_eq!(peer.read().expect("a pong"), Msg::Pong(b"are you there"[..].into()));
        peer.close(None).expect("closes");
        assert!(matches!(peer.read(), Ok(Msg::Close(_))));
        assert!(matches!(peer.read(), Err(Error::ConnectionClosed)));
    }
    settle(server);
}

#[test]
fn frames_behind_the_handshake_are_taken() {
    let server = echoes();
    let mut client = Client::connect(server.addr());
    let mut bytes = handshake("/ws").into_bytes();
    sws::websocket::codec::encode_frame_masked(
        &mut bytes,
        true,
        false,
        sws::websocket::codec::Opcode::Text,
        [1, 2, 3, 4],
        b"early",
    );
    client.send(bytes);
    let mut answer = Vec::new();
    let mut buf = [0; 512];
    while !answer.ends_with(b"early") {
        let count = client.stream.read(&mut buf).expect("an answer comes");
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buf[..count]);
    }
    let head = String::from_utf8_lossy(&answer);
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    drop(client);
    settle(server);
}

fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Tells of its ends.
struct Told {
    ends: mpsc::Sender<Close>,
}

impl SocketHandler for Told {
    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        match message {
            Message::Text("close") => socket.close(4000, "as you wish"),
            Message::Text("panic") => panic!("as you wish"),
            _ => socket.send(message).expect("there is room"),
        }
    }

    fn on_close(&mut self, socket: &mut Socket<'_>, close: &Close) {
        assert!(socket.send("too late").is_err());
        self.ends.send(close.clone()).expect("the test listens");
    }
}

fn telling(options: SocketOptions) -> (Running, mpsc::Receiver<Close>) {
    let (ends, told) = mpsc::channel();
    let server = start(move || {
        let (ends, options) = (ends.clone(), options.clone());
        Router::new().get("/ws", move |upgrade: WebSocketUpgrade| {
            upgrade.options(options.clone()).accept(Told { ends: ends.clone() })
        })
    });
    (server, told)
}

#[test]
fn an_end_is_told_once_with_its_code() {
    let (server, told) = telling(SocketOptions::default());
    let end = || told.recv_timeout(PATIENCE).expect("an end is told");

    // RFC 6455, 7.1.5: the peer's code.
    let mut peer = open(server.addr(), "/ws");
    let frame = tungstenite::protocol::CloseFrame { code: CloseCode::Library(4001), reason: "done".into() };
    peer.close(Some(frame)).expect("closes");
    assert_eq!(closed(&mut peer).0, CloseCode::Library(4001));
    assert_eq!(end(), Close { code: 4001, reason: "done".into(), clean: true });

    // A close frame without a code.
    let mut peer = open(server.addr(), "/ws");
    peer.close(None).expect("closes");
    assert!(matches!(peer.read(), Ok(Msg::Close(None))));
    assert_eq!(end(), Close { code: 1005, reason: String::new(), clean: true });

    // Ours first; the peer's answers it.
    let mut peer = open(server.addr(), "/ws");
    peer.send(Msg::text("close")).expect("sends");
    assert_eq!(closed(&mut peer), (CloseCode::Library(4000), "as you wish".to_owned()));
    assert!(matches!(peer.read(), Err(Error::ConnectionClosed)));
    let close = end();
    assert_eq!((close.code, close.clean), (4000, true));

    // No close frame at all.
    let peer = open(server.addr(), "/ws");
    drop(peer);
    assert_eq!(end(), Close { code: 1006, reason: String::new(), clean: false });

    // A handler that panics.
    let mut peer = open(server.addr(), "/ws");
    peer.send(Msg::text("panic")).expect("sends");
    assert_eq!(closed(&mut peer).0, CloseCode::Error);
    assert_eq!(end().code, 1011);
    drop(peer);

    settle(server);
    assert!(told.try_recv().is_err(), "each end is told once");
}

#[test]
fn what_breaks_the_protocol_fails_the_socket() {
    let (server, told) = telling(SocketOptions { message_bytes_max: 1000, ..SocketOptions::default() });
    // RFC 6455, 5.1: not masked. 5.2: reserved bit, reserved opcode. 8.1: not UTF-8. 7.4.1: too big. 5.5.1: a close of one byte.
    let table: [(&[u8], u16); 6] = [
        (&[0x81, 0x01, b'a'], 1002),
        (&[0xc1, 0x81, 0, 0, 0, 0, b'a'], 1002),
        (&[0x83, 0x81, 0, 0, 0, 0, b'a'], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&[0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0], 1009),
        (&[0x88, 0x81, 0, 0, 0, 0, 3], 1002),
    ];
    for (bytes, code) in table {
        let mut peer = open(server.addr(), "/ws");
        peer.get_mut().write_all(bytes).expect("sends");
        assert_eq!(u16::from(closed(&mut peer).0), code, "{bytes:x?}");
        let close = told.recv_timeout(PATIENCE).expect("an end is told");
        assert_eq!((close.code, close.clean), (code, false));
    }
    settle(server);
}

#[test]
fn fragments_with_pings_between_them_become_one_message() {
    let server = echoes();
    let mut peer = open(server.addr(), "/ws");
    let mut bytes = Vec::new();
    use sws::websocket::codec::{Opcode, encode_frame_masked};
    encode_frame_masked(
        &mut bytes,
        false,
        false,
        Opcode::Text,
        [1, 2, 3, 4],
        "sm\u{f6}rg".as_bytes().split_at(3).0,
    );
    encode_frame_masked(&mut bytes, true, false, Opcode::Ping, [5, 6, 7, 8], b"between");
    encode_frame_masked(&mut bytes, false, false, Opcode::Continuation, [9, 1, 2, 3], b"");
    encode_frame_masked(
        &mut bytes,
        true,
        false,
        Opcode::Continuation,
        [4, 5, 6, 7],
        "sm\u{f6}rg".as_bytes().split_at(3).1,
    );
    for byte in bytes {
        peer.get_mut().write_all(&[byte]).expect("sends");
    }
    assert_eq!(peer.read().expect("a pong"), Msg::Pong(b"between"[..].into()));
    assert_eq!(text(&mut peer), "sm\u{f6}rg");
    drop(peer);
    settle(server);
}

#[test]
fn a_drain_closes_with_1001_behind_what_is_queued() {
    let server = start(|| {
        Router::new().get("/ws", |upgrade: WebSocketUpgrade| {
            upgrade.on_message(|socket: &mut Socket<'_>, _: Message<'_>| {
                socket.send("first").expect("there is room");
                socket.send(&"x".repeat(900_000)).expect("there is room");
            })
        })
    });
    let mut peer = open(server.addr(), "/ws");
    let big = "x".repeat(900_000);
    peer.send(Msg::text("go")).expect("sends");
    assert_eq!(text(&mut peer), "first", "what stands behind it is queued then");
    for handle in server.handles() {
        handle.shutdown();
    }
    assert_eq!(text(&mut peer), big);
    assert_eq!(closed(&mut peer).0, CloseCode::Away);
    server.shutdown();
}

#[test]
fn a_sender_reaches_its_socket_from_other_threads_in_order() {
    let server = start(|| {
        Router::new().get("/ws", |upgrade: WebSocketUpgrade| {
            upgrade.on_message(|socket: &mut Socket<'_>, _: Message<'_>| {
                let sender = socket.sender();
                std::thread::spawn(move || {
                    for number in 0..1000 {
                        while sender.send(&format!("{number}")).is_err() {
                            std::thread::yield_now();
                        }
                    }
                    sender.close(1000, "");
                    while !sender.is_closed() {
                        std::thread::yield_now();
                    }
                    assert!(sender.send("too late").is_err());
                });
            })
        })
    });
    let mut peer = open(server.addr(), "/ws");
    peer.send(Msg::text("go")).expect("sends");
    for number in 0..1000 {
        assert_eq!(text(&mut peer), number.to_string());
    }
    assert_eq!(closed(&mut peer).0, CloseCode::Normal);
    drop(peer);
    settle(server);
}

#[test]
fn a_refusal_says_why_and_values_go_as_json() {
    let server = start(|| {
        Router::new().get("/no", |upgrade: WebSocketUpgrade| upgrade.refuse(4003, "not today")).get(
            "/json",
            |upgrade: WebSocketUpgrade| {
                upgrade.on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
                    socket.send_json(&(message.len(), "bytes")).expect("there is room");
                })
            },
        )
    });
    let mut peer = open(server.addr(), "/no");
    assert_eq!(closed(&mut peer), (CloseCode::Library(4003), "not today".to_owned()));
    drop(peer);
    let mut peer = open(server.addr(), "/json");
    peer.send(Msg::text("four")).expect("sends");
    assert_eq!(text(&mut peer), r#"[4,"bytes"]"#);
    drop(peer);
    settle(server);
}

#[test]
fn pings_of_a_peer_that_reads_slowly_are_answered_and_cost_it_nothing() {
    let server = start(|| {
        Router::new().get("/ws", |upgrade: WebSocketUpgrade| {
            let options = SocketOptions { output_bytes_max: 100_000, ..SocketOptions::default() };
            upgrade.options(options).on_message(|socket: &mut Socket<'_>, _: Message<'_>| {
                // Alone it may be larger than the bound, and then waits for a peer that does not read.
                socket.send(&vec![7; 20_000_000]).expect("nothing waits");
            })
        })
    });
    let mut peer = open(server.addr(), "/ws");
    peer.send(Msg::binary(vec![1])).expect("sends");
    for n in 0..2000 {
        peer.send(Msg::Ping(format!("{n:0100}").into_bytes().into())).expect("sends");
    }
    assert_eq!(peer.read().expect("the message"), Msg::binary(vec![7; 20_000_000]));
    let mut latest = 0;
    while latest < 1999 {
        match peer.read().expect("a pong") {
            Msg::Pong(payload) => latest = String::from_utf8_lossy(&payload).parse().expect("a number"),
            other => panic!("{other:?}"),
        }
    }
    drop(peer);
    settle(server);
}

#[test]
fn what_a_peer_sent_before_its_end_is_heard() {
    let (server, told) = telling(SocketOptions::default());
    let heard = |close: bool| {
        let mut peer = open(server.addr(), "/ws");
        let mut bytes = Vec::new();
        use sws::websocket::codec::{Opcode, encode_frame_masked};
        for _ in 0..1000 {
            encode_frame_masked(&mut bytes, true, false, Opcode::Text, [1, 2, 3, 4], b"one");
        }
        if close {
            encode_frame_masked(&mut bytes, true, false, Opcode::Close, [0; 4], &4002_u16.to_be_bytes());
        }
        peer.get_mut().write_all(&bytes).expect("sends");
        peer.get_mut().shutdown(std::net::Shutdown::Write).expect("ends its side");
        for _ in 0..1000 {
            assert_eq!(text(&mut peer), "one");
        }
        let close = told.recv_timeout(PATIENCE).expect("an end is told");
        (close.code, close.clean)
    };
    assert_eq!(heard(true), (4002, true));
    assert_eq!(heard(false), (1006, false));
    settle(server);
}

/// Pauses, fills its output, resumes, and ends others, as it is told.
struct Fickle {
    ends: mpsc::Sender<Close>,
    all: Rc<RefCell<Vec<Sender>>>,
}

impl SocketHandler for Fickle {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        self.all.borrow_mut().push(socket.sender());
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        socket.pause();
        match message {
            Message::Text("fill") => {
                socket.send(&vec![b'x'; FILLING][..]).expect("there is room");
                socket.notify_drain();
            }
            Message::Text("again") => socket.resume(),
            Message::Text("drain") => {
                socket.send("paused").expect("there is room");
                socket.notify_drain();
            }
            Message::Text("hold") => socket.send("held").expect("there is room"),
            Message::Text("close") => socket.close(4000, ""),
            Message::Text("end the first") => {
                self.all.borrow()[0].close(4001, "");
                socket.resume();
                socket.send("ended").expect("there is room");
            }
            other => panic!("{other:?}"),
        }
    }

    fn on_drain(&mut self, socket: &mut Socket<'_>) {
        socket.resume();
    }

    fn on_close(&mut self, _socket: &mut Socket<'_>, close: &Close) {
        self.ends.send(close.clone()).expect("the test listens");
    }
}

/// More than the kernel takes while the peer does not read.
const FILLING: usize = 12 * 1024 * 1024;

/// What ends a socket in one of its callbacks, or in another's, because its peer has ended and nothing more is to be heard, is told
/// behind that callback.
#[test]
fn an_end_that_is_found_within_a_callback_is_told_behind_it() {
    let (ends, told) = mpsc::channel();
    let server = start(move || {
        let (ends, all) = (ends.clone(), Rc::default());
        let options = SocketOptions { output_bytes_max: 2 * FILLING, ..SocketOptions::default() };
        Router::new().get("/ws", move |upgrade: WebSocketUpgrade| {
            let handler = Fickle { ends: ends.clone(), all: Rc::clone(&all) };
            upgrade.options(options.clone()).accept(handler)
        })
    });
    // The last message comes to the handler when the end is known: it waits for the first answer to be read.
    let ended_behind = |last: &str| {
        let mut peer = open(server.addr(), "/ws");
        peer.send(Msg::text("fill")).expect("sends");
        peer.send(Msg::text(last)).expect("sends");
        peer.get_mut().shutdown(std::net::Shutdown::Write).expect("ends its side");
        assert_eq!(peer.read().expect("much comes").len(), FILLING);
        peer
    };
    let end = || told.recv_timeout(PATIENCE).expect("an end is told").code;
    let mut held = ended_behind("hold");
    assert_eq!(text(&mut held), "held");
    let peers = [("again", 1006), ("drain", 1006), ("close", 4000)].map(|(last, code)| {
        let peer = ended_behind(last);
        assert_eq!(end(), code, "{last}");
        peer
    });
    let mut other = open(server.addr(), "/ws");
    for _ in 0..2 {
        other.send(Msg::text("end the first")).expect("sends");
        assert_eq!(text(&mut other), "ended");
    }
    assert_eq!(end(), 4001);
    drop((held, peers, other));
    assert_eq!(end(), 1006);
    settle(server);
    assert!(told.try_recv().is_err(), "each end is told once");
}

#[test]
fn a_straight_line_whose_peer_stops_reading_is_ended() {
    use std::time::Duration;
    let server = start(|| {
        Router::new().get("/line", |upgrade: WebSocketUpgrade| {
            let short = Duration::from_millis(200);
            let options =
                SocketOptions { ping_interval: Some(short), pong_timeout: short, ..SocketOptions::default() };
            upgrade.options(options).run(|mut socket: WebSocket| {
                while let Ok(Some(message)) = socket.recv() {
                    if socket.send(&message).is_err() {
                        break;
                    }
                }
            })
        })
    });
    let mut peer = open(server.addr(), "/line");
    let mut frame = Vec::new();
    use sws::websocket::codec::{Opcode, encode_frame_masked};
    encode_frame_masked(&mut frame, true, false, Opcode::Binary, [1, 2, 3, 4], &[7; 60_000]);
    // It sends and never reads, until the server has enough of it.
    let sent = (0..10_000).take_while(|_| peer.get_mut().write_all(&frame).is_ok()).count();
    assert!(sent < 10_000);
    drop(peer);
    settle(server);
}

#[test]
fn the_sockets_can_be_counted_from_a_callback() {
    let server = start(|| {
        Router::new().get("/ws", |upgrade: WebSocketUpgrade| {
            upgrade.on_message(|socket: &mut Socket<'_>, _: Message<'_>| {
                let count = sws::websocket::stats().sockets;
                socket.send(&count.to_string()).expect("there is room");
            })
        })
    });
    let mut peer = open(server.addr(), "/ws");
    peer.send(Msg::text("how many")).expect("sends");
    assert_eq!(text(&mut peer), "1");
    drop(peer);
    settle(server);
}

#[test]
fn a_straight_line_that_panics_closes_with_1011() {
    let server = start(|| {
        Router::new().get("/line", |upgrade: WebSocketUpgrade| {
            upgrade.run(|mut socket: WebSocket| {
                let _ = socket.recv();
                panic!("as you wish");
            })
        })
    });
    let mut peer = open(server.addr(), "/line");
    peer.send(Msg::text("panic")).expect("sends");
    assert_eq!(closed(&mut peer).0, CloseCode::Error);
    drop(peer);
    settle(server);
}

#[test]
fn a_room_named_like_a_pattern_hears_nothing_of_others() {
    let server = start(|| {
        Router::new().get("/rooms/{room}", |sws::Path(room): sws::Path<String>, upgrade: WebSocketUpgrade| {
            struct Guest(String);
            impl SocketHandler for Guest {
                fn on_open(&mut self, socket: &mut Socket<'_>) {
                    if socket.subscribe(&self.0).is_err() {
                        socket.close(4004, "no such room");
                    }
                }
            }
            upgrade.accept(Guest(room))
        })
    });
    for room in ["*", "sec*", "sec%2A"] {
        let mut peer = open(server.addr(), &format!("/rooms/{room}"));
        assert_eq!(closed(&mut peer).0, CloseCode::Library(4004), "{room}");
    }
    settle(server);
}

#[test]
fn small_messages_that_inflate_to_much_leave_others_their_turns() {
    use sws::websocket::DeflateConfig;
    use sws::websocket::codec::{Deflater, Opcode, encode_frame_masked};
    let server = start(|| {
        Router::new().get("/", || "here").get("/ws", |upgrade: WebSocketUpgrade| {
            let options =
                SocketOptions { deflate: Some(DeflateConfig::default()), ..SocketOptions::default() };
            upgrade.options(options).on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
                if message.len() == 1 {
                    socket.send("done").expect("there is room");
                }
            })
        })
    });
    let mut client = Client::connect(server.addr());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    client.send(handshake("/ws").replacen("\r\n\r\n", &format!("\r\n{offer}"), 1));
    assert_eq!(client.answer().status, 101);
    let mut bomb = Vec::new();
    Deflater::new(9, 15, false).compress(&vec![0; 1 << 20], &mut bomb);
    let mut frames = Vec::new();
    for _ in 0..200 {
        encode_frame_masked(&mut frames, true, true, Opcode::Binary, [1, 2, 3, 4], &bomb);
    }
    encode_frame_masked(&mut frames, true, false, Opcode::Binary, [1, 2, 3, 4], b"x");
    let before = common::stats(&server).turns;
    client.send(&frames);
    let mut answer = [0; 6];
    client.stream.read_exact(&mut answer).expect("all are taken");
    assert_eq!(&answer[2..], b"done");
    let turns = common::stats(&server).turns - before;
    assert!(turns > 150, "each of the 200 has a turn, or nearly: {turns}");
    drop(client);
    settle(server);
}
