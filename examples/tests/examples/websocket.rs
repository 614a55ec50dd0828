//! The examples that speak WebSocket, with tungstenite as the client.

use crate::program::Server;
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
