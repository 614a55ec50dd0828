//! Topics over WebSockets: rooms, history, presence, several workers, compression, slow members.

mod common;

use common::{PATIENCE, settle, start, wait_until};
use std::net::{SocketAddr, TcpStream};
use sws::websocket::codec::{DecodeLimits, Decoder, Event, Inflater, Opcode, encode_frame_masked};
use sws::websocket::{DeflateConfig, Message, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use sws::{Overflow, Path, Response, Router, Server, TopicOptions};
use tungstenite::Message as Msg;

type Peer = tungstenite::WebSocket<TcpStream>;

fn open(addr: SocketAddr, path: &str) -> Peer {
    let stream = TcpStream::connect(addr).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("nodelay");
    tungstenite::client(format!("ws://{addr}{path}"), stream).expect("upgrades").0
}

fn text(peer: &mut Peer) -> String {
    match peer.read().expect("a message comes") {
        Msg::Text(text) => text.as_str().to_owned(),
        other => panic!("a text was expected: {other:?}"),
    }
}

/// A guest of a room.
struct Guest {
    room: String,
    name: Option<String>,
}

impl SocketHandler for Guest {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        match &self.name {
            Some(name) => socket.join(&self.room, name).expect("joins"),
            None => socket.subscribe(&self.room).expect("subscribes"),
        }
        socket.send("welcome").expect("there is room");
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        match message {
            Message::Text("leave") => {
                assert!(socket.unsubscribe(&self.room));
                socket.send("left").expect("there is room");
            }
            Message::Text(text) if text.starts_with("others:") => {
                socket.publish_to_others(&self.room, text).expect("publishes");
                socket.send("told").expect("there is room");
            }
            _ => {
                socket.publish(&self.room, message).expect("publishes");
                // A direct message behind it does not overtake it.
                socket.send("published").expect("there is room");
            }
        }
    }
}

fn rooms() -> Router {
    Router::new()
        .get("/rooms/{room}", |Path(room): Path<String>, upgrade: WebSocketUpgrade| -> Response {
            upgrade.accept(Guest { room, name: None })
        })
        .get(
            "/rooms/{room}/{name}",
            |Path((room, name)): Path<(String, String)>, upgrade: WebSocketUpgrade| -> Response {
                upgrade.accept(Guest { room, name: Some(name) })
            },
        )
}

#[test]
fn a_room_hears_in_the_order_of_publishing() {
    let server = start(rooms);
    let mut ada = open(server.addr(), "/rooms/a");
    let mut bob = open(server.addr(), "/rooms/a");
    assert_eq!((text(&mut ada), text(&mut bob)), ("welcome".into(), "welcome".into()));
    ada.send(Msg::text("hello")).expect("sends");
    assert_eq!((text(&mut ada), text(&mut ada)), ("hello".into(), "published".into()));
    assert_eq!(text(&mut bob), "hello");
    bob.send(Msg::text("others: hi")).expect("sends");
    assert_eq!(text(&mut bob), "told");
    assert_eq!(text(&mut ada), "others: hi");
    bob.send(Msg::text("leave")).expect("sends");
    assert_eq!(text(&mut bob), "left");
    ada.send(Msg::binary(vec![1, 2, 3])).expect("sends");
    assert_eq!(ada.read().expect("a message"), Msg::binary(vec![1, 2, 3]));
    drop((ada, bob));
    settle(server);
}

#[test]
fn presence_and_history_greet_who_comes_later_on_any_worker() {
    let server = Server::bind("127.0.0.1:0").expect("binds").workers(3).expect("shares");
    server.topics().configure("*", TopicOptions::default().history(2).presence(true));
    let topics = server.topics();
    let server = server.spawn(rooms).expect("starts");
    let mut ada = open(server.addr(), "/rooms/a/ada");
    assert_eq!(text(&mut ada), r#"{"event":"join","topic":"a","member":"ada","count":1}"#);
    assert_eq!(text(&mut ada), "welcome");
    for n in 0..3 {
        topics.publish("a", format!("from outside {n}")).expect("publishes");
    }
    for n in 0..3 {
        assert_eq!(text(&mut ada), format!("from outside {n}"));
    }
    // Connections spread over workers by the kernel's choice: eight of them meet more than one.
    let mut others = Vec::new();
    for n in 0..8 {
        let mut peer = open(server.addr(), &format!("/rooms/a/peer{n}"));
        assert_eq!(text(&mut peer), "from outside 1", "the last two are kept");
        assert_eq!(text(&mut peer), "from outside 2");
        let joined = format!(r#"{{"event":"join","topic":"a","member":"peer{n}","count":{}}}"#, n + 2);
        assert_eq!(text(&mut peer), joined);
        assert_eq!(text(&mut ada), joined);
        others.push(peer);
    }
    assert_eq!((topics.subscribers("a"), topics.member_count("a")), (9, 9));
    drop(others.remove(0));
    assert_eq!(text(&mut ada), r#"{"event":"leave","topic":"a","member":"peer0","count":8}"#);
    drop((ada, others));
    for n in 0..100_000 {
        if topics.subscribers("a") == 0 {
            break;
        }
        assert!(n < 99_999, "memberships end with their connections");
        std::thread::yield_now();
    }
    server.shutdown();
}

/// Reads frames with a decoder and an inflater of our own: tungstenite does not know the extension.
struct Deflating {
    stream: TcpStream,
    input: Vec<u8>,
    decoder: Decoder,
    inflater: Inflater,
}

impl Deflating {
    fn open(addr: SocketAddr, path: &str, offer: &str, agreed: &str) -> Deflating {
        use std::io::{BufRead, BufReader, Write};
        let mut stream = TcpStream::connect(addr).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n"
        )
        .expect("sends");
        let mut reader = BufReader::with_capacity(1, stream.try_clone().expect("a clone"));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a head") > 0, "{head}");
        }
        assert!(head.contains(&format!("sec-websocket-extensions: {agreed}\r\n")), "{head}");
        let takeover = !agreed.contains("server_no_context_takeover");
        Deflating {
            stream,
            input: Vec::new(),
            decoder: Decoder::client(),
            inflater: Inflater::new(15, takeover),
        }
    }

    /// The next message, and whether it was compressed.
    fn read(&mut self) -> (Vec<u8>, bool) {
        use std::io::Read;
        let limits = DecodeLimits { compression: true, ..DecodeLimits::default() };
        let mut message = Vec::new();
        loop {
            let step = self.decoder.next(&self.input, &mut message, &limits);
            self.input.drain(..step.consumed);
            match step.event {
                Event::Message { compressed: true, .. } => {
                    let mut inflated = Vec::new();
                    self.inflater.decompress(&message, &mut inflated, 1 << 20).expect("inflates");
                    return (inflated, true);
                }
                Event::Message { compressed: false, .. } => return (message, false),
                Event::NeedMore => {
                    let mut buf = [0; 4096];
                    let count = self.stream.read(&mut buf).expect("bytes come");
                    assert!(count > 0, "the server has closed");
                    self.input.extend_from_slice(&buf[..count]);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn send(&mut self, compressed: bool, payload: &[u8]) {
        use std::io::Write;
        let mut frame = Vec::new();
        encode_frame_masked(&mut frame, true, compressed, Opcode::Text, [1, 2, 3, 4], payload);
        self.stream.write_all(&frame).expect("sends");
    }
}

#[test]
fn messages_are_compressed_for_those_who_agree() {
    use sws::websocket::codec::Deflater;
    let router = |context_takeover| {
        move || {
            Router::new().get("/rooms/{room}", move |Path(room): Path<String>, upgrade: WebSocketUpgrade| {
                let deflate =
                    Some(DeflateConfig { context_takeover, threshold_bytes: 64, ..DeflateConfig::default() });
                let options =
                    SocketOptions { deflate, message_bytes_max: 100_000, ..SocketOptions::default() };
                upgrade.options(options).accept(Guest { room, name: None })
            })
        }
    };
    let long = "the same again, ".repeat(100);
    for (takeover, agreed) in [
        (false, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        (true, "permessage-deflate"),
    ] {
        let server = start(router(takeover));
        let mut ada = Deflating::open(server.addr(), "/rooms/a", "permessage-deflate", agreed);
        let mut bob = open(server.addr(), "/rooms/a");
        assert_eq!(text(&mut bob), "welcome");
        assert_eq!(ada.read(), (b"welcome".to_vec(), false), "below the threshold");
        let mut deflater = Deflater::new(6, 15, takeover);
        for _ in 0..3 {
            let mut compressed = Vec::new();
            deflater.compress(long.as_bytes(), &mut compressed);
            ada.send(true, &compressed);
            let (message, compressed) = ada.read();
            assert_eq!((String::from_utf8_lossy(&message).as_ref(), compressed), (long.as_str(), !takeover));
            assert_eq!(ada.read(), (b"published".to_vec(), false));
            assert_eq!(text(&mut bob), long);
        }
        // RFC 7692, 8: a message that inflates to more than may be is refused.
        let bomb = vec![0; 1_000_000];
        let mut compressed = Vec::new();
        deflater.compress(&bomb, &mut compressed);
        ada.send(true, &compressed);
        let step = loop {
            use std::io::Read;
            let mut buf = [0; 512];
            let count = ada.stream.read(&mut buf).expect("bytes come");
            ada.input.extend_from_slice(&buf[..count]);
            let step = ada.decoder.next(&ada.input, &mut Vec::new(), &DecodeLimits::default());
            if step.event != Event::NeedMore {
                break step;
            }
        };
        assert!(matches!(step.event, Event::Close(frame) if frame.code == Some(1009)), "{:?}", step.event);
        drop((ada, bob));
        settle(server);
    }
}

#[test]
fn members_that_stop_reading_cost_what_their_policy_says() {
    for overflow in [Overflow::DropOldest, Overflow::KeepLatest, Overflow::Close] {
        let server = start(move || {
            Router::new().get("/rooms/{room}", move |Path(room): Path<String>, upgrade: WebSocketUpgrade| {
                let options =
                    SocketOptions { overflow, output_bytes_max: 256 * 1024, ..SocketOptions::default() };
                upgrade.options(options).accept(Guest { room, name: None })
            })
        });
        let mut slow = open(server.addr(), "/rooms/a");
        let mut quick = open(server.addr(), "/rooms/a");
        assert_eq!((text(&mut slow), text(&mut quick)), ("welcome".into(), "welcome".into()));
        let message = "x".repeat(100_000);
        for n in 0..200 {
            quick.send(Msg::text(format!("{n:04}{message}"))).expect("sends");
            assert!(text(&mut quick).starts_with(&format!("{n:04}")), "the quick one misses nothing");
            assert_eq!(text(&mut quick), "published");
        }
        let mut seen = Vec::new();
        let end = loop {
            match slow.read() {
                Ok(Msg::Text(text)) => {
                    assert_eq!(text.len(), message.len() + 4, "no message is cut");
                    seen.push(text.as_str()[..4].parse::<u32>().expect("a number"));
                    if seen.last() == Some(&199) {
                        break None;
                    }
                }
                Ok(Msg::Close(frame)) => break frame.map(|frame| u16::from(frame.code)),
                other => panic!("{other:?}"),
            }
        };
        assert!(seen.is_sorted(), "{seen:?}");
        wait_until(&server, "what was done is counted", |stats| match overflow {
            Overflow::Close => stats.closed_slow == 1,
            _ => stats.messages_dropped > 0,
        });
        match overflow {
            Overflow::Close => assert_eq!(end, Some(1013)),
            _ => assert_eq!((end, seen.len() < 200), (None, true), "the last one comes, some do not"),
        }
        drop((slow, quick));
        settle(server);
    }
}

#[test]
fn a_socket_whose_messages_may_be_dropped_has_no_compression_context() {
    for (overflow, agreed) in [
        (Overflow::Close, "permessage-deflate"),
        (Overflow::Refuse, "permessage-deflate"),
        (Overflow::DropOldest, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        (Overflow::KeepLatest, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
    ] {
        let server = start(move || {
            Router::new().get("/ws", move |upgrade: WebSocketUpgrade| {
                let deflate = Some(DeflateConfig { context_takeover: true, ..DeflateConfig::default() });
                let options = SocketOptions { deflate, overflow, ..SocketOptions::default() };
                upgrade.options(options).accept(Guest { room: "a".into(), name: None })
            })
        });
        drop(Deflating::open(server.addr(), "/ws", "permessage-deflate", agreed));
        settle(server);
    }
}

#[test]
fn a_server_s_topics_stay_when_its_workers_are_configured() {
    let server = Server::bind("127.0.0.1:0").expect("binds");
    server.topics().configure("*", TopicOptions::default().history(1));
    let topics = server.topics();
    let server = server.config(sws::runtime::Config::default()).spawn(rooms).expect("starts");
    topics.publish("a", "kept").expect("publishes");
    let mut peer = open(server.addr(), "/rooms/a");
    assert_eq!(text(&mut peer), "kept");
    drop(peer);
    settle(server);
}
