//! The opening handshake: RFC 6455, 4.2 to 4.4, 7.2.2, 9.1 and 11.3.

use crate::common::{settle, start};
use crate::peer::{FIN, HANDSHAKE, Head, PING, Peer, TEXT, frame, masked};
use crate::with_server;
use std::net::SocketAddr;
use sws::websocket::{DeflateConfig, Message, Socket, SocketOptions, WebSocketUpgrade};
use sws::{Response, Router, Running};

fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
        socket.send(message).expect("there is room");
    })
}

/// The handshake with the line of one header replaced, or left out where there is nothing to replace it.
fn with(name: &str, line: &[&str]) -> Vec<String> {
    let prefix = format!("{name}:");
    let kept = HANDSHAKE.iter().filter(|held| !held.starts_with(&prefix));
    kept.chain(line).map(|line| line.to_string()).collect()
}

/// The status of a request, which must not open a socket.
fn refused(addr: SocketAddr, line: &str, headers: &[String]) -> Head {
    let (mut peer, head) = Peer::ask(addr, line, headers);
    assert!((400..500).contains(&head.status), "{line} {headers:?}: {head:?}");
    assert!(head.all("sec-websocket-accept").is_empty(), "{head:?}");
    // What is sent behind it is no frame.
    peer.send(masked(FIN | PING, b"frame"));
    peer.stream.shutdown(std::net::Shutdown::Write).expect("ends");
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut peer.stream, &mut rest);
    assert!(!rest.windows(7).any(|bytes| bytes == b"\x8a\x05frame"), "{line} {headers:?} opened a socket");
    head
}

const GET: &str = "GET /ws HTTP/1.1";

#[test]
fn rfc6455_4_2_1_the_request_is_a_get_of_http_1_1_with_a_host() {
    with_server(|addr, _| {
        let whole = with("", &[]);
        assert_eq!(refused(addr, "POST /ws HTTP/1.1", &with("", &["Content-Length: 0"])).status, 405);
        assert_eq!(refused(addr, "GET /ws HTTP/1.0", &whole).status, 426);
        assert_eq!(refused(addr, GET, &with("Host", &[])).status, 400);
        assert_eq!(refused(addr, GET, &with("Host", &["Host: a", "Host: b"])).status, 400);
        let (_, head) = Peer::ask(addr, "GET http://a/ws HTTP/1.1", &whole);
        assert_eq!(head.status, 101, "an absolute target names the same");
    });
}

#[test]
fn rfc6455_4_2_1_a_handshake_without_what_it_needs_is_refused() {
    with_server(|addr, _| {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        for (name, lines, status) in [
            ("Upgrade", &[][..], 426),
            ("Upgrade", &["Upgrade: h2c"], 426),
            ("Upgrade", &["Upgrade: websockets"], 426),
            ("Connection", &[], 426),
            ("Connection", &["Connection: keep-alive"], 426),
            ("Sec-WebSocket-Key", &[], 400),
            ("Sec-WebSocket-Key", &["Sec-WebSocket-Key:"], 400),
            ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"], 400),
            ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"], 400),
            ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE="], 400),
            ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j$Q=="], 400),
            // 11.3.1 and 11.3.5: once only.
            ("Sec-WebSocket-Key", &[key, key], 400),
            ("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"], 426),
        ] {
            assert_eq!(refused(addr, GET, &with(name, lines)).status, status, "{name} {lines:?}");
        }
    });
}

#[test]
fn rfc6455_4_2_1_case_and_order_do_not_matter_and_other_headers_are_ignored() {
    with_server(|addr, _| {
        let lines = [
            "sec-websocket-KEY:   dGhlIHNhbXBsZSBub25jZQ==  ",
            "X-Other: yes",
            "SEC-WEBSOCKET-VERSION:13",
            "upgrade: WebSocket",
            "Cookie: a=b",
            "connection: keep-alive, UPGRADE",
            "host: a",
        ];
        let (mut peer, head) = Peer::ask(addr, GET, lines);
        assert_eq!(head.status, 101);
        assert_eq!(head.all("sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
        peer.frame(FIN | TEXT, "hello");
        assert_eq!(peer.next(), frame(FIN | TEXT, "hello"));
    });
}

#[test]
fn rfc6455_4_2_2_the_answer_is_101_with_these_headers() {
    with_server(|addr, _| {
        let (_peer, head) = Peer::open_with(addr, "/ws", &[]);
        assert_eq!(head.all("upgrade"), ["websocket"]);
        assert_eq!(head.all("connection"), ["Upgrade"]);
        assert_eq!(head.all("sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
        let mut others: Vec<&str> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
        others.retain(|name| !["upgrade", "connection", "sec-websocket-accept", "date"].contains(name));
        assert_eq!(others, [""; 0], "no body, no length, nothing that was not agreed");
        // Another key, another answer.
        let other = with("Sec-WebSocket-Key", &["Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="]);
        let (_peer, head) = Peer::ask(addr, GET, &other);
        assert_eq!(head.all("sec-websocket-accept"), ["C/0nmHhBztSRGR1CwL6Tf4ZjwpY="]);
    });
}

#[test]
fn rfc6455_4_2_2_a_resource_that_is_not_there_is_404() {
    with_server(|addr, _| {
        assert_eq!(refused(addr, "GET /nowhere HTTP/1.1", &with("", &[])).status, 404);
    });
}

/// Handlers that choose.
fn choosing() -> Running {
    start(|| {
        Router::new()
            .get("/chat", |upgrade: WebSocketUpgrade| echo(upgrade.protocols(&["chat.v2", "chat.v1"])))
            .get("/same", |upgrade: WebSocketUpgrade| echo(upgrade.same_origin()))
            .get("/list", |upgrade: WebSocketUpgrade| echo(upgrade.origins(&["https://a.example"])))
            .get("/own", |upgrade: WebSocketUpgrade| echo(upgrade.header("Set-Cookie", "a=b")))
            .get("/twice", |upgrade: WebSocketUpgrade| {
                echo(upgrade.header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
            })
            .get("/false", |upgrade: WebSocketUpgrade| echo(upgrade.header("Sec-WebSocket-Protocol", "chat")))
            .get("/deflate", |upgrade: WebSocketUpgrade| {
                let deflate = Some(DeflateConfig::default());
                echo(upgrade.options(SocketOptions { deflate, ..SocketOptions::default() }))
            })
            .get("/ws", echo)
    })
}

#[test]
fn rfc6455_4_2_2_an_origin_that_is_not_wanted_is_403() {
    let server = choosing();
    let addr = server.addr();
    for (path, origin, status) in [
        ("/same", "Origin: http://a", 101),
        ("/same", "Origin: http://b", 403),
        ("/same", "Origin: null", 403),
        ("/list", "Origin: https://A.example", 101),
        ("/list", "Origin: http://a.example", 403),
        ("/ws", "Origin: http://b", 101),
        ("/same", "X-No-Origin: 1", 101),
    ] {
        let (_, head) = Peer::ask(addr, &format!("GET {path} HTTP/1.1"), with("", &[origin]));
        assert_eq!(head.status, status, "{path} {origin}");
    }
    // 4.2.1: an origin that is none, or two of them, is no handshake.
    let mut lines: Vec<Vec<u8>> = HANDSHAKE.iter().map(|line| line.as_bytes().to_vec()).collect();
    lines.push(b"Origin: http://a\xff".to_vec());
    for path in ["/same", "/list", "/ws"] {
        let line = format!("GET {path} HTTP/1.1");
        assert_eq!(Peer::ask(addr, &line, &lines).1.status, 400, "{path}");
        let two = with("", &["Origin: http://a", "Origin: http://b"]);
        assert_eq!(Peer::ask(addr, &line, two).1.status, 400, "{path}");
    }
    settle(server);
}

#[test]
fn rfc6455_4_4_another_version_is_told_13() {
    with_server(|addr, _| {
        for lines in [
            &[][..],
            &["Sec-WebSocket-Version: 8"],
            &["Sec-WebSocket-Version: 14"],
            &["Sec-WebSocket-Version: 013"],
            &["Sec-WebSocket-Version: 13, 8"],
            &["Sec-WebSocket-Version: 255"],
        ] {
            let head = refused(addr, GET, &with("Sec-WebSocket-Version", lines));
            assert_eq!((head.status, head.all("sec-websocket-version")), (426, vec!["13"]), "{lines:?}");
            assert_eq!(head.all("upgrade"), ["websocket"], "{lines:?}");
        }
        // 4.4: the client may ask again, on the same connection.
        let older = with("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 8"]);
        let (mut peer, head) = Peer::ask(addr, GET, older);
        let len: usize = head.all("content-length")[0].parse().expect("a length");
        let mut body = vec![0; len];
        for byte in &mut body {
            *byte = peer.byte();
        }
        peer.send(format!("{GET}\r\n{}\r\n\r\n", HANDSHAKE.join("\r\n")));
        assert_eq!(peer.head().status, 101);
        peer.frame(FIN | TEXT, "hello");
        assert_eq!(peer.next(), frame(FIN | TEXT, "hello"));
    });
}

#[test]
fn rfc6455_4_2_2_a_subprotocol_is_answered_only_if_it_is_agreed() {
    let server = choosing();
    let addr = server.addr();
    let answer = |path: &str, more: &[&str]| {
        let (_, head) = Peer::open_with(addr, path, more);
        head.all("sec-websocket-protocol").join("|")
    };
    assert_eq!(answer("/chat", &[]), "");
    assert_eq!(answer("/chat", &["Sec-WebSocket-Protocol: mqtt"]), "");
    assert_eq!(answer("/chat", &["Sec-WebSocket-Protocol: CHAT.V1"]), "");
    assert_eq!(answer("/chat", &["Sec-WebSocket-Protocol: mqtt, chat.v1"]), "chat.v1");
    // 11.3.4: several lines are one list, and the answer has one.
    let lines = ["Sec-WebSocket-Protocol: chat.v1", "Sec-WebSocket-Protocol: chat.v2, mqtt"];
    assert_eq!(answer("/chat", &lines), "chat.v2");
    assert_eq!(answer("/ws", &["Sec-WebSocket-Protocol: chat.v1"]), "");
    settle(server);
}

#[test]
fn rfc6455_4_2_1_malformed_lists_are_refused_whatever_the_handler_uses() {
    let server = choosing();
    let addr = server.addr();
    for path in ["/ws", "/chat", "/deflate"] {
        let line = format!("GET {path} HTTP/1.1");
        for bad in ["a b", "a;b", "\"a\"", "a/b", "", " , "] {
            let lines = with("", &[&format!("Sec-WebSocket-Protocol: {bad}")]);
            assert_eq!(refused(addr, &line, &lines).status, 400, "{path} {bad}");
        }
        // 9.1: so are extensions, known and unknown ones, also where none is used.
        for bad in ["a b", "a;", "a; b=", "a; b=\"c d\"", "permessage-deflate; =1", "a, b c", "", ","] {
            let lines = with("", &[&format!("Sec-WebSocket-Extensions: {bad}")]);
            assert_eq!(refused(addr, &line, &lines).status, 400, "{path} {bad}");
        }
    }
    settle(server);
}

#[test]
fn rfc6455_11_3_headers_of_the_handshake_are_not_answered_twice() {
    let server = choosing();
    let addr = server.addr();
    let (_, head) = Peer::open_with(addr, "/own", &[]);
    assert_eq!(head.all("set-cookie"), ["a=b"]);
    // 11.3.2 to 11.3.4, and 4.2.2: what only the handshake may say, a handler cannot add.
    for path in ["/twice", "/false"] {
        let (_, head) = Peer::ask(addr, &format!("GET {path} HTTP/1.1"), HANDSHAKE);
        assert_eq!(head.status, 500, "{path}");
    }
    // 11.3.2: extensions of several lines are one list, and the answer has one line.
    let lines = ["Sec-WebSocket-Extensions: x-other", "Sec-WebSocket-Extensions: permessage-deflate"];
    let (_, head) = Peer::open_with(addr, "/deflate", &lines);
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(head.all("sec-websocket-extensions"), [agreed]);
    settle(server);
}

#[test]
fn rfc6455_7_2_2_a_refused_handshake_leaves_http() {
    with_server(|addr, _| {
        // No step asks the server to abort without an answer: the connection goes on as HTTP, and nothing on it is a frame.
        let (mut peer, head) = Peer::ask(addr, GET, with("Sec-WebSocket-Key", &[]));
        assert_eq!(head.status, 400);
        let len: usize = head.all("content-length")[0].parse().expect("a length");
        for _ in 0..len {
            peer.byte();
        }
        peer.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(peer.head().status, 404);
    });
}
