//! The examples that speak TCP without HTTP.

use crate::program::{Program, Server};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

#[test]
fn echo_tcp() {
    let server = Server::start("echo_tcp");
    let mut peer = server.connect();
    for word in ["one", "two"] {
        peer.write_all(word.as_bytes()).expect("it takes a word");
        let mut answer = [0; 3];
        peer.read_exact(&mut answer).expect("an echo");
        assert_eq!(answer, word.as_bytes());
    }
    peer.write_all(b"last words").expect("it takes them");
    peer.shutdown(Shutdown::Write).expect("our side ends");
    let mut answer = String::new();
    peer.read_to_string(&mut answer).expect("an echo, then the end");
    assert_eq!(answer, "last words");
    server.stop();
}

/// The peer writes until it is stopped, and only then reads: all of it comes back, though it is more than the server would hold.
#[test]
fn echo_tcp_slows_a_peer_that_does_not_read() {
    let server = Server::start("echo_tcp");
    let mut peer = server.connect();
    peer.set_nonblocking(true).expect("a mode");
    let (block, mut sent) = ([7; 64 * 1024], 0usize);
    let mut refused = 0;
    while refused < 1000 && sent < 1 << 30 {
        match peer.write(&block) {
            Ok(len) => (sent, refused) = (sent + len, 0),
            Err(_) => {
                refused += 1;
                // The server has a whole conversation's time to take more.
                let mut other = server.connect();
                other.write_all(b"x").expect("it takes a byte");
                other.read_exact(&mut [0]).expect("an echo");
            }
        }
    }
    assert!(sent < 1 << 30, "the server never stopped us");
    assert!(sent > 1 << 20, "{sent} bytes do not fill its output");
    peer.set_nonblocking(false).expect("a mode");
    peer.shutdown(Shutdown::Write).expect("our side ends");
    let mut echoed = Vec::new();
    peer.read_to_end(&mut echoed).expect("all of it, then the end");
    assert!(echoed.len() == sent && echoed.iter().all(|&byte| byte == 7), "{} of {sent}", echoed.len());
    server.stop();
}

/// A client of the chat by hand.
struct Member(BufReader<TcpStream>);

impl Member {
    /// Connects, and sees the question for a name.
    fn connect(server: &Server) -> Member {
        let mut member = Member(BufReader::new(server.connect()));
        assert_eq!(member.hear(), "* what is your name?");
        member
    }

    fn enter(server: &Server, name: &str) -> Member {
        let mut member = Member::connect(server);
        member.say(name);
        assert_eq!(member.hear(), format!("* welcome, {name}"));
        member
    }

    fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it takes a line");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

#[test]
fn chat_tcp() {
    let server = Server::start("chat_tcp");
    let mut ada = Member::enter(&server, "Ada");
    let mut bob = Member::enter(&server, "Bob");
    assert_eq!(ada.hear(), "* Bob is here");

    let mut second = Member::connect(&server);
    second.say("Ada");
    assert_eq!(second.hear(), "* Ada is taken; what else may we call you?");
    second.say("not a name!");
    assert_eq!(second.hear(), "* a name has up to 24 letters and digits; what is yours?");
    second.say("Cy");
    assert_eq!(second.hear(), "* welcome, Cy");
    assert_eq!((ada.hear(), bob.hear()), ("* Cy is here".into(), "* Cy is here".into()));

    // Two lines and a half in one piece; nobody hears themselves, so each next line is the other's.
    ada.0.get_mut().write_all(b"one\r\ntwo\nth").expect("it takes them");
    assert_eq!((bob.hear(), bob.hear()), ("Ada: one".into(), "Ada: two".into()));
    ada.say("ree\x1b[2J");
    assert_eq!(bob.hear(), "Ada: three[2J");
    bob.say("four");
    assert_eq!(ada.hear(), "Bob: four");

    drop(bob);
    assert_eq!(ada.hear(), "* Bob has left");
    let mut again = Member::enter(&server, "Bob");
    again.say(&"x".repeat(2000));
    assert_eq!(again.hear(), "* that line is too long");
    assert_eq!(again.hear(), "", "and the end");
    server.stop();
}

#[test]
fn chat_tcp_client() {
    let server = Server::start("chat_tcp");
    let mut ada = Member::enter(&server, "Ada");
    let mut client = Program::start("chat_tcp_client", &["--connect", &server.addr.to_string()]);
    assert_eq!(client.line(), "* what is your name?\n");
    client.say("Bob\n");
    assert_eq!(client.line(), "* welcome, Bob\n");
    assert_eq!(ada.hear(), "* Bob is here");
    ada.say("hello, Bob");
    assert_eq!(client.line(), "Ada: hello, Bob\n");
    client.say("hello, Ada\nbye\n");
    assert_eq!((ada.hear(), ada.hear()), ("Bob: hello, Ada".into(), "Bob: bye".into()));
    // The end of what is typed ends the client.
    client.stdin = None;
    client.ended();
    assert_eq!(ada.hear(), "* Bob has left");
    server.stop();
}

#[test]
fn watch_fd() {
    let mut server = Server::start("watch_fd");
    let mut audience: Vec<_> = (0..3).map(|_| BufReader::new(server.connect())).collect();
    // Whoever is accepted is heard of by the next line; nobody is told when that is, so lines come until all have heard one.
    for (number, listener) in audience.iter_mut().enumerate() {
        listener.get_ref().set_nonblocking(true).expect("a mode");
        let mut line = String::new();
        while !line.ends_with('\n') {
            server.program.say(&format!("to {number}\n"));
            // Nothing has come yet, or a part of a line.
            let _ = listener.read_line(&mut line);
        }
        listener.get_ref().set_nonblocking(false).expect("a mode");
        assert!(line.starts_with("to "), "{line}");
    }
    server.program.say("the last line\n");
    for listener in &mut audience {
        let last = listener.lines().map(|line| line.expect("a line")).find(|line| line == "the last line");
        assert!(last.is_some(), "all hear it");
    }
    // At the end of stdin the watch ends; the server goes on.
    server.program.stdin = None;
    server.stop();
}
