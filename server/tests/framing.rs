//! What a peer may not send, over real connections: each has its one answer, then the connection ends, and nothing behind it is
//! answered. RFC 9112 whole, nothing ambiguous accepted.

mod common;

use common::{Client, get, post, post_chunks, settle, start_with};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use sws::http1::{HeadLimits, Reject};
use sws::{Bytes, HttpLimits, Router, Running};

const HOST: &str = "Host: a\r\n";

/// Bad requests, and what is said of each.
fn bad_requests() -> Vec<(String, Reject)> {
    let head = |line: &str, fields: &str| format!("{line}\r\n{fields}\r\n");
    let field = |fields: &str| format!("POST / HTTP/1.1\r\n{HOST}{fields}\r\n\r\n");
    let chunks = |body: &str| field(&format!("Transfer-Encoding: chunked\r\n\r\n{body}"));
    vec![
        (field("Content-Length: 3\r\nTransfer-Encoding: chunked"), Reject::LengthAndEncoding),
        (field("Transfer-Encoding: chunked\r\nContent-Length: 3"), Reject::LengthAndEncoding),
        (field("Content-Length: 3\r\nContent-Length: 4"), Reject::ContentLengthRepeated),
        (field("Content-Length: 3\r\nContent-Length: 3"), Reject::ContentLengthRepeated),
        (field("Content-Length: 3, 3"), Reject::BadContentLength),
        (field("Content-Length: +3"), Reject::BadContentLength),
        (field("Content-Length: -3"), Reject::BadContentLength),
        (field("Content-Length: 0x3"), Reject::BadContentLength),
        (field("Content-Length: 3 3"), Reject::BadContentLength),
        (field("Content-Length: "), Reject::BadContentLength),
        (field("Content-Length: 99999999999999999999"), Reject::BadContentLength),
        (field("Transfer-Encoding: chunked, chunked"), Reject::BadTransferEncoding),
        (field("Transfer-Encoding: chunked, gzip"), Reject::BadTransferEncoding),
        (field("Transfer-Encoding: gzip, chunked"), Reject::UnknownTransferEncoding),
        (field("Transfer-Encoding: identity"), Reject::UnknownTransferEncoding),
        (head("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n"), Reject::EncodingInOldVersion),
        (field("X: a\rb"), Reject::BadHeaderValue),
        (field("X: a\0b"), Reject::BadHeaderValue),
        (field("X: a\r\n b"), Reject::BadHeaderName),
        (field("X : a"), Reject::BadHeaderName),
        (field(" X: a"), Reject::BadHeaderName),
        (field(": a"), Reject::BadHeaderName),
        (field("X"), Reject::BadHeaderName),
        (format!("GET / HTTP/1.1\n{HOST}\r\n"), Reject::BadLineEnd),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n".to_owned(), Reject::BadLineEnd),
        (format!("GET / HTTP/1.1\rX\r\n{HOST}\r\n"), Reject::BadLineEnd),
        (head("GET / HTTP/1.1", ""), Reject::HostMissing),
        (head("GET / HTTP/1.1", "Host: a\r\nHost: a\r\n"), Reject::HostRepeated),
        (head("GET / HTTP/1.1", "Host: a b\r\n"), Reject::BadHost),
        (head("GET / HTTP/1.1", "Host: a/b\r\n"), Reject::BadHost),
        (head("GET x HTTP/1.1", HOST), Reject::BadTarget),
        (head("GET * HTTP/1.1", HOST), Reject::BadTarget),
        (head("GET /a#b HTTP/1.1", HOST), Reject::BadTarget),
        (head("GET / HTTP/1.1 ", HOST), Reject::BadLineEnd),
        (head("GET / http/1.1", HOST), Reject::BadVersion),
        (head("GET / HTTP/1", HOST), Reject::BadVersion),
        (head("GET / HTTP/2.0", HOST), Reject::VersionUnsupported),
        (head("G(T / HTTP/1.1", HOST), Reject::BadMethod),
        (head("CONNECT a:80 HTTP/1.1", HOST), Reject::ConnectUnsupported),
        (head(&format!("{} / HTTP/1.1", "M".repeat(40)), HOST), Reject::MethodTooLong),
        (field("Expect: something"), Reject::ExpectationFailed),
        (head(&format!("GET /{} HTTP/1.1", "t".repeat(600)), HOST), Reject::TargetTooLong),
        (field(&format!("X: {}", "x".repeat(2000))), Reject::HeadTooLarge),
        (field(&"X: a\r\n".repeat(30)), Reject::TooManyHeaders),
        (chunks("x\r\n"), Reject::BadChunkSize),
        (chunks("-1\r\n"), Reject::BadChunkSize),
        (chunks("\r\n"), Reject::BadChunkSize),
        (chunks("11111111111111111\r\n"), Reject::BadChunkSize),
        (chunks("3\r\nabcd\r\n0\r\n\r\n"), Reject::BadChunkEnd),
        (chunks("3\nabc\r\n0\r\n\r\n"), Reject::BadChunkEnd),
        (chunks("3;a=\x01\r\nabc\r\n0\r\n\r\n"), Reject::BadChunkExtension),
        (chunks("0\r\nbad trailer\r\n\r\n"), Reject::BadTrailer),
    ]
}

/// A server of small limits, which counts the requests to `/behind`.
fn server() -> (Running, Arc<AtomicUsize>) {
    let head = HeadLimits { head_bytes_max: 1000, target_bytes_max: 500, headers_max: 20 };
    let behind = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&behind);
    let running = start_with(HttpLimits { head, ..HttpLimits::default() }, move || {
        let counter = Arc::clone(&counter);
        Router::new()
            .get("/", || "Hello")
            .post("/", |body: Bytes| body)
            .get("/behind", move || counter.fetch_add(1, Ordering::Relaxed).to_string())
    });
    (running, behind)
}

/// Whether the answer comes from the table, or from the handler that read a bad body: then the status is the same.
fn check(client: &mut Client, bad: &str, reject: Reject) {
    let answer = client.answer();
    let case = bad.escape_debug();
    assert_eq!(answer.status, reject.status().as_u16(), "{case}: {answer:?}");
    assert!(answer.header("date").is_some(), "{case}: {answer:?}");
    client.expect_end();
}

#[test]
fn each_bad_request_has_its_answer_and_ends_the_connection() {
    let (running, behind) = server();
    for (bad, reject) in bad_requests() {
        let mut client = Client::asking(running.addr(), bad.clone() + &get("/behind"));
        let answer = client.answer();
        let case = bad.escape_debug();
        assert_eq!(answer.status, reject.status().as_u16(), "{case}: {answer:?}");
        assert_eq!(answer.text().trim_end(), reject.reason(), "{case}");
        assert!(answer.says_close(), "{case}: {answer:?}");
        assert!(answer.header("date").is_some(), "{case}: {answer:?}");
        client.expect_end();
    }
    assert_eq!(behind.load(Ordering::Relaxed), 0, "nothing behind a bad request is looked at");
    settle(running);
}

#[test]
fn what_came_before_a_bad_request_is_answered_first() {
    let (running, behind) = server();
    for (bad, reject) in bad_requests() {
        let all = get("/") + &post("/", "abc") + &bad + &get("/behind");
        let mut client = Client::asking(running.addr(), all);
        assert_eq!(client.answer().text(), "Hello");
        assert_eq!(client.answer().text(), "abc");
        check(&mut client, &bad, reject);
    }
    assert_eq!(behind.load(Ordering::Relaxed), 0);
    settle(running);
}

#[test]
fn bad_requests_byte_by_byte_have_the_same_answers() {
    let (running, behind) = server();
    for (bad, reject) in bad_requests() {
        let mut client = Client::connect(running.addr());
        client.send_bytewise(bad.clone() + &get("/behind"));
        check(&mut client, &bad, reject);
    }
    assert_eq!(behind.load(Ordering::Relaxed), 0);
    settle(running);
}

#[test]
fn good_requests_byte_by_byte() {
    let (running, _) = server();
    let mut client = Client::connect(running.addr());
    for _ in 0..3 {
        client.send_bytewise(get("/"));
        assert_eq!(client.answer().text(), "Hello");
        client.send_bytewise(post("/", "some bytes"));
        assert_eq!(client.answer().text(), "some bytes");
        client.send_bytewise(post_chunks("/", &["a", "few", "chunks of different size"]));
        assert_eq!(client.answer().text(), "afewchunks of different size");
    }
    drop(client);
    settle(running);
}

/// Two requests, cut into three pieces at every pair of places within a window, give the same answers.
#[test]
fn requests_may_be_cut_anywhere() {
    let (running, _) = server();
    let both = post_chunks("/", &["first", "second"]) + &post("/", "third");
    let mut client = Client::connect(running.addr());
    for cut in 1..both.len() {
        let (before, after) = both.split_at(cut);
        client.send(before);
        // The server takes the first piece on its own.
        common::stats(&running);
        client.send(after);
        assert_eq!(client.answer().text(), "firstsecond", "cut at {cut}");
        assert_eq!(client.answer().text(), "third", "cut at {cut}");
    }
    drop(client);
    settle(running);
}

#[test]
fn blank_lines_before_a_request_are_forgiven_but_not_for_ever() {
    let (running, _) = server();
    let mut client = Client::asking(running.addr(), "\r\n".to_owned() + &get("/"));
    assert_eq!(client.answer().text(), "Hello");
    drop(client);
    // A client that only sends blank lines is not one that speaks HTTP.
    let mut client = Client::connect(running.addr());
    client.send("\r\n".repeat(2000));
    let answer = client.answer();
    assert!((400..500).contains(&answer.status), "{answer:?}");
    client.expect_end();
    drop(client);
    settle(running);
}
