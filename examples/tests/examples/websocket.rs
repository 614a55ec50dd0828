//! The examples that speak WebSocket, with tungstenite as the client.

use crate::program::Server;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use tungstenite::Message;

/// A client's end of a socket.
struct Peer(tungstenite::WebSocket<TcpStream>);

impl Peer {
    fn open(server: &Server, target: &str) -> Peer {
        let url = format!("ws://{}{target}", server.addr);
        Peer(tungstenite::client(url, server.connect()).expect("it upgrades").0)
    }

    fn send(&mut self, message: impl Into<Message>) {
        self.0.send(message.into()).expect("it takes a message");
    }

    fn hear(&mut self) -> Message {
        self.0.read().expect("a message")
    }

    /// The next message, as JSON.
    fn hear_json(&mut self) -> Value {
        serde_json::from_slice(&self.hear().into_data()).expect("JSON")
    }

    /// The code and reason of the close frame that comes next.
    fn hear_close(&mut self) -> (u16, String) {
        let Message::Close(Some(frame)) = self.hear() else { panic!("a close frame") };
        // The answer to it leaves with the next use.
        let _ = self.0.flush();
        (frame.code.into(), frame.reason.as_str().to_owned())
    }
}

#[test]
fn echo_ws() {
    let server = Server::start("echo_ws");
    for target in ["/callbacks", "/line"] {
        let mut peer = Peer::open(&server, target);
        for text in ["one", "", "zwei\u{1F600}"] {
            peer.send(text);
            assert_eq!(peer.hear(), Message::text(text), "{target}");
        }
        peer.send(vec![0xff; 100_000]);
        assert_eq!(peer.hear(), Message::binary(vec![0xff; 100_000]), "{target}");
        peer.0.close(None).expect("it closes");
        assert!(matches!(peer.hear(), Message::Close(_)), "{target}");
    }
    assert_eq!(server.get("/line").status, 426);
    server.stop();
}

/// The peer writes until it is stopped, and only then reads: all of it comes back, though it is more than the server would hold.
#[test]
fn echo_ws_slows_a_peer_that_does_not_read() {
    for target in ["/callbacks", "/line"] {
        let server = Server::start("echo_ws");
        let mut peer = Peer::open(&server, target);
        let frame = binary_frame(64 * 1024);
        let mut stream = peer.0.get_ref().try_clone().expect("a second handle");
        stream.set_nonblocking(true).expect("a mode");
        let (mut sent, mut refused) = (0usize, 0);
        while refused < 200 && sent < 1 << 30 {
            match stream.write(&frame[sent % frame.len()..]) {
                Ok(len) => (sent, refused) = (sent + len, 0),
                Err(_) => {
                    refused += 1;
                    // The server has a whole conversation's time to take more.
                    assert_eq!(server.get("/nothing").status, 404);
                }
            }
        }
        assert!(sent < 1 << 30, "{target}: the server never stopped us");
        assert!(sent > 1 << 20, "{target}: {sent} bytes do not fill its output");
        stream.set_nonblocking(false).expect("a mode");
        let rest = frame[sent % frame.len()..].to_vec();
        let frames = sent / frame.len() + 1;
        // Written beside the reading, so that nobody waits for the other.
        let writer = std::thread::spawn(move || stream.write_all(&rest).expect("it takes the rest"));
        for _ in 0..frames {
            assert!(peer.hear() == Message::binary(vec![7; 64 * 1024]), "{target}");
        }
        writer.join().expect("the writer has ended");
        drop(peer);
        server.stop();
    }
}

/// A whole binary frame of sevens, as a client sends it: masked, with a mask of zeros.
fn binary_frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | 127];
    frame.extend_from_slice(&(len as u64).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.resize(frame.len() + len, 7);
    frame
}

/// A member of a chat, who has heard what the room kept; the rest of the beginning is left to be heard.
fn chat_member(server: &Server, name: &str, kept: &[&str]) -> Peer {
    let mut peer = Peer::open(server, &format!("/rooms/garden?name={name}"));
    for text in kept {
        assert_eq!(peer.hear_json()["text"], *text, "{name}");
    }
    peer
}

#[test]
fn chat() {
    let server = Server::start("chat");
    let mut ada = chat_member(&server, "Ada", &[]);
    let join =
        |member, count| json!({ "event": "join", "topic": "room/garden", "member": member, "count": count });
    assert_eq!(ada.hear_json(), join("Ada", 1));
    assert_eq!(ada.hear_json(), json!({ "event": "here", "members": ["Ada"] }));

    let mut bob = chat_member(&server, "Bob%20B.", &[]);
    assert_eq!((bob.hear_json(), ada.hear_json()), (join("Bob B.", 2), join("Bob B.", 2)));
    let mut members: Vec<String> = serde_json::from_value(bob.hear_json()["members"].take()).expect("names");
    members.sort();
    assert_eq!(members, ["Ada", "Bob B."]);

    ada.send("  <b>hello</b>\u{1F44B}\n");
    ada.send(" ");
    ada.send("again");
    let heard = [ada.hear_json(), ada.hear_json()];
    assert_eq!([bob.hear_json(), bob.hear_json()], heard);
    let [first, second] = &heard;
    assert_eq!((&first["event"], &first["member"]), (&json!("said"), &json!("Ada")));
    assert_eq!((&first["text"], &second["text"]), (&json!("<b>hello</b>\u{1F44B}"), &json!("again")));
    assert!(first["stamp"].as_u64() < second["stamp"].as_u64(), "{heard:?}");

    // Another window of Ada comes and goes, and nobody is told.
    let mut second = chat_member(&server, "Ada", &["<b>hello</b>\u{1F44B}", "again"]);
    assert_eq!(second.hear_json()["event"], "here");
    drop(second);
    drop(ada);
    assert_eq!(
        bob.hear_json(),
        json!({ "event": "leave", "topic": "room/garden", "member": "Ada", "count": 1 })
    );

    // The room keeps fifty messages.
    for number in 0..60 {
        bob.send(number.to_string());
        assert_eq!(bob.hear_json()["text"], number.to_string());
    }
    let kept: Vec<String> = (10..60).map(|number| number.to_string()).collect();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    let mut cy = chat_member(&server, "Cy", &kept);
    assert_eq!(cy.hear_json(), join("Cy", 2));
    drop((bob, cy));
    server.stop();
}

#[test]
fn chat_says_why_it_refuses() {
    let server = Server::start("chat");
    let long = format!("/rooms/garden?name={}", "x".repeat(25));
    for target in ["/rooms/garden?name=", "/rooms/garden?name=%20A", "/rooms/%E2%80%AE1?name=A", &long] {
        let mut peer = Peer::open(&server, target);
        assert_eq!(peer.hear_close().0, 4000, "{target}");
    }
    let mut peer = chat_member(&server, "Ada", &[]);
    assert_eq!(
        (peer.hear_json()["event"].take(), peer.hear_json()["event"].take()),
        (json!("join"), json!("here"))
    );
    peer.send("x".repeat(2049));
    assert_eq!(peer.hear_close().0, 1009);
    drop(peer);
    assert_eq!(server.get("/rooms/garden?name=Ada").status, 426);
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    server.stop();
}

#[test]
fn ticker() {
    let server = Server::start("ticker");
    let mut all = Peer::open(&server, "/prices");
    let mut ring = Peer::open(&server, "/prices/RING");
    let mut symbols: Vec<Value> = (0..8).map(|_| all.hear_json()["symbol"].take()).collect();
    symbols.sort_by_key(Value::to_string);
    assert_eq!(symbols, ["ACME", "BOLT", "CORK", "DUNE", "ECHO", "FERN", "RING", "SLOT"]);
    let mut before = 0;
    for _ in 0..20 {
        let price = ring.hear_json();
        assert_eq!(price["symbol"], "RING");
        assert!(price["cents"].as_i64() > Some(0), "{price}");
        assert!(
            before == 0 || price["number"] == before + 8,
            "one that reads misses none: {price} after {before}"
        );
        before = price["number"].as_u64().expect("a number");
    }
    let unknown = tungstenite::client(format!("ws://{}/prices/NONE", server.addr), server.connect());
    assert!(unknown.is_err_and(|error| error.to_string().contains("404")));
    drop((all, ring));
    server.stop();
}

/// One that does not read for a while gets some prices of that time, then the latest of each symbol: what is between is gone, and
/// the server has kept nothing of it.
#[test]
fn ticker_spares_a_slow_reader_what_is_old() {
    let server = Server::start_with("ticker", &["--listen", "127.0.0.1:0", "--interval-us", "20"]);
    let mut slow = Peer::open(&server, "/prices");
    let mut fast = Peer::open(&server, "/prices");
    let number = |price: Value| price["number"].as_u64().expect("a number");
    // More than the buffers between the two ends hold.
    let (began, mut now) = (number(fast.hear_json()), 0);
    while now < began + 150_000 {
        now = number(fast.hear_json());
    }
    let (mut heard, mut gap, mut last) = (0u64, 0, [0; 8]);
    while last.iter().any(|&last| last < now) {
        let price = slow.hear_json();
        let symbol = price["symbol"].as_str().expect("a symbol").as_bytes()[0];
        let place = b"ABCDEFRS".iter().position(|&first| first == symbol).expect("a known one");
        let number = number(price);
        assert!(number > last[place], "no price is older than the one before it");
        if last[place] > 0 {
            gap = gap.max(number - last[place]);
        }
        (last[place], heard) = (number, heard + 1);
    }
    assert!(gap > 8, "none was left out of {heard}");
    assert!(heard < 150_000, "{heard} prices were kept");
    drop((slow, fast));
    server.stop();
}

impl Peer {
    /// Reads until an event of this kind comes.
    fn hear_event(&mut self, event: &str) -> Value {
        loop {
            let heard = self.hear_json();
            if heard["event"] == event {
                return heard;
            }
        }
    }
}

#[test]
fn game_rooms() {
    let server = Server::start_with("game_rooms", &["--listen", "127.0.0.1:0", "--tick-ms", "20"]);
    let player = |name: &str| Peer::open(&server, &format!("/rooms/den?name={name}"));
    let mut ada = player("Ada");
    assert_eq!(ada.hear_json()["member"], "Ada");
    for (said, answer) in
        [("11", json!({ "event": "refused" })), ("9", json!({ "event": "ready", "attack": 9 }))]
    {
        ada.send(said);
        assert_eq!(ada.hear_json(), answer, "nobody counts for one alone");
    }
    let mut bob = player("Bob");
    assert_eq!(
        (ada.hear_json()["member"].take(), bob.hear_json()["member"].take()),
        (json!("Bob"), json!("Bob"))
    );
    assert_eq!(player("Bob").hear_close(), (4000, "the name is taken".into()));

    for left in [3, 2, 1] {
        let count = json!({ "event": "countdown", "left": left });
        assert_eq!([ada.hear_json(), bob.hear_json()], [count.clone(), count]);
    }
    let result = ada.hear_event("result");
    assert_eq!(bob.hear_event("result"), result);
    let wins = |name: &str| result["wins"][name].as_u64().expect("a number");
    assert_eq!((wins("Ada") + wins("Bob"), result["battles"].as_u64()), (2000, Some(2000)));
    let winner = if wins("Ada") > wins("Bob") { "Ada" } else { "Bob" };
    assert_eq!(result["winner"], winner);

    // One who is left alone waits for another, and the count begins anew.
    drop(bob);
    assert_eq!(ada.hear_event("leave")["member"], "Bob");
    let mut cy = player("Cy");
    assert_eq!(cy.hear_event("countdown")["left"], 3);
    let mut more: Vec<Peer> = ["D", "E", "F", "G", "H", "I"].into_iter().map(player).collect();
    more.iter_mut().for_each(|player| drop(player.hear_event("join")));
    assert_eq!(player("J").hear_close(), (4000, "the room is full".into()));
    // Somebody wins among all eight, after the count that may have begun before they came.
    while ada.hear_event("result")["wins"].as_object().expect("names").len() < 8 {}
    drop((ada, cy, more));
    server.stop();
}
