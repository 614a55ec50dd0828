//! WebSockets: the client against every floor and peer, every floor and peer against another library's client, and the
//! client against servers that do wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use benches::floor::Mode;
use benches::load::Edge;
use benches::load::ws::{self, Broadcast, Content, Echo, WsError, WsIdleSet};
use benches::ws::{FrameHead, push_head, push_unmasked};
use benches::{sys, ws_floor, ws_peers};
use clap::ValueEnum;
use tokio_tungstenite::tungstenite::client::client;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// Runs `serve` on a thread of its own, for as long as this process lives.
fn started(serve: impl FnOnce(TcpListener) -> std::io::Result<()> + Send + 'static) -> SocketAddr {
    let listener = sys::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener).unwrap());
    addr
}

fn every_server() -> Vec<(String, SocketAddr)> {
    let floors = Mode::value_variants().iter().map(|&mode| {
        let addr = started(move |listener| ws_floor::serve(mode, listener));
        (format!("{mode:?}"), addr)
    });
    let peers = [
        ("tungstenite".to_string(), started(ws_peers::serve_tungstenite)),
        ("fastwebsockets".to_string(), started(ws_peers::serve_fastwebsockets)),
    ];
    floors.chain(peers).collect()
}

fn echo_plan(connections: usize, content: Content) -> Echo {
    let (warmup, duration) = (Duration::from_millis(10), Duration::from_millis(50));
    Echo { path: "/ws".into(), connections, content, warmup, duration }
}

fn broadcast_plan(members: usize, publishers: usize, content: Content) -> Broadcast {
    let (warmup, duration) = (Duration::from_millis(10), Duration::from_millis(50));
    Broadcast { path: "/room".into(), members, publishers, content, warmup, duration }
}

#[test]
fn all_servers_echo() {
    let table = [
        echo_plan(8, Content::text(64)),
        echo_plan(3, Content { binary: true, ..Content::text(0).times(16) }),
        echo_plan(2, Content::text(16 * 1024)),
        echo_plan(2, Content::text(1 << 20)),
    ];
    for (name, addr) in every_server() {
        for plan in &table {
            let mut edges = Vec::new();
            let report = ws::echo(addr, plan, &mut |edge| edges.push(edge)).unwrap();
            assert_eq!(report.errors.total(), 0, "{name}, {plan:?}: {}", report.errors);
            assert!(report.answers > 0, "{name}, {plan:?}");
            assert_eq!(report.latency.count(), report.answers, "{name}, {plan:?}");
            assert_eq!(edges, [Edge::Open, Edge::Close], "{name}");
        }
        let held = WsIdleSet::open(addr, "/ws", 12).unwrap();
        held.echo(1).unwrap();
        held.echo(3).unwrap();
        assert_eq!(held.len(), 12, "{name}");
    }
}

#[test]
fn all_servers_broadcast() {
    for (name, addr) in every_server() {
        for (members, publishers, messages) in [(20, 1, 1), (20, 3, 32), (1, 1, 1)] {
            let plan = broadcast_plan(members, publishers, Content::text(64).times(messages));
            let report = ws::broadcast(addr, &plan, &mut |_| {}).unwrap();
            assert_eq!(report.errors.total(), 0, "{name}, {plan:?}: {}", report.errors);
            assert!(report.answers > 0, "{name}, {plan:?}");
            let round = members as u64 * u64::from(messages);
            assert_eq!(report.answers % round, 0, "{name}: every round reaches every member, {plan:?}");
        }
        let held = WsIdleSet::open(addr, "/room", 12).unwrap();
        held.publish().unwrap();
        held.publish().unwrap();
    }
}

fn tungstenite(addr: SocketAddr, path: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    client(format!("ws://{addr}{path}"), stream).unwrap().0
}

#[test]
fn another_client_is_echoed() {
    for (name, addr) in every_server() {
        let mut socket = tungstenite(addr, "/ws");
        for length in [0, 1, 125, 126, 4096, 65_535, 65_536, 300_000] {
            for message in
                [Message::text("é".repeat(length / 2)), Message::binary(vec![length as u8; length])]
            {
                socket.send(message.clone()).unwrap();
                assert_eq!(socket.read().unwrap(), message, "{name}, {length}");
            }
        }
        socket.send(Message::Ping("are you there".into())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Pong("are you there".into()), "{name}");
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
        assert!(!socket.can_write(), "{name}: the close was answered");
    }
}

#[test]
fn another_client_is_a_member() {
    for (name, addr) in every_server() {
        let mut members = Vec::new();
        for at in 0..3 {
            members.push(tungstenite(addr, "/room"));
            // The new one has joined before its first message is read, the others when theirs came back.
            let text = Message::text(format!("number {at} has joined"));
            members[at].send(text.clone()).unwrap();
            for member in &mut members {
                assert_eq!(member.read().unwrap(), text, "{name}");
            }
        }
        members.truncate(1);
        members[0].send(Message::text("alone")).unwrap();
        assert_eq!(members[0].read().unwrap(), Message::text("alone"), "{name}");
    }
}

#[test]
fn other_paths_are_not_served() {
    for (name, addr) in every_server() {
        assert!(ws::is_served(addr, "/ws", false).unwrap(), "{name}");
        assert!(!ws::is_served(addr, "/ws", true).unwrap(), "{name} knows no permessage-deflate");
        assert!(!ws::is_served(addr, "/elsewhere", false).unwrap(), "{name}");
    }
}

const UPGRADE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Upgrades every connection, answers the first frame with `answer` and closes.
fn once(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).unwrap_or(0) > 0 {
                stream.write_all(UPGRADE).unwrap();
            }
            if stream.read(&mut bytes).unwrap_or(0) > 0 {
                stream.write_all(answer).unwrap();
            }
        }
    });
    addr
}

/// Agrees on permessage-deflate and sends every frame back unmasked: what was compressed stays so.
fn compressing() -> SocketAddr {
    let upgrade = String::from_utf8(UPGRADE.to_vec()).unwrap();
    let agreed = "\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n";
    let upgrade = upgrade.replace("\r\n\r\n", agreed);
    started(move |listener| {
        for stream in listener.incoming() {
            let (mut stream, upgrade) = (stream?, upgrade.clone());
            thread::spawn(move || {
                let mut bytes = vec![0; 4096];
                let _ = stream.read(&mut bytes);
                let _ = stream.write_all(upgrade.as_bytes());
                let (mut asked, mut echo) = (Vec::new(), Vec::new());
                while let Ok(got @ 1..) = stream.read(&mut bytes) {
                    asked.extend_from_slice(&bytes[..got]);
                    while let Some(head) = FrameHead::read(&asked)
                        && let end = head.bytes + head.payload_bytes as usize
                        && asked.len() >= end
                    {
                        push_head(&mut echo, head.first, end - head.bytes);
                        push_unmasked(&mut echo, head.mask, &asked[head.bytes..end]);
                        asked.drain(..end);
                    }
                    let _ = stream.write_all(&echo);
                    echo.clear();
                }
            });
        }
        Ok(())
    })
}

#[test]
fn compressed_messages_are_inflated_once_and_then_compared() {
    let addr = compressing();
    assert!(ws::is_served(addr, "/ws", true).unwrap());
    for (bytes, messages) in [(64, 1), (16 * 1024, 4), (1 << 20, 1)] {
        let content = Content { deflate: true, ..Content::text(bytes).times(messages) };
        let report = ws::echo(addr, &echo_plan(2, content), &mut |_| {}).unwrap();
        assert_eq!(report.errors.total(), 0, "{bytes}: {}", report.errors);
        assert!(report.answers > 0, "{bytes}");
    }
}

#[test]
fn what_was_not_sent_is_an_error_and_no_answer() {
    let table: [(&[u8], &str); 4] = [
        (b"\x81\x05jello", "not the one that was sent"),
        (b"\x82\x050:pri", "not the one that was sent"),
        (b"\x88\x02\x03\xe8", "closed by the server"),
        (b"\x81\x050:", "closed by the server"),
    ];
    for (answer, expected) in table {
        let plan = Echo { warmup: Duration::ZERO, ..echo_plan(1, Content::text(5)) };
        let report = ws::echo(once(answer), &plan, &mut |_| {}).unwrap();
        assert_eq!(report.answers, 0, "{expected}");
        assert!(report.errors.to_string().contains(expected), "{}", report.errors);
        let plan = broadcast_plan(1, 1, Content::text(5));
        let report = ws::broadcast(once(answer), &plan, &mut |_| {}).unwrap();
        assert!(report.errors.to_string().contains("no delivery"), "{}", report.errors);
    }
    let held = WsIdleSet::open(once(b""), "/ws", 1).unwrap();
    assert!(matches!(held.echo(1), Err(WsError::Closed | WsError::Io(_))));
}
