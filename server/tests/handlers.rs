//! What handlers may do, and what becomes of a connection when they do it.

mod common;

use common::{Client, get, settle, start, start_with, stats, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use sws::runtime::{Config, go, sleep, submit, timeout, yield_now};
use sws::{Context, Deferred, Gone, HttpLimits, RemoteAddr, Response, Router, Server};

const FOR_EVER: Duration = Duration::from_secs(3600);

/// Says on which thread it ran its destructor, so that a test sees that it ran at all.
struct Guard(mpsc::Sender<&'static str>, &'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

#[test]
fn a_panic_is_a_500_on_that_connection_alone() {
    let server = start(|| {
        Router::new().get("/", || "Hello").get("/panic", || -> &'static str { panic!("as asked") }).get(
            "/late",
            || -> &'static str {
                yield_now().unwrap();
                panic!("as asked, later")
            },
        )
    });
    let mut healthy = Client::connect(server.addr());
    assert_eq!(healthy.get("/").text(), "Hello");
    for path in ["/panic", "/late"] {
        let mut client = Client::connect(server.addr());
        assert_eq!(client.get(path).status, 500, "{path}");
        assert_eq!(client.get("/").text(), "Hello", "{path}");
        assert_eq!(healthy.get("/").text(), "Hello", "{path}");
    }
    drop(healthy);
    settle(server);
}

#[test]
fn handlers_wait_in_place() {
    let server = start(|| {
        Router::new()
            .get("/go", || {
                let parts: Vec<_> = (0..10)
                    .map(|number| {
                        go("part", move || {
                            sleep(Duration::from_millis(number % 3)).unwrap();
                            number
                        })
                    })
                    .collect();
                parts.into_iter().map(|part| part.join().unwrap()).sum::<u64>().to_string()
            })
            .get("/submit", || {
                let loop_thread = std::thread::current().id();
                let job =
                    submit(move || (std::thread::current().id() != loop_thread, (1..=100).sum::<u32>()));
                format!("{:?}", job.join().unwrap())
            })
            .get("/timeout", || match timeout(Duration::from_millis(5), || sleep(FOR_EVER)) {
                Ok(_) => "slept for ever",
                Err(_) => "over",
            })
    });
    let mut client = Client::connect(server.addr());
    assert_eq!(client.get("/go").text(), "45");
    assert_eq!(client.get("/submit").text(), "(true, 5050)");
    assert_eq!(client.get("/timeout").text(), "over");
    drop(client);
    settle(server);
}

/// Far more handlers wait than there are receive buffers, and the server still hears others.
#[test]
fn many_handlers_wait_at_once() {
    const COUNT: usize = 1500;
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let server = start(move || {
        let gate = Arc::clone(&gate);
        Router::new().get("/", || "Hello").get("/wait", move || {
            while !gate.load(Ordering::Acquire) {
                sleep(Duration::from_millis(20)).unwrap();
            }
            "waited"
        })
    });
    let request = format!("GET /wait HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(8000));
    let mut clients: Vec<_> = (0..COUNT).map(|_| Client::asking(server.addr(), &request)).collect();
    wait_until(&server, "all handlers wait", |stats| stats.fibers == COUNT);
    let mut other = Client::connect(server.addr());
    for _ in 0..10 {
        assert_eq!(other.get("/").text(), "Hello");
    }
    open.store(true, Ordering::Release);
    for client in &mut clients {
        assert_eq!(client.answer().text(), "waited");
    }
    drop((clients, other));
    settle(server);
}

/// A server whose deferred handles come out of a channel.
fn deferring(limits: HttpLimits) -> (sws::Running, mpsc::Receiver<Deferred>) {
    let (sender, receiver) = mpsc::channel();
    let server = start_with(limits, move || {
        let sender = sender.clone();
        Router::new().get("/", || "Hello").get("/later", move |ctx: &mut Context| -> () {
            sender.send(ctx.defer()).unwrap();
        })
    });
    (server, receiver)
}

#[test]
fn answers_may_come_from_other_threads() {
    let (server, handles) = deferring(HttpLimits::default());
    let mut clients: Vec<_> =
        (0..20).map(|_| Client::asking(server.addr(), get("/later") + &get("/") + &get("/later"))).collect();
    let answering = std::thread::spawn(move || {
        for number in 0..40 {
            let handle = handles.recv().unwrap();
            match number % 2 {
                0 => handle.answer("from another thread"),
                _ => handle.answer(Response::stream("text/plain", |out| out.write_all(&[b'x'; 100_000]))),
            }
            .unwrap();
        }
    });
    for client in &mut clients {
        for body in [None, Some("Hello"), None] {
            let answer = client.answer();
            match body {
                Some(body) => assert_eq!(answer.text(), body),
                None => assert!(answer.text() == "from another thread" || answer.body == [b'x'; 100_000]),
            }
        }
    }
    answering.join().unwrap();
    drop(clients);
    settle(server);
}

#[test]
fn a_deferred_request_that_is_dropped_is_a_500() {
    let (server, handles) = deferring(HttpLimits::default());
    let mut client = Client::asking(server.addr(), get("/later") + &get("/"));
    drop(handles.recv().unwrap());
    assert_eq!(client.answer().status, 500);
    assert_eq!(client.answer().text(), "Hello");
    // And when the client has ended its side meanwhile.
    client.send(get("/later"));
    client.end();
    handles.recv().unwrap().answer("still there").unwrap();
    assert_eq!(client.answer().text(), "still there");
    client.expect_end();
    drop(client);
    settle(server);
}

#[test]
fn a_deferred_answer_to_a_client_that_is_gone() {
    let (server, handles) = deferring(HttpLimits::default());
    let client = Client::asking(server.addr(), get("/") + &get("/later"));
    let handle = handles.recv().unwrap();
    assert!(!handle.is_gone());
    client.reset();
    wait_until(&server, "the connection ends", |stats| stats.connections == 0);
    assert!(handle.is_gone());
    assert_eq!(handle.answer("too late"), Err(Gone));
    settle(server);
}

#[test]
fn a_deferred_request_is_not_waited_for_without_end() {
    let limits = HttpLimits { handler_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let (server, handles) = deferring(limits);
    let mut client = Client::asking(server.addr(), get("/later"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    client.expect_end();
    assert_eq!(handles.recv().unwrap().answer("too late"), Err(Gone));
    drop(client);
    settle(server);
}

/// A handler that has deferred may go on, for a body that does not come. The answer cancels it, be it in one piece or in many. More
/// may wait to be sent than the kernel takes, so one in many waits itself while the handler asks on and returns.
#[test]
fn a_deferred_answer_cancels_a_handler_that_still_waits() {
    const LEN: usize = 24 * 1024 * 1024;
    let (sender, handles) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let limits = HttpLimits { output_bytes_high: LEN / 2, ..HttpLimits::default() };
    let mut config = Config::default();
    config.limits.output_bytes_max = LEN;
    let server = Server::bind("127.0.0.1:0").unwrap().limits(limits).config(config);
    let server = server.spawn(move || {
        let (sender, ended) = (sender.clone(), ended.clone());
        Router::new().get("/", || "Hello").post("/later", move |ctx: &mut Context| -> () {
            sender.send(ctx.defer()).unwrap();
            let reads = [0; 3].map(|_| ctx.body().read(&mut [0]).is_err());
            ended.send(reads).unwrap();
        })
    });
    let server = server.unwrap();
    let mut client = Client::connect(server.addr());
    for streams in [false, true] {
        client.send("POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
        let handle = handles.recv_timeout(common::PATIENCE).unwrap();
        wait_until(&server, "the handler waits", |stats| stats.fibers == 1);
        let answered = match streams {
            false => handle.answer("done"),
            true => handle.answer(Response::stream("text/plain", |out| out.write_all(&vec![b'x'; LEN]))),
        };
        answered.unwrap();
        assert_eq!(ends.recv_timeout(common::PATIENCE), Ok([true; 3]), "streams: {streams}");
        wait_until(&server, "the handler ends", |stats| stats.fibers == usize::from(streams));
        assert_eq!(client.answer().body.len(), if streams { LEN } else { 4 });
        // The body is dropped, and the next request is heard.
        client.send("12345");
        assert_eq!(client.get("/").text(), "Hello");
    }
    drop(client);
    settle(server);
}

/// One request, one answer: also if the handler panics with the handle in its hands, or with the handle given away.
#[test]
fn a_request_that_was_deferred_is_answered_once() {
    let (sender, handles) = mpsc::channel();
    let server = start(move || {
        let sender = sender.clone();
        Router::new()
            .get("/", || "Hello")
            .get("/panic", |ctx: &mut Context| -> () {
                let _handle = ctx.defer();
                panic!("as asked")
            })
            .get("/panic_later", move |ctx: &mut Context| -> () {
                sender.send(ctx.defer()).unwrap();
                panic!("as asked")
            })
    });
    let mut client = Client::connect(server.addr());
    for path in ["/panic", "/panic_later"] {
        assert_eq!(client.get(path).status, 500, "{path}");
        if path == "/panic_later" {
            let handle = handles.recv().unwrap();
            // The answer, if it were sent, would be there before the next one.
            assert_eq!(handle.answer("a second answer"), Err(Gone));
        }
        stats(&server);
        assert_eq!(client.get("/").text(), "Hello", "after {path}");
    }
    client.end();
    client.expect_end();
    drop(client);
    settle(server);
}

#[test]
fn a_client_that_is_gone_cancels_its_handler() {
    let (sender, ended) = mpsc::channel();
    let server = start(move || {
        let sender = sender.clone();
        let inner = sender.clone();
        Router::new()
            .get("/", || "Hello")
            .get("/wait", move || {
                let _guard = Guard(sender.clone(), "destructor");
                let waited = sleep(FOR_EVER);
                sender.send(if waited.is_err() { "cancelled" } else { "slept" }).unwrap();
                // Every later wait fails at once.
                assert!(sleep(FOR_EVER).is_err());
                "nobody reads this"
            })
            .get("/write", move || {
                let guard = Guard(inner.clone(), "writer's destructor");
                Response::stream("text/plain", move |out| {
                    let _guard = guard;
                    loop {
                        out.write_all(&[b'x'; 10_000])?;
                    }
                })
            })
    });
    let client = Client::asking(server.addr(), get("/") + &get("/wait"));
    wait_until(&server, "the handler waits", |stats| stats.fibers == 1);
    client.reset();
    assert_eq!(ended.recv_timeout(common::PATIENCE), Ok("cancelled"));
    assert_eq!(ended.recv_timeout(common::PATIENCE), Ok("destructor"));
    // One that writes meets the end of the connection, however gently it was closed.
    let mut client = Client::asking(server.addr(), get("/write"));
    assert!(client.something_came(common::PATIENCE));
    drop(client);
    assert_eq!(ended.recv_timeout(common::PATIENCE), Ok("writer's destructor"));
    settle(server);
}

#[test]
fn the_address_of_the_peer() {
    let server = start(|| {
        Router::new()
            .get("/", |RemoteAddr(addr): RemoteAddr| addr.to_string())
            .get("/context", |ctx: &mut Context| ctx.remote_addr().unwrap().to_string())
    });
    let mut clients: Vec<_> = (0..10).map(|_| Client::connect(server.addr())).collect();
    for client in &mut clients {
        let addr = client.stream.local_addr().unwrap().to_string();
        client.send(get("/").repeat(3) + &get("/context"));
        for _ in 0..4 {
            assert_eq!(client.answer().text(), addr);
        }
    }
    drop(clients);
    settle(server);
}

#[test]
fn several_servers_in_one_process() {
    let servers: Vec<_> =
        (0..4).map(|number: u32| start(move || Router::new().get("/", move || number.to_string()))).collect();
    let mut clients: Vec<_> = servers.iter().map(|server| Client::connect(server.addr())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.get("/").text(), number.to_string());
    }
    let mut servers = servers.into_iter();
    servers.next().unwrap().shutdown();
    for (number, client) in clients.iter_mut().enumerate().skip(1) {
        assert_eq!(client.get("/").text(), number.to_string(), "the others go on");
    }
    drop(clients);
    servers.for_each(settle);
}

#[test]
fn two_workers_both_serve() {
    let server = Server::bind("127.0.0.1:0").unwrap().workers(2).unwrap();
    let server =
        server.spawn(|| Router::new().get("/", || format!("{:?}", std::thread::current().id()))).unwrap();
    assert_eq!(server.handles().len(), 2);
    let mut threads = std::collections::HashSet::new();
    // The kernel spreads connections by a hash: 64 on one side have a chance of one in 2^63.
    let mut clients: Vec<_> = (0..64).map(|_| Client::connect(server.addr())).collect();
    for client in &mut clients {
        let first = client.get("/");
        assert_eq!(client.get("/").body, first.body, "a connection stays with its worker");
        threads.insert(first.body);
    }
    assert_eq!(threads.len(), 2);
    drop(clients);
    settle(server);
}

#[test]
fn a_shutdown_finishes_what_runs() {
    let (sender, handles) = mpsc::channel();
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let server = start(move || {
        let (sender, gate, stream_gate) = (sender.clone(), Arc::clone(&gate), Arc::clone(&gate));
        let wait = |gate: &AtomicBool| {
            while !gate.load(Ordering::Acquire) {
                sleep(Duration::from_millis(1)).unwrap();
            }
        };
        Router::new()
            .get("/", || "Hello")
            .get("/wait", move || {
                wait(&gate);
                "finished"
            })
            .get("/stream", move || {
                let gate = Arc::clone(&stream_gate);
                Response::stream("text/plain", move |out| {
                    out.write_all(b"begun, ")?;
                    wait(&gate);
                    out.write_all(b"finished")
                })
            })
            .get("/later", move |ctx: &mut Context| sender.send(ctx.defer()).unwrap())
    });
    let addr = server.addr();
    let mut idle = Client::connect(addr);
    assert_eq!(idle.get("/").text(), "Hello");
    let mut silent = Client::connect(addr);
    let mut waiting = Client::asking(addr, get("/wait"));
    let mut streaming = Client::asking(addr, get("/stream"));
    let mut deferred = Client::asking(addr, get("/later"));
    assert!(streaming.something_came(common::PATIENCE));
    let handle = handles.recv().unwrap();
    wait_until(&server, "all are accepted, two wait", |stats| stats.connections == 5 && stats.fibers == 2);
    server.handles()[0].shutdown();
    let begin = std::time::Instant::now();
    idle.expect_end();
    silent.expect_end();
    open.store(true, Ordering::Release);
    handle.answer("finished").unwrap();
    for (client, body) in
        [(&mut waiting, "finished"), (&mut streaming, "begun, finished"), (&mut deferred, "finished")]
    {
        assert_eq!(client.answer().text(), body);
        client.expect_end();
    }
    drop((idle, silent, waiting, streaming, deferred));
    server.shutdown();
    // Not a measure of speed: with a connection left over it would be the whole drain timeout.
    assert!(begin.elapsed() < Duration::from_secs(8), "nothing was left to be waited for");
    assert!(TcpStream::connect(addr).is_err(), "new connections are refused");
}

#[test]
fn middleware_and_state_are_of_one_worker() {
    let count = Arc::new(AtomicUsize::new(0));
    let log = Arc::new(Mutex::new(Vec::new()));
    let (counter, lines) = (Arc::clone(&count), Arc::clone(&log));
    let server = start(move || {
        let (counter, lines) = (Arc::clone(&counter), Arc::clone(&lines));
        Router::new().get("/", || "Hello").layer(move |ctx, next| {
            sleep(Duration::from_millis(1)).unwrap();
            lines.lock().unwrap().push(ctx.request().path().to_owned());
            let number = counter.fetch_add(1, Ordering::Relaxed);
            next.run(ctx).with_header("x-number", number.to_string())
        })
    });
    let mut client = Client::asking(server.addr(), get("/").repeat(3));
    for number in 0..3 {
        assert_eq!(client.answer().header("x-number"), Some(number.to_string().as_str()));
    }
    assert_eq!(*log.lock().unwrap(), ["/", "/", "/"]);
    drop(client);
    settle(server);
}
