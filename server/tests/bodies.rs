//! Bodies in both directions: streamed with back-pressure, whole under a limit, unread, cut short.

mod common;

use common::{Broken, Client, get, post, post_chunks, settle, start, start_with, stats, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use sws::runtime::{sleep, yield_now};
use sws::{BodyError, Bytes, Context, HttpLimits, Response, Router};

const MB: usize = 1024 * 1024;

/// The byte at a place of a body, such that a piece lost, doubled or moved is seen.
fn pattern(at: usize) -> u8 {
    (at % 251) as u8 ^ (at >> 16) as u8
}

fn piece(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(pattern).collect()
}

/// Reads the body to its end, after the gate is open, and says how much of the pattern there was.
fn upload(ctx: &mut Context, open: &AtomicBool) -> Result<String, BodyError> {
    let mut buf = vec![0; 50_000];
    let mut at = 0;
    while !open.load(Ordering::Acquire) {
        sleep(Duration::from_millis(1)).map_err(|_| BodyError::Cancelled)?;
    }
    loop {
        let count = ctx.body().read(&mut buf)?;
        if count == 0 {
            return Ok(at.to_string());
        }
        if buf[..count] != piece(at, count) {
            return Ok(format!("wrong bytes at {at}"));
        }
        at += count;
        if at % 7 == 0 {
            yield_now().map_err(|_| BodyError::Cancelled)?;
        }
    }
}

#[test]
fn uploads_are_held_back_while_the_handler_does_not_read() {
    const LEN: usize = 20 * MB;
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let server = start(move || {
        let gate = Arc::clone(&gate);
        Router::new().post("/", move |ctx: &mut Context| upload(ctx, &gate))
    });
    for chunked in [false, true] {
        open.store(false, Ordering::Release);
        let mut bytes = match chunked {
            false => format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n").into_bytes(),
            true => b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        };
        for at in (0..LEN).step_by(MB) {
            if chunked {
                bytes.extend_from_slice(format!("{MB:x}\r\n").as_bytes());
            }
            bytes.extend_from_slice(&piece(at, MB));
            if chunked {
                bytes.extend_from_slice(b"\r\n");
            }
        }
        if chunked {
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        let mut client = Client::connect(server.addr());
        client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut sent = 0;
        let blocked = loop {
            match client.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) => break error.kind(),
            }
            assert!(sent < LEN, "all was taken, and nobody reads");
        };
        assert!(matches!(blocked, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{blocked}");
        let now = stats(&server);
        assert!(now.buffer_bytes <= 512 * 1024, "what the server holds is bounded: {now:?}");
        assert!(now.receive_buffers.leases <= 8, "and so are its receive buffers: {now:?}");
        open.store(true, Ordering::Release);
        client.stream.set_write_timeout(Some(common::PATIENCE)).unwrap();
        client.send(&bytes[sent..]);
        assert_eq!(client.answer().text(), LEN.to_string());
        let now = stats(&server);
        assert!(now.buffer_bytes_high_water <= 2 * MB, "nor did it hold more in between: {now:?}");
    }
    settle(server);
}

fn echo_router() -> Router {
    Router::new().get("/", || "Hello").post("/echo", |body: Bytes| body).post("/unread", || "not read").post(
        "/some",
        |ctx: &mut Context| {
            let mut some = [0; 3];
            ctx.body().read_exact(&mut some).map(|()| some.to_vec())
        },
    )
}

#[test]
fn whole_bodies_have_a_limit() {
    let limits = HttpLimits { body_bytes_max: 1000, ..HttpLimits::default() };
    let server = start_with(limits, echo_router);
    let (fits, over) = ("x".repeat(1000), "x".repeat(1001));
    let half = &fits[..500];
    for chunked in [false, true] {
        let request = |body: &str| match chunked {
            false => post("/echo", body),
            true => post_chunks("/echo", &[half, &body[500..]]),
        };
        let mut client = Client::connect(server.addr());
        client.send(request(&fits));
        assert_eq!(client.answer().text(), fits);
        client.send(request(&over) + &get("/"));
        assert_eq!(client.answer().status, 413, "chunked: {chunked}");
        assert_eq!(client.answer().text(), "Hello", "what is left of it is skipped");
        client.send_bytewise(request(&over) + &get("/"));
        assert_eq!(client.answer().status, 413, "chunked: {chunked}");
        assert_eq!(client.answer().text(), "Hello");
    }
    // What is too large by its own word is refused before it is sent.
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n";
    let mut client = Client::asking(server.addr(), head);
    assert_eq!(client.answer().status, 413);
    client.expect_end();
    settle(server);
}

#[test]
fn the_default_limit_is_that_of_the_documentation() {
    let server = start(|| Router::new().post("/", |body: Bytes| body.len().to_string()));
    let mut client = Client::connect(server.addr());
    let body = "x".repeat(sws::BODY_BYTES_MAX);
    client.send(post("/", &body));
    assert_eq!(client.answer().text(), body.len().to_string());
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len() + 1));
    assert_eq!(client.answer().status, 413);
    client.expect_end();
    drop(client);
    settle(server);
}

#[test]
fn small_bodies_that_nobody_reads_are_skipped() {
    let server = start(echo_router);
    let body = "x".repeat(20_000);
    for path in ["/unread", "/some", "/nothing"] {
        let mut client = Client::connect(server.addr());
        for request in [post(path, &body), post_chunks(path, &[&body, "and some"])] {
            client.send(request.clone() + &get("/"));
            assert_ne!(client.answer().status, 500);
            assert_eq!(client.answer().text(), "Hello", "{path}");
            // In two parts, with the handler over before the second.
            let (before, after) = request.split_at(request.len() - 100);
            client.send(before);
            assert_ne!(client.answer().status, 500);
            client.send(after.to_owned() + &get("/"));
            assert_eq!(client.answer().text(), "Hello", "{path}");
        }
    }
    settle(server);
}

#[test]
fn large_bodies_that_nobody_reads_end_the_connection() {
    let server = start(echo_router);
    let body = "x".repeat(MB);
    for path in ["/unread", "/some"] {
        for request in [post(path, &body), post_chunks(path, &[&body, &body])] {
            let mut client = Client::connect(server.addr());
            let mut writer = client.stream.try_clone().unwrap();
            let writing = std::thread::spawn(move || {
                // It may be reset: the server has ended the connection.
                let _ = writer.write_all((request + &get("/")).as_bytes());
            });
            let answer = client.answer();
            assert_eq!((answer.status, answer.text().len()), (200, if path == "/some" { 3 } else { 8 }));
            client.expect_end();
            writing.join().unwrap();
        }
    }
    settle(server);
}

#[test]
fn a_long_stream_to_a_slow_reader_is_whole_and_bounded() {
    const LEN: usize = 50 * MB;
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let server = start(move || {
        let counter = Arc::clone(&counter);
        Router::new().get("/", move || {
            let counter = Arc::clone(&counter);
            Response::stream("application/octet-stream", move |out| {
                for at in (0..LEN).step_by(MB / 4) {
                    out.write_all(&piece(at, MB / 4))?;
                    counter.store(at + MB / 4, Ordering::Release);
                }
                Ok(())
            })
        })
    });
    let mut client = Client::asking(server.addr(), get("/"));
    // The writer comes to a halt although nobody has read a byte.
    wait_until(&server, "the writer waits", |stats| stats.fibers == 1 && stats.buffer_bytes > 100_000);
    let before = written.load(Ordering::Acquire);
    assert!(before < LEN / 2, "{before} bytes written, none read");
    let answer = client.answer();
    assert_eq!(answer.body.len(), LEN);
    assert!(answer.body == piece(0, LEN), "every byte is where it was");
    let now = stats(&server);
    assert!(now.buffer_bytes_high_water <= 2 * MB, "{now:?}");
    drop(client);
    settle(server);
}

#[test]
fn large_bodies_from_memory() {
    const LEN: usize = 5 * MB;
    let server = start(|| {
        let body = Bytes::from(piece(0, LEN));
        let copy = body.clone();
        Router::new().get("/bytes", move || body.clone()).get("/buffer", move || copy.to_vec())
    });
    let mut client = Client::connect(server.addr());
    client.send(get("/bytes") + &get("/buffer") + &get("/bytes"));
    for _ in 0..3 {
        let answer = client.answer();
        assert_eq!(answer.header("content-length"), Some(LEN.to_string().as_str()));
        assert!(answer.body == piece(0, LEN));
    }
    drop(client);
    settle(server);
}

/// Answers that end too early, each in its way.
fn broken_router() -> Router {
    let failing = |how: u32| {
        move || {
            Response::stream("text/plain", move |out| {
                out.write_all(b"the first half")?;
                if how >= 2 {
                    // So that the first half is sent, and the rest fails on another turn.
                    sleep(Duration::from_millis(5))?;
                }
                match how % 2 {
                    0 => Err(ErrorKind::Other.into()),
                    _ => panic!("as asked"),
                }
            })
        }
    };
    let hanging = || {
        Response::stream("text/plain", |out| {
            out.write_all(b"the first half")?;
            Ok(sleep(Duration::from_secs(3600))?)
        })
    };
    Router::new()
        .get("/error", failing(0))
        .get("/panic", failing(1))
        .get("/late_error", failing(2))
        .get("/late_panic", failing(3))
        .get("/hanging", hanging)
}

#[test]
fn a_stream_that_fails_does_not_look_whole() {
    let limits = HttpLimits { handler_timeout: Duration::from_millis(100), ..HttpLimits::default() };
    let server = start_with(limits, broken_router);
    for path in ["/error", "/panic", "/late_error", "/late_panic", "/hanging"] {
        let mut client = Client::asking(server.addr(), get(path));
        let answer = client.try_answer();
        assert!(matches!(answer, Err(Broken::Cut | Broken::Ended | Broken::Reset)), "{path}: {answer:?}");
    }
    settle(server);
}

#[test]
fn a_stream_may_take_longer_than_a_handler() {
    const PIECES: usize = 30;
    let limits = HttpLimits { handler_timeout: Duration::from_millis(60), ..HttpLimits::default() };
    let server = start_with(limits, || {
        Router::new().get("/", || {
            Response::stream("text/plain", |out| {
                for _ in 0..PIECES {
                    out.write_all(b"x")?;
                    sleep(Duration::from_millis(10))?;
                }
                Ok(())
            })
        })
    });
    let mut client = Client::asking(server.addr(), get("/"));
    assert_eq!(client.answer().body, [b'x'; PIECES]);
    drop(client);
    settle(server);
}

/// HTTP/1.0 has no chunks: the end of the connection is the end of the body, so a body that breaks off must end otherwise.
#[test]
fn a_stream_that_fails_is_reset_for_http_1_0() {
    let server = start_with(HttpLimits::default(), broken_router);
    for path in ["/error", "/panic"] {
        let mut stream = std::net::TcpStream::connect(server.addr()).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").expect("asks");
        let end = stream.read_to_end(&mut Vec::new());
        assert_eq!(end.expect_err("no clean end").kind(), std::io::ErrorKind::ConnectionReset, "{path}");
    }
    settle(server);
}
