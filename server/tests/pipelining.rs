//! One connection, many requests: order, keep-alive, chunks, 100-continue, HEAD, OPTIONS, half-close.

mod common;

use common::{Broken, Client, get, post, post_chunks, settle, start, start_with, wait_until};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use sws::runtime::sleep;
use sws::{Bytes, Context, HttpLimits, Path, Response, Router};

fn numbered(Path(number): Path<usize>) -> String {
    number.to_string()
}

/// Waits a little for some of the numbers, a turn for others.
fn sleepy(Path(number): Path<usize>) -> String {
    match number % 10 {
        3 => sleep(Duration::from_millis(2)).unwrap(),
        7 => sws::runtime::yield_now().unwrap(),
        _ => {}
    }
    number.to_string()
}

fn stream() -> Response {
    Response::stream("text/plain", |out| {
        for piece in ["some", "", "pieces", "of text"] {
            out.write_all(piece.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    })
}

/// Reads the body in pieces of an odd size, and gives it back.
fn echo_stream(ctx: &mut Context) -> Result<Vec<u8>, sws::BodyError> {
    let mut whole = Vec::new();
    let mut piece = [0; 7];
    loop {
        match ctx.body().read(&mut piece)? {
            0 => return Ok(whole),
            count => whole.extend_from_slice(&piece[..count]),
        }
    }
}

fn router() -> Router {
    Router::new()
        .get("/", || "Hello")
        .get("/n/{number}", numbered)
        .get("/sleepy/{number}", sleepy)
        .get("/stream", stream)
        .post("/echo", |body: Bytes| body)
        .post("/echo_stream", echo_stream)
        .post("/unread", || "not read")
        .get("/sleep", || sleep(Duration::from_millis(30)).map_or("cancelled", |()| "slept"))
}

/// All requests in one write, then all answers, while another thread writes.
fn ask_all(client: &mut Client, requests: String, count: usize, expect: impl Fn(usize) -> String) {
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(requests.as_bytes()).unwrap());
    for number in 0..count {
        assert_eq!(client.answer().text(), expect(number));
    }
    writing.join().unwrap();
}

#[test]
fn a_thousand_requests_in_one_write() {
    let server = start(router);
    let mut client = Client::connect(server.addr());
    for path in ["/n", "/sleepy"] {
        let requests: String = (0..1000).map(|number| get(&format!("{path}/{number}"))).collect();
        ask_all(&mut client, requests, 1000, |number| number.to_string());
    }
    drop(client);
    settle(server);
}

#[test]
fn requests_of_all_kinds_are_answered_in_order() {
    let server = start(router);
    let mut client = Client::connect(server.addr());
    let mut requests = String::new();
    for number in 0..100 {
        requests += &match number % 6 {
            0 => get("/n/7"),
            1 => post("/echo", "whole"),
            2 => post_chunks("/echo", &["in", "chunks"]),
            3 => post_chunks("/echo_stream", &["streamed", "in", "chunks of several sizes"]),
            4 => get("/sleepy/3"),
            _ => get("/stream"),
        };
    }
    let answers = ["7", "whole", "inchunks", "streamedinchunks of several sizes", "3", "somepiecesof text"];
    ask_all(&mut client, requests, 100, |number| answers[number % 6].to_owned());
    drop(client);
    settle(server);
}

#[test]
fn pipelining_clients_that_read_late_get_everything() {
    const COUNT: usize = 400;
    let limits = HttpLimits { output_bytes_high: 4096, ..HttpLimits::default() };
    let big = "x".repeat(5000);
    let text = big.clone();
    let server = start_with(limits, move || {
        let text = text.clone();
        Router::new().get("/big", move || text.clone())
    });
    let mut client = Client::asking(server.addr(), get("/big").repeat(COUNT));
    client.end();
    for _ in 0..COUNT {
        assert_eq!(client.answer().text(), big);
    }
    client.expect_end();
    drop(client);
    settle(server);
}

#[test]
fn keep_alive_by_version_and_header() {
    let server = start(router);
    let cases = [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: keep-alive\r\n", true),
        ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: x, Close\r\n", false),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: keep-alive\r\n", true),
        ("HTTP/1.0", "Connection: close\r\n", false),
    ];
    for (version, connection, kept) in cases {
        let request = format!("GET / {version}\r\nHost: a\r\n{connection}\r\n");
        let mut client = Client::asking(server.addr(), request.repeat(2));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, "Hello"), "{request}");
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{answer:?}");
        match kept {
            true => {
                assert!(!answer.says_close(), "{request}");
                let says_kept = answer.header("connection") == Some("keep-alive");
                assert!(says_kept || version == "HTTP/1.1", "1.0 must be told: {request}");
                assert_eq!(client.answer().text(), "Hello");
                client.end();
            }
            false => assert!(answer.says_close(), "{request}"),
        }
        client.expect_end();
    }
    settle(server);
}

#[test]
fn a_handler_may_close() {
    let server =
        start(|| Router::new().get("/", || Response::text("last").with_header("Connection", "close")));
    let mut client = Client::asking(server.addr(), get("/").repeat(2));
    let answer = client.answer();
    assert!(answer.says_close());
    client.expect_end();
    drop(client);
    settle(server);
}

#[test]
fn chunked_bodies_may_be_cut_anywhere() {
    let server = start(router);
    let mut client = Client::connect(server.addr());
    for path in ["/echo", "/echo_stream"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             3;name=\"va;lue\"\r\nabc\r\n00A\r\n0123456789\r\n0;x\r\nTrailer: yes\r\n\r\n"
        );
        for cut in 1..request.len() {
            client.send(&request[..cut]);
            common::stats(&server);
            client.send(&request[cut..]);
            assert_eq!(client.answer().text(), "abc0123456789", "{path} cut at {cut}");
        }
        client.send_bytewise(&request);
        assert_eq!(client.answer().text(), "abc0123456789");
    }
    drop(client);
    settle(server);
}

/// The framing of a body is read in a loop: a long trailer section must not be able to use up the handler's stack, however
/// small the pieces are that the handler reads.
#[test]
fn long_chunk_framing_and_a_handler_that_reads_byte_by_byte() {
    let bytewise = |ctx: &mut Context| -> Result<String, sws::BodyError> {
        let (mut count, mut byte) = (0, [0]);
        while ctx.body().read(&mut byte)? > 0 {
            count += 1;
        }
        Ok(count.to_string())
    };
    let server = start(move || Router::new().post("/", bytewise));
    let mut client = Client::connect(server.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    // The handler waits before the rest comes, so that it is the handler's read that meets it.
    wait_until(&server, "the handler reads", |stats| stats.fibers == 1);
    let extension = format!(";{}", "e".repeat(250));
    let trailers = format!("Trailer: {}\r\n", "t".repeat(180)).repeat(20);
    client.send(format!("1{extension}\r\nb\r\n0{extension}\r\n{trailers}\r\n"));
    assert_eq!(client.answer().text(), "2");
    drop(client);
    settle(server);
}

#[test]
fn streams_are_chunked_to_1_1_and_end_with_the_connection_to_1_0() {
    let server = start(router);
    let mut client = Client::connect(server.addr());
    let answer = client.get("/stream");
    assert_eq!(answer.text(), "somepiecesof text");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.get("/").text(), "Hello", "the connection is kept");
    drop(client);

    let mut client = Client::asking(server.addr(), "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("content-length"), None);
    assert!(answer.says_close());
    assert_eq!(answer.text(), "somepiecesof text");
    client.expect_end();
    drop(client);
    settle(server);
}

#[test]
fn expect_continue_is_answered_when_the_handler_reads() {
    let server = start(router);
    for path in ["/echo", "/echo_stream"] {
        let head = |fields: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{fields}\r\n\r\n")
        };
        let mut client = Client::asking(server.addr(), head("Content-Length: 5"));
        assert_eq!(client.answer().status, 100);
        client.send("12345");
        assert_eq!(client.answer().text(), "12345");
        client.send(head("Transfer-Encoding: chunked"));
        assert_eq!(client.answer().status, 100);
        client.send("5\r\n12345\r\n0\r\n\r\n");
        assert_eq!(client.answer().text(), "12345");
        // One that does not wait for it needs none.
        client.send(head("Content-Length: 5") + "12345");
        assert_eq!(client.answer().text(), "12345");
    }
    settle(server);
}

#[test]
fn expect_continue_and_a_handler_that_does_not_read() {
    let server = start(router);
    let head = "POST /unread HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = Client::asking(server.addr(), head);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "not read"));
    // Whether the peer sends the body now is not known, so nothing behind it could be told from it.
    assert!(answer.says_close());
    client.expect_end();
    // HTTP/1.0 has no 100 (RFC 9110, 10.1.1).
    let head = "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = Client::asking(server.addr(), head);
    assert!(!client.something_came(Duration::from_millis(50)));
    client.send("12345");
    assert_eq!(client.answer().text(), "12345");
    drop(client);
    settle(server);
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let server = start(router);
    let mut client = Client::connect(server.addr());
    for path in ["/", "/stream", "/nothing"] {
        let mut get = client.get(path);
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut head = client.head_answer();
        for answer in [&mut get, &mut head] {
            answer.body.clear();
            assert!(answer.header("date").is_some());
            answer.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        }
        assert_eq!(head, get, "{path}");
    }
    assert_eq!(client.get("/").text(), "Hello");
    drop(client);
    settle(server);
}

#[test]
fn options_and_methods_that_are_not_allowed() {
    let server = start(router);
    let mut client = Client::connect(server.addr());
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
    client.send("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 204);
    assert_eq!(client.get("/nothing").status, 404);
    client.send("GET http://a/n/5?x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "5");
    drop(client);
    settle(server);
}

#[test]
fn half_close_still_gets_every_answer() {
    let server = start(router);
    let mut client = Client::asking(server.addr(), get("/"));
    client.end();
    assert_eq!(client.answer().text(), "Hello");
    client.expect_end();

    let mut client = Client::asking(server.addr(), get("/sleep"));
    client.end();
    assert_eq!(client.answer().text(), "slept");
    client.expect_end();

    let mut client =
        Client::asking(server.addr(), get("/stream") + &get("/sleep") + &post("/echo_stream", "x"));
    client.end();
    assert_eq!(client.answer().text(), "somepiecesof text");
    assert_eq!(client.answer().text(), "slept");
    assert_eq!(client.answer().text(), "x");
    client.expect_end();

    drop(client);
    settle(server);
}

/// More requests than one turn takes, and the end behind them, which is there before they are all answered.
#[test]
fn half_close_behind_many_pipelined_requests() {
    let server = start_with(HttpLimits { requests_per_turn: 3, ..HttpLimits::default() }, router);
    for path in ["/n", "/sleepy"] {
        let requests: String = (0..500).map(|number| get(&format!("{path}/{number}"))).collect();
        let mut client = Client::asking(server.addr(), requests);
        client.end();
        for number in 0..500 {
            let answer = client.try_answer();
            assert_eq!(answer.as_ref().map(|answer| answer.text()), Ok(number.to_string().as_str()));
        }
        client.expect_end();
    }
    settle(server);
}

#[test]
fn half_close_inside_of_a_request() {
    let server = start(router);
    // Inside of a head: nobody waits for an answer to half a question.
    let mut client = Client::asking(server.addr(), &get("/")[..20]);
    client.end();
    client.expect_end();
    // Inside of a body: the handler gets an error, which it passes on.
    for path in ["/echo", "/echo_stream"] {
        for body in ["Content-Length: 10\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"] {
            let mut client =
                Client::asking(server.addr(), format!("POST {path} HTTP/1.1\r\nHost: a\r\n{body}"));
            client.end();
            match client.try_answer() {
                Ok(answer) => assert_eq!(answer.status, 400, "{path} {body}"),
                Err(error) => assert_eq!(error, Broken::Ended, "{path} {body}"),
            }
            client.expect_end();
        }
    }
    settle(server);
}

/// A body that a handler reads piece by piece is all there, with the end behind it, when the handler begins to read.
#[test]
fn half_close_behind_a_streamed_body_that_waits() {
    // Over `body_bytes_max` nothing is collected ahead of the handler.
    let limits = HttpLimits { body_bytes_max: 10, ..HttpLimits::default() };
    let server = start_with(limits, router);
    let body = "0123456789".repeat(100);
    let mut client = Client::asking(server.addr(), get("/sleep") + &post("/echo_stream", &body));
    client.end();
    assert_eq!(client.answer().text(), "slept");
    assert_eq!(client.answer().text(), body);
    client.expect_end();
    drop(client);
    settle(server);
}

#[test]
fn no_more_requests_than_allowed_in_one_turn() {
    const PER_TURN: usize = 4;
    let limits = HttpLimits { requests_per_turn: PER_TURN as u32, ..HttpLimits::default() };
    let most = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&most);
    let server = start_with(limits, move || {
        let counter = Arc::clone(&counter);
        let this_turn = std::cell::Cell::new((0, 0));
        Router::new().get("/", move || {
            let turn = sws::runtime::stats().turns;
            let (last, count) = this_turn.get();
            let count = if turn == last { count + 1 } else { 1 };
            this_turn.set((turn, count));
            counter.fetch_max(count, Ordering::Relaxed);
            "Hello"
        })
    });
    let mut client = Client::connect(server.addr());
    ask_all(&mut client, get("/").repeat(300), 300, |_| "Hello".to_owned());
    let most = most.load(Ordering::Relaxed);
    // What the turn before left over, and what came in this one.
    assert!((2..=2 * PER_TURN).contains(&most), "{most} in one turn");
    drop(client);
    settle(server);
}
