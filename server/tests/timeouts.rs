//! What happens when somebody takes too long, with limits small enough to wait for.

mod common;

use common::{Broken, Client, get, settle, start, start_with, stats, wait_until};
use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use sws::runtime::sleep;
use sws::{Bytes, HttpLimits, Response, Router, Running};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(3600);

/// Every time is long but those that the test sets.
fn patient() -> HttpLimits {
    HttpLimits {
        head_timeout: LONG,
        body_timeout: LONG,
        idle_timeout: LONG,
        write_timeout: LONG,
        handler_timeout: LONG,
        ..HttpLimits::default()
    }
}

fn server(limits: HttpLimits) -> Running {
    start_with(limits, || {
        Router::new()
            .get("/", || "Hello")
            .post("/echo", |body: Bytes| body)
            .get("/endless", || {
                Response::stream("text/plain", |out| {
                    loop {
                        out.write_all(&[b'x'; 20_000])?;
                    }
                })
            })
            .get("/big", || vec![b'x'; 40 << 20])
    })
}

/// Sends a byte now and then until something comes. The pace is that of the wait for an answer.
fn trickle(client: &mut Client, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        // The server may have closed.
        let _ = client.stream.write_all(&[*byte]);
        if client.something_came(SHORT / 10) {
            return;
        }
    }
}

#[test]
fn a_slow_head_is_a_408() {
    let server = server(HttpLimits { head_timeout: SHORT, ..patient() });
    let began = Instant::now();
    let mut client = Client::asking(server.addr(), "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    trickle(&mut client, b"x");
    let answer = client.answer();
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(answer.says_close());
    client.expect_end();
    assert!(began.elapsed() >= SHORT, "it has that time, not less");

    // Behind an answered request it is the same, and from the first byte on.
    let mut client = Client::connect(server.addr());
    assert_eq!(client.get("/").text(), "Hello");
    trickle(&mut client, get("/").repeat(1000).trim_end().replace("\r\n\r\n", "\r\nX: ").as_bytes());
    assert_eq!(client.answer().status, 408);
    drop(client);
    settle(server);
}

#[test]
fn a_slow_body_is_a_408() {
    let server = server(HttpLimits { body_timeout: SHORT, ..patient() });
    for framing in ["Content-Length: 100\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}");
        let mut client = Client::asking(server.addr(), request);
        let answer = client.answer();
        assert_eq!(answer.status, 408, "{answer:?}");
        // The rest of the body does not come either.
        client.expect_end();
    }
    settle(server);
}

/// The time is from one piece to the next: a body may take long as a whole.
#[test]
fn a_body_that_goes_on_is_waited_for() {
    let server = server(HttpLimits { body_timeout: SHORT, ..patient() });
    let mut client =
        Client::asking(server.addr(), "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n");
    for _ in 0..40 {
        client.send("x");
        assert!(!client.something_came(SHORT / 20) || client.answer().status == 200);
    }
    drop(client);
    settle(server);
}

#[test]
fn idle_connections_are_closed() {
    let server = server(HttpLimits { idle_timeout: SHORT, ..patient() });
    let mut fresh = Client::connect(server.addr());
    let mut used = Client::connect(server.addr());
    for _ in 0..20 {
        // Used again and again it lives longer than the idle time.
        assert_eq!(used.get("/").text(), "Hello");
        assert!(!used.something_came(SHORT / 10));
    }
    used.expect_end();
    fresh.expect_end();
    drop((fresh, used));
    settle(server);
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let server = server(HttpLimits { write_timeout: SHORT, ..patient() });
    for path in ["/endless", "/big"] {
        let mut client = Client::asking(server.addr(), get(path));
        assert!(client.something_came(common::PATIENCE));
        wait_until(&server, "the server gives it up", |stats| stats.connections == 0);
        let mut rest = 0;
        let mut piece = vec![0; 1 << 20];
        while let Ok(count @ 1..) = client.stream.read(&mut piece) {
            rest += count;
        }
        assert!(rest < 40 << 20, "it was not all sent");
    }
    settle(server);
}

/// Many small reads, each in time for itself, all together far beyond the write timeout.
#[test]
fn a_slow_client_that_reads_on_is_not_closed() {
    let server = server(HttpLimits { write_timeout: SHORT * 4, ..patient() });
    let began = Instant::now();
    let mut client = Client::asking(server.addr(), get("/big"));
    let mut piece = vec![0; 512 << 10];
    let mut count = 0;
    let (_unused, pace) = mpsc::channel::<()>();
    loop {
        // One piece at a time, with a pause: it is the slowness that is tested.
        let _ = pace.recv_timeout(SHORT / 6);
        match client.stream.read(&mut piece).unwrap() {
            0 => break,
            read => count += read,
        }
        if count > 40 << 20 {
            break;
        }
    }
    assert!(count > 40 << 20, "{count} bytes");
    assert!(began.elapsed() > SHORT * 8, "it was slow");
    drop(client);
    settle(server);
}

/// Slower than the kernel takes more to send: it does so when a third of what it holds, of up to 4 MB, is confirmed.
#[test]
fn a_client_that_reads_little_at_a_time_is_not_closed() {
    let server = server(HttpLimits { write_timeout: SHORT * 4, ..patient() });
    let began = Instant::now();
    let mut client = Client::asking(server.addr(), get("/big"));
    let mut piece = vec![0; 24 << 10];
    let (_unused, pace) = mpsc::channel::<()>();
    let mut count = 0;
    while began.elapsed() < SHORT * 20 {
        let _ = pace.recv_timeout(SHORT / 6);
        match client.stream.read(&mut piece) {
            Ok(read @ 1..) => count += read,
            end => panic!("{end:?} after {count} bytes and {:?}", began.elapsed()),
        }
    }
    wait_until(&server, "the server gives it up when it reads no more", |stats| stats.connections == 0);
    drop(client);
    settle(server);
}

#[test]
fn a_handler_that_takes_too_long_is_a_503() {
    let (sender, ended) = mpsc::channel();
    let server = start_with(HttpLimits { handler_timeout: SHORT, ..patient() }, move || {
        let sender = sender.clone();
        Router::new().get("/", || "Hello").get("/wait", move || {
            let slept = sleep(LONG);
            sender.send(slept.is_err()).unwrap();
            "too late"
        })
    });
    let mut client = Client::asking(server.addr(), get("/") + &get("/wait") + &get("/"));
    assert_eq!(client.answer().text(), "Hello");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.says_close());
    client.expect_end();
    assert_eq!(ended.recv_timeout(common::PATIENCE), Ok(true), "the handler's wait failed");
    drop(client);
    settle(server);
}

/// A client that sends on after its request was refused is heard out for a while, so that it can read the answer.
#[test]
fn a_refused_client_that_sends_on_gets_its_answer() {
    let server = server(patient());
    let mut client = Client::asking(server.addr(), "GET / HTTP/1.1\r\n\r\n");
    for _ in 0..10 {
        // Where it fails the server has closed already, which it must not have.
        client.send("more and more of it");
        common::stats(&server);
    }
    assert_eq!(client.answer().status, 400);
    assert_eq!(client.try_answer(), Err(Broken::Ended));
    drop(client);
    settle(server);
}

#[test]
fn a_client_that_has_said_all_and_waits_costs_no_turns() {
    let server = start(|| Router::new().get("/slow", || sleep(Duration::from_millis(600)).map(|()| "done")));
    let mut client = Client::asking(server.addr(), get("/slow"));
    client.end();
    let before = stats(&server).turns;
    assert_eq!(client.answer().text(), "done");
    let turns = stats(&server).turns - before;
    assert!(turns < 100, "{turns} turns while a handler slept");
    drop(client);
    settle(server);
}
