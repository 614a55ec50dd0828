//! Streams of events over real sockets, read by a parser that is written from the text of the standard.

mod common;
#[path = "sse/source.rs"]
mod source;
#[path = "sse/topics.rs"]
mod topics;

use common::{Client, PATIENCE, get, post, settle, start, stats, wait_until};
use source::{Source, message};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use sws::runtime::{Config, Limits, Overflow, Runtime, SendError, sleep};
use sws::sse::{Event, EventSender, EventStream, Sse, SseOptions};
use sws::{Bytes, HttpLimits, Response, Router, Running, Server};

/// A server whose streams hand out their senders.
fn handing_out(options: SseOptions) -> (Running, mpsc::Receiver<EventSender>) {
    let (senders, received) = mpsc::channel();
    let server = start(move || {
        let (senders, options) = (senders.clone(), options.clone());
        let open = move |sse: Sse| {
            let senders = senders.clone();
            sse.options(options.clone()).open(move |stream: &mut EventStream<'_>| {
                senders.send(stream.sender()).unwrap();
            })
        };
        Router::new().get("/", || "Hello").get("/events", open)
    });
    (server, received)
}

fn sender(senders: &mpsc::Receiver<EventSender>) -> EventSender {
    senders.recv_timeout(PATIENCE).expect("a stream was opened")
}

fn refusing(output_bytes_max: usize) -> SseOptions {
    SseOptions { output_bytes_max, overflow: Overflow::Refuse, ..SseOptions::default() }
}

#[test]
fn the_head_of_the_answer() {
    let server = start(|| {
        let open = |sse: Sse| {
            let sse = sse.header("X-Trace", "7").header("Cache-Control", "no-cache");
            sse.open(|stream| stream.close())
        };
        Router::new().get("/", |sse: Sse| sse.open(|stream| stream.close())).get("/own", open)
    });
    for version in ["1.0", "1.1"] {
        let source = Source::open(server.addr(), &format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
        assert_eq!(source.status, 200);
        assert_eq!(source.header("content-type"), Some("text/event-stream"));
        assert_eq!(source.header("cache-control"), Some("no-store"));
        assert_eq!(source.header("x-accel-buffering"), Some("no"));
        assert_eq!(source.header("connection"), Some("close"));
        assert_eq!((source.header("content-length"), source.header("transfer-encoding")), (None, None));
        assert_eq!(source.rest(), [], "HTTP/{version}");
    }
    let source = Source::open(server.addr(), &get("/own"));
    assert_eq!((source.header("x-trace"), source.header("cache-control")), (Some("7"), Some("no-cache")));
    drop(source);
    settle(server);
}

#[test]
fn head_gets_the_head_only() {
    let (server, senders) = handing_out(SseOptions::default());
    let mut client = Client::asking(server.addr(), "HEAD /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.head_answer();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(client.get("/").text(), "Hello", "the connection is HTTP still");
    assert!(senders.try_recv().is_err(), "no stream was opened");
    drop(client);
    settle(server);
}

#[test]
fn events_arrive_as_they_were_sent() {
    let server = start(|| {
        Router::new().get("/", |sse: Sse| {
            let options = SseOptions { retry: Some(Duration::from_millis(1500)), ..SseOptions::default() };
            sse.options(options).open(|stream| {
                stream.send("plain").unwrap();
                stream.send(Event::data(" a\r\nb\rc\n\n").id("7").event("named")).unwrap();
                stream.send(Event::comment("not\ndata: an event")).unwrap();
                stream.send(Event::data("id stays")).unwrap();
                stream.send(Event::data("x\n\ndata: y").id("8\ndata: no").event("e\r\r")).unwrap();
                stream.send(Event::data("").id("")).unwrap();
                stream.send(Event::json(&[1, 2]).unwrap()).unwrap();
                stream.send("é".repeat(300_000)).unwrap();
                assert!(stream.pending_bytes() > 600_000);
                stream.close();
                assert_eq!(stream.send("late"), Err(SendError::Closed));
                assert!(stream.is_closing() && stream.sender().is_closed());
            })
        })
    });
    let mut source = Source::open(server.addr(), &get("/"));
    assert_eq!(source.event(), message("plain"));
    assert_eq!(source.retry(), Some(1500));
    assert_eq!(source.event(), message(" a\nb\nc\n\n").id("7").event("named"));
    assert_eq!(source.event(), message("id stays").id("7"));
    assert_eq!(source.event(), message("x\n\ndata: y").id("7"));
    assert_eq!(source.event(), message(""));
    assert_eq!(source.event(), message("[1,2]"));
    assert_eq!(source.event().data.chars().count(), 300_000);
    assert_eq!(source.rest(), []);
    settle(server);
}

#[test]
fn the_last_event_id_is_given() {
    let server = start(|| {
        Router::new().get("/", |sse: Sse| {
            let last = format!("{:?}", sse.last_event_id());
            sse.open(move |stream| {
                stream.send(last).unwrap();
                stream.close();
            })
        })
    });
    for (header, seen) in
        [("", "None"), ("Last-Event-ID: 42\r\n", "Some(\"42\")"), ("last-event-id: é\r\n", "Some(\"é\")")]
    {
        let mut source = Source::open(server.addr(), &format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n"));
        assert_eq!(source.event(), message(seen));
    }
    settle(server);
}

#[test]
fn an_idle_stream_gets_comments() {
    let keep_alive = Some(Duration::from_millis(30));
    let (server, senders) = handing_out(SseOptions { keep_alive, ..SseOptions::default() });
    let mut source = Source::open(server.addr(), &get("/events"));
    source.comments(3);
    sender(&senders).send(Event::data("still there")).unwrap();
    assert_eq!(source.event(), message("still there"));
    let comments = source.comments_seen();
    source.comments(comments + 2);
    drop(source);
    settle(server);
}

#[test]
fn events_of_a_thread_keep_their_order() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let (server, senders) = handing_out(SseOptions::default());
    let mut source = Source::open(server.addr(), &get("/events"));
    let to_stream = sender(&senders);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let to_stream = to_stream.clone();
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let event = Event::data(number.to_string()).event(thread.to_string());
                    to_stream.send(event).unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; THREADS];
    for _ in 0..THREADS * EACH {
        let event = source.event();
        let thread: usize = event.event.parse().unwrap();
        assert_eq!(event.data, next[thread].to_string());
        next[thread] += 1;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    to_stream.close();
    assert_eq!(source.rest(), []);
    wait_until(&server, "the stream closes", |stats| stats.connections == 0);
    assert!(to_stream.is_closed());
    assert_eq!(to_stream.send("late"), Err(SendError::Closed));
    to_stream.close();
    settle(server);
}

/// Sends `text` again and again until it is refused; returns how often it was not, and why it then was.
fn flood(sender: &EventSender, text: &str, max: usize) -> (usize, SendError) {
    for sent in 0..max {
        if let Err(error) = sender.send(text) {
            return (sent, error);
        }
    }
    panic!("{max} events were taken, and nobody reads");
}

#[test]
fn a_full_stream_refuses_until_its_client_reads() {
    let (server, senders) = handing_out(refusing(64 * 1024));
    let mut source = Source::open(server.addr(), &get("/events"));
    let to_stream = sender(&senders);
    let text = "x".repeat(4096);
    let (sent, error) = flood(&to_stream, &text, 20_000);
    assert_eq!(error, SendError::Full);
    for _ in 0..sent {
        assert_eq!(source.event().data, text);
    }
    // It is told of the room when all is sent.
    let began = Instant::now();
    while to_stream.send("again") == Err(SendError::Full) {
        assert!(began.elapsed() < PATIENCE, "there is room, and nobody is told");
        std::thread::yield_now();
    }
    assert_eq!(source.event(), message("again"), "what was refused was not sent, what was taken was");
    drop(source);
    wait_until(&server, "the stream closes", |stats| stats.connections == 0);
    assert_eq!(to_stream.send("late"), Err(SendError::Closed));
    assert_eq!(stats(&server).closed_slow, 0);
    settle(server);
}

#[test]
fn a_slow_client_is_bounded_and_closed() {
    const BOUND: usize = 256 * 1024;
    let (server, senders) = handing_out(SseOptions { output_bytes_max: BOUND, ..SseOptions::default() });
    let source = Source::open(server.addr(), &get("/events"));
    let to_stream = sender(&senders);
    let text = "x".repeat(4096);
    let mut taken = 0;
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "nobody reads, and it goes on");
        match to_stream.send(text.as_str()) {
            Ok(()) => taken += 1,
            // On its way there.
            Err(SendError::Full) => std::thread::yield_now(),
            Err(error) => break assert_eq!(error, SendError::Closed),
        }
        assert!(taken < 20_000, "nobody reads, and all is taken");
    }
    wait_until(&server, "the stream closes", |stats| stats.connections == 0);
    assert_eq!(stats(&server).closed_slow, 1);
    assert!(stats(&server).buffer_bytes_high_water <= 2 * BOUND);
    drop(source);
    settle(server);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let write_timeout = Duration::from_millis(50);
    let (server, senders) = handing_out(SseOptions { write_timeout, ..refusing(64 * 1024) });
    let source = Source::open(server.addr(), &get("/events"));
    let to_stream = sender(&senders);
    // What fits into the kernel's buffers goes on being taken for a while.
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "nobody reads, and it goes on");
        match to_stream.send("x".repeat(4096)) {
            Ok(()) | Err(SendError::Full) => std::thread::yield_now(),
            Err(error) => break assert_eq!(error, SendError::Closed),
        }
    }
    wait_until(&server, "the stream is given up", |stats| stats.connections == 0);
    drop(source);
    settle(server);
}

#[test]
fn a_thousand_idle_streams_have_no_fibers() {
    const COUNT: usize = 1000;
    let (server, senders) = handing_out(SseOptions::default());
    let mut sources: Vec<_> = (0..COUNT).map(|_| Source::open(server.addr(), &get("/events"))).collect();
    wait_until(&server, "all are idle", |stats| {
        stats.connections as usize == COUNT
            && stats.fibers == 0
            && stats.buffer_bytes == 0
            && stats.receive_buffers.leases == 0
    });
    let senders: Vec<_> = (0..COUNT).map(|_| sender(&senders)).collect();
    for sender in &senders {
        sender.send("woken").unwrap();
    }
    for source in &mut sources {
        assert_eq!(source.event(), message("woken"));
    }
    drop(sources);
    wait_until(&server, "all are closed", |stats| stats.connections == 0);
    assert!(senders.iter().all(EventSender::is_closed));
    settle(server);
}

#[test]
fn a_drain_lets_out_what_is_queued() {
    let text = "x".repeat(600_000);
    let events = text.clone();
    // Streams that did not close would stay for longer than the test.
    let limits = Limits { drain_timeout: Duration::from_secs(3600), ..Limits::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().config(Config { limits, ..Config::default() });
    let server = server
        .spawn(move || {
            let events = events.clone();
            Router::new().get("/", move |sse: Sse| {
                let events = events.clone();
                sse.open(move |stream| stream.send(events).unwrap())
            })
        })
        .unwrap();
    let mut sources: Vec<_> = (0..3).map(|_| Source::open(server.addr(), &get("/"))).collect();
    let mut idle = Source::open(server.addr(), &get("/"));
    assert_eq!(idle.event().data, text);
    server.handles()[0].shutdown();
    for source in &mut sources {
        assert_eq!(source.event().data, text);
    }
    for source in sources {
        assert_eq!(source.rest(), []);
    }
    assert_eq!(idle.rest(), []);
    server.shutdown();
}

#[test]
fn what_the_client_says_is_dropped() {
    let (server, senders) = handing_out(SseOptions::default());
    let mut source = Source::open(server.addr(), &(get("/events") + &get("/")));
    let to_stream = sender(&senders);
    // More than the kernel holds back, so that it must be read.
    for _ in 0..1024 {
        source.stream.write_all(&[b'x'; 16 * 1024]).unwrap();
        source.stream.write_all(get("/").as_bytes()).unwrap();
    }
    to_stream.send("heard").unwrap();
    assert_eq!(source.event(), message("heard"));
    to_stream.close();
    let mut rest = Vec::new();
    // What the server has not read when it closes makes the end a reset.
    let _ = source.stream.read_to_end(&mut rest);
    assert_eq!(rest, b"", "nothing else is answered");
    drop(source);
    settle(server);
}

#[test]
fn the_client_ends_the_stream() {
    let (server, senders) = handing_out(SseOptions::default());
    let source = Source::open(server.addr(), &get("/events"));
    let to_stream = sender(&senders);
    source.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(source.rest(), []);
    wait_until(&server, "the stream closes", |stats| stats.connections == 0);
    assert!(to_stream.is_closed());
    settle(server);
}

#[test]
fn a_panic_costs_its_stream_alone() {
    let server = Server::bind("127.0.0.1:0").unwrap().admin("127.0.0.1:0").unwrap();
    let server = server
        .spawn(|| {
            Router::new()
                .get("/", || "Hello")
                .get("/panic", |sse: Sse| sse.open(|_| panic!("as asked")))
                .get("/wait", |sse: Sse| {
                    sse.open(|_| sleep(Duration::from_secs(1)).expect("it cannot wait here"))
                })
        })
        .unwrap();
    let mut healthy = Client::connect(server.addr());
    assert_eq!(healthy.get("/").text(), "Hello");
    for path in ["/panic", "/wait"] {
        let mut client = Client::asking(server.addr(), get(path));
        // The head may come before the reset, which makes clear that this was not all.
        assert!(client.try_answer().is_err(), "{path}: the answer looks whole");
        assert_eq!(healthy.get("/").text(), "Hello");
    }
    let metrics = Client::connect(server.admin_addr().unwrap()).get("/metrics");
    let counted =
        metrics.text().lines().any(|line| line.contains("handler_panics_total") && line.ends_with(" 2"));
    assert!(counted, "{}", metrics.text());
    drop(healthy);
    settle(server);
}

#[test]
fn a_router_on_a_runtime_of_ones_own_has_streams() {
    let runtime = Runtime::new(Config::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new().get("/", |sse: Sse| sse.open(|stream| stream.send("here").unwrap()));
    router.listen_on(&runtime, listener, HttpLimits::default()).unwrap();
    let handle = runtime.handle();
    let client = std::thread::spawn(move || {
        let mut source = Source::open(addr, &get("/"));
        let received = source.event();
        handle.shutdown();
        (received, source.rest())
    });
    runtime.run();
    assert_eq!(client.join().unwrap(), (message("here"), vec![]));
}

#[test]
fn answers_that_open_no_stream() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let server = start(move || {
        let count = Arc::clone(&count);
        let open = move |sse: Sse| {
            let count = Arc::clone(&count);
            sse.open(move |stream| {
                count.fetch_add(1, Ordering::AcqRel);
                stream.close();
            })
        };
        let body_first = {
            let open = open.clone();
            move |sse: Sse, _body: Bytes| open(sse)
        };
        Router::new()
            .get("/other", |_sse: Sse| "something else")
            .get("/bad", |sse: Sse| sse.header("X-Bad", "a\nb").open(|_| {}))
            .get("/refused", |sse: Sse| -> Response { sse.open(|_| {}).with_status(http_status(403)) })
            .post("/unread", open)
            .post("/read", body_first)
    });
    let mut client = Client::connect(server.addr());
    assert_eq!(client.get("/other").text(), "something else");
    assert_eq!(client.get("/bad").status, 500);
    assert_eq!(client.get("/refused").status, 403);
    let unread = "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(Client::asking(server.addr(), unread).answer().status, 400);
    assert_eq!(opened.load(Ordering::Acquire), 0);
    assert_eq!(Source::open(server.addr(), &post("/read", "body")).rest(), []);
    assert_eq!(opened.load(Ordering::Acquire), 1);
    drop(client);
    settle(server);
}

fn http_status(status: u16) -> sws::http::StatusCode {
    sws::http::StatusCode::from_u16(status).unwrap()
}
