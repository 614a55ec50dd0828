//! The client of `million` against servers that do right and wrong, and the slots without sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use benches::million::{ClientRing, Disturbed, OpenError, Opener, Talk, TalkReport, talk};
use benches::slots_million;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const CONNECTIONS: u32 = 8;
const TALK: Talk = Talk { period: Duration::from_millis(2), messages: 20 };

/// Listens on the first address that the client connects to, and serves each connection on a thread of its own.
fn started(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.1.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Reads the request and sends `answer`.
fn answered(mut stream: TcpStream, answer: &[u8]) -> TcpStream {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream.write_all(answer).unwrap();
    stream
}

/// The text of the next frame, or nothing at the end.
fn next_text(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).ok()?;
    assert_eq!(head[0], 0x81, "whole text frames");
    assert_eq!(head[1] & 0x80, 0x80, "a client masks");
    let mut text = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut text).ok()?;
    text.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= head[2 + at % 4]);
    Some(text)
}

/// Sends a frame in two pieces.
fn send_text(stream: &mut TcpStream, text: &[u8]) {
    let mut frame = vec![0x81, text.len() as u8];
    frame.extend_from_slice(text);
    let (first, second) = frame.split_at(5);
    // The client may be gone already.
    let _ = stream.write_all(first).and_then(|()| stream.write_all(second));
}

fn echo(stream: TcpStream) {
    let mut stream = answered(stream, SWITCH);
    stream.set_nodelay(true).unwrap();
    while let Some(text) = next_text(&mut stream) {
        send_text(&mut stream, &text);
    }
}

fn opened(port: u16) -> Result<ClientRing, OpenError> {
    let mut ring = ClientRing::new(CONNECTIONS).unwrap();
    Opener::new(port, "/ws").unwrap().open(&mut ring, CONNECTIONS)?;
    assert_eq!((ring.len(), ring.room()), (CONNECTIONS, 0));
    Ok(ring)
}

fn talked(serve: fn(TcpStream)) -> TalkReport {
    let mut ring = opened(started(serve)).unwrap();
    let report = talk(&mut ring, TALK).unwrap();
    assert_eq!(report.due, u64::from(CONNECTIONS * TALK.messages));
    assert_eq!(report.latency.count(), report.echoes);
    report
}

#[test]
fn every_message_is_echoed_once() {
    let report = talked(echo);
    assert_eq!((report.lost(), report.wrong, report.closed), (0, 0, 0));
    assert_eq!(report.echoes, report.due);
    assert!(report.elapsed >= TALK.period * (TALK.messages - 1), "not faster than planned");
}

#[test]
fn a_closed_connection_is_counted_and_its_messages_are_lost() {
    let report = talked(|stream| {
        let mut stream = answered(stream, SWITCH);
        let text = next_text(&mut stream).unwrap();
        send_text(&mut stream, &text);
        let _ = next_text(&mut stream);
    });
    assert_eq!((report.echoes, report.closed), (u64::from(CONNECTIONS), u64::from(CONNECTIONS)));
    assert_eq!(report.lost(), report.due - report.echoes);
}

#[test]
fn an_echo_of_something_else_is_wrong() {
    let report = talked(|stream| {
        let mut stream = answered(stream, SWITCH);
        while let Some(mut text) = next_text(&mut stream) {
            text[15] ^= 1;
            send_text(&mut stream, &text);
        }
    });
    assert_eq!((report.echoes, report.wrong), (0, report.due));
}

#[test]
fn a_server_that_does_not_upgrade_is_named() {
    let port = started(|stream| drop(answered(stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")));
    let error = opened(port).err().expect("nothing was upgraded");
    assert!(error.to_string().ends_with("was not upgraded: HTTP/1.1 400 Bad Request"), "{error}");
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.1.0.1:0").unwrap().local_addr().unwrap().port();
    let error = opened(port).err().expect("nothing was connected");
    assert!(matches!(error, OpenError::Step { step: "connect", .. }), "{error}");
}

/// Looks until all connections were disturbed, or a while has passed.
fn all_disturbed(ring: &mut ClientRing) -> Disturbed {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let found = ring.disturbed().unwrap();
        if found.closed + found.unasked >= u64::from(CONNECTIONS) || Instant::now() > end {
            return found;
        }
    }
}

#[test]
fn idle_connections_are_watched() {
    let mut quiet = opened(started(echo)).unwrap();
    assert_eq!(quiet.disturbed().unwrap(), Disturbed::default());

    // Not before all are open, so that nothing comes together with an answer.
    let all_open = Arc::new(Barrier::new(CONNECTIONS as usize + 1));
    let speaks = {
        let all_open = Arc::clone(&all_open);
        started(move |stream| {
            let mut stream = answered(stream, SWITCH);
            all_open.wait();
            send_text(&mut stream, b"hello");
            let _ = next_text(&mut stream);
        })
    };
    let mut ring = opened(speaks).unwrap();
    assert_eq!(ring.disturbed().unwrap(), Disturbed::default());
    all_open.wait();
    assert_eq!(all_disturbed(&mut ring), Disturbed { closed: 0, unasked: u64::from(CONNECTIONS) });

    let mut ring = opened(started(|stream| drop(answered(stream, SWITCH)))).unwrap();
    assert_eq!(all_disturbed(&mut ring), Disturbed { closed: u64::from(CONNECTIONS), unasked: 0 });
}

#[test]
fn sws_holds_a_thousand() {
    let output = Command::new(env!("CARGO_BIN_EXE_million")).arg("--tiny").output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("| 1000 | 1 |"), "all were opened: {text}");
    assert!(text.contains("| 100 | 1000 |"), "the talkers were answered: {text}");
}

#[test]
fn timeouts_of_many_slots_are_late_by_less_than_a_tick() {
    let (timeout, idle) = (Duration::from_secs(2), Duration::from_secs(1));
    let report = slots_million::measure(&slots_million::Plan { slots: 5_000, timeout, idle }).unwrap();
    for expiry in [report.once, report.again] {
        assert_eq!(expiry.reported, 5_000);
        assert!(expiry.late_max < sws_stackpool::WHEEL_TICK, "{expiry:?}");
        assert!(expiry.late_mean <= expiry.late_max, "{expiry:?}");
    }
    assert!(report.to_string().contains("| armed again half-way | 5000 |"), "{report}");
}
