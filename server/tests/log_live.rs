//! The log as streams and sockets see it: what is there, then what comes, each record once.

mod common;
#[path = "log_routes/fixture.rs"]
#[expect(dead_code, reason = "shared with the tests of the routes")]
mod fixture;

use common::Client;
use fixture::{Ask, Fixture};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use sws::content::log::{Log, LogOptions, TopicConfig, live_name};
use sws::log_routes::{LogRoutes, presence_message};
use sws::sse::{RecordFormat, Sse};
use sws::websocket::{Socket, SocketHandler, WebSocketUpgrade};
use sws::{FollowError, Query, Response, Router, Running, Server, TopicOptions};
use tungstenite::{Message, WebSocket};

/// A stream of events, read line by line.
struct Events(BufReader<TcpStream>);

/// An event's id, name and data.
type Event = (Option<u64>, Option<String>, String);

impl Events {
    #[track_caller]
    fn open(addr: SocketAddr, path: &str, last: Option<u64>) -> Events {
        let mut stream = TcpStream::connect(addr).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n").expect("sent");
        let mut events = Events(BufReader::new(stream));
        let status = events.line();
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        while !events.line().is_empty() {}
        events
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    #[track_caller]
    fn next(&mut self) -> Event {
        let (mut id, mut name, mut data) = (None, None, None);
        loop {
            let line = self.line();
            if let Some(value) = line.strip_prefix("id: ") {
                id = value.parse().ok();
            } else if let Some(value) = line.strip_prefix("event: ") {
                name = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = Some(value.to_owned());
            } else if let (true, Some(data)) = (line.is_empty(), data.take()) {
                return (id, name, data);
            }
        }
    }
}

fn socket(addr: SocketAddr) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    tungstenite::client(format!("ws://{addr}/topics"), stream).expect("a socket").0
}

fn say(socket: &mut WebSocket<TcpStream>, value: &Value) {
    socket.send(Message::text(value.to_string())).expect("sent");
}

#[track_caller]
fn hear(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = socket.read().expect("a message") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

#[test]
fn a_stream_replays_and_goes_on_and_resumes() {
    // Little memory, so that the beginning is read from files.
    let options = LogOptions { recent_bytes_max: 2000, cache_bytes_max: 4000, ..LogOptions::default() };
    let fixture = Fixture::with_options(options);
    let mut client = fixture.client();
    assert_eq!(client.put("/topics/t", r#"{"segment_bytes":20000}"#).status, 201);
    for n in 0..1000 {
        assert_eq!(client.post_text("/topics/t", &format!("record {n}")).status, 200);
    }
    let mut events = Events::open(fixture.addr(), "/topics/t/0/events?offset=0", None);
    for n in 0..1000 {
        assert_eq!(events.next(), (Some(n), None, format!("record {n}")));
    }
    for n in 1000..1100 {
        client.post_text("/topics/t", &format!("record {n}"));
        assert_eq!(events.next(), (Some(n), None, format!("record {n}")));
    }
    drop(events);
    let mut again = Events::open(fixture.addr(), "/topics/t/0/events?offset=0", Some(41));
    for n in 42..1100 {
        assert_eq!(again.next().0, Some(n));
    }
    let mut latest = Events::open(fixture.addr(), "/topics/t/0/events?format=json", None);
    client.post_text("/topics/t", "last");
    let (id, _, data) = latest.next();
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!((id, &data["offset"], &data["text"]), (Some(1100), &json!(1100), &json!("last")));
    assert_eq!(again.next(), (Some(1100), None, "last".to_owned()));
    drop((client, again, latest));
    fixture.end();
}

#[test]
fn what_cannot_be_followed_is_said() {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    client.put("/topics/t", "");
    client.post_text("/topics/t", "zero");
    assert_eq!(client.fetch("/topics/u/0/events").status, 404);
    assert_eq!(client.fetch("/topics/t/1/events").status, 404);
    assert_eq!(client.fetch("/topics/t/0/events?offset=2").status, 416);
    assert_eq!(client.fetch("/topics/t/0/events?offset=x").status, 400);
    // One that was there before is told what it missed, and goes on with what there is.
    let mut events = Events::open(fixture.addr(), "/topics/t/0/events", Some(900));
    let (_, name, data) = events.next();
    assert_eq!((name.as_deref(), data.as_str()), (Some("missed"), r#"{"asked":901,"low":0,"high":1}"#));
    assert_eq!(events.next(), (Some(0), None, "zero".to_owned()));
    drop((client, events));
    fixture.end();
}

/// A stream of a handler's own: whoever comes again with an offset that is not kept would do so for ever.
#[test]
fn a_stream_whose_offset_is_gone_is_told_and_gets_what_there_is() {
    let folder = fixture::Folder::new();
    let (log, _) = Log::open(&folder.0).expect("a log");
    let shared = log.clone();
    let running = Server::bind("127.0.0.1:0").expect("a port").spawn(move || {
        let log = shared.clone();
        let orders = move |sse: Sse| -> Response {
            let (log, next) = (log.clone(), sse.last_sequence().map_or(0, |last| last + 1));
            sse.open(move |stream| {
                stream.follow(&log, "t", 0, next, RecordFormat::Payload).expect("it begins")
            })
        };
        let routes = LogRoutes::new(shared.clone()).admin(true);
        Router::new().nest("/topics", routes.into_router()).get("/orders", orders)
    });
    let running = running.expect("it runs");
    let addr = running.addr();
    let mut unknown = Events::open(addr, "/orders", None);
    assert_eq!(unknown.next(), (None, Some("failed".to_owned()), "there is no such topic".to_owned()));
    let mut client = Client::connect(addr);
    client.put("/topics/t", "");
    client.post_text("/topics/t", "zero");
    let mut events = Events::open(addr, "/orders", Some(900));
    let missed = r#"{"low":0,"high":1}"#.to_owned();
    assert_eq!(events.next(), (None, Some("missed".to_owned()), missed));
    assert_eq!(events.next(), (Some(0), None, "zero".to_owned()));
    client.post_text("/topics/t", "one");
    assert_eq!(events.next(), (Some(1), None, "one".to_owned()));
    drop((unknown, events, client));
    running.shutdown();
}

#[test]
fn a_socket_follows_produces_and_is_answered() {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    client.put("/topics/t", r#"{"partitions":2}"#);
    for n in 0..10 {
        client.post_text("/topics/t?partition=1", &format!("record {n}"));
    }
    let mut socket = socket(fixture.addr());
    say(&mut socket, &json!({"op": "subscribe", "topic": "t", "partition": 1, "tail": 3, "id": 7}));
    let subscribed = hear(&mut socket);
    assert_eq!(subscribed, json!({"op": "subscribed", "topic": "t", "partition": 1, "next": 7, "id": 7}));
    for n in 7..10 {
        let record = hear(&mut socket);
        assert_eq!(
            (&record["op"], &record["topic"], &record["partition"]),
            (&json!("record"), &json!("t"), &json!(1))
        );
        assert_eq!((&record["offset"], &record["text"]), (&json!(n), &json!(format!("record {n}"))));
    }
    say(
        &mut socket,
        &json!({"op": "produce", "topic": "t", "partition": 1, "text": "mine", "key": "k", "id": "a"}),
    );
    let mut heard = [hear(&mut socket), hear(&mut socket)];
    heard.sort_by_key(|value| value["op"].as_str().map(str::to_owned));
    assert_eq!(heard[0]["op"], "produced");
    assert_eq!((&heard[0]["offset"], &heard[0]["id"]), (&json!(10), &json!("a")));
    assert_eq!(
        (&heard[1]["offset"], &heard[1]["key"], &heard[1]["text"]),
        (&json!(10), &json!("k"), &json!("mine"))
    );
    // A record has the members that it has in the body of a POST.
    let key = json!({"base64": "/w=="});
    for record in
        [json!({"json": {"a": [1]}, "key": key, "timestamp": 5}), json!({"key": key, "tombstone": true})]
    {
        let mut request = json!({"op": "produce", "topic": "t", "partition": 1});
        request.as_object_mut().unwrap().extend(record.as_object().unwrap().clone());
        say(&mut socket, &request);
    }
    let mut heard: Vec<Value> = (0..4).map(|_| hear(&mut socket)).collect();
    heard.retain(|value| value["op"] == "record");
    assert_eq!((&heard[0]["key"], &heard[0]["text"]), (&key, &json!(r#"{"a":[1]}"#)));
    assert_eq!((&heard[1]["key"], &heard[1]["tombstone"]), (&key, &json!(true)));
    say(&mut socket, &json!({"op": "subscribe", "topic": "t", "partition": 1, "offset": 0}));
    assert_eq!(hear(&mut socket)["code"], "bad_request", "it follows already");
    say(&mut socket, &json!({"op": "unsubscribe", "topic": "t", "partition": 1}));
    assert_eq!(hear(&mut socket)["op"], "unsubscribed");
    for (request, code) in [
        (json!({"op": "subscribe", "topic": "nope", "id": 1}), "unknown_topic"),
        (json!({"op": "subscribe", "topic": "t", "partition": 9}), "unknown_partition"),
        (json!({"op": "subscribe", "topic": "t", "offset": 99}), "out_of_range"),
        (json!({"op": "produce", "topic": "nope", "text": "x"}), "unknown_topic"),
        (json!({"op": "produce", "topic": "t"}), "bad_request"),
        (json!({"op": "produce", "topic": "t", "text": "x", "timestamp": u64::MAX}), "bad_request"),
        (json!({"op": "produce", "topic": "t", "text": "x", "tombstone": true}), "bad_request"),
        (
            json!({"op": "produce", "topic": "t", "text": "x", "producer": {"id": 0, "sequence": 1}}),
            "bad_request",
        ),
        (json!({"op": "produce", "topic": "t", "text": "x", "colour": "red"}), "bad_request"),
        (json!({"op": "dance"}), "bad_request"),
        (json!({"op": "ping", "id": "x".repeat(1023)}), "bad_request"),
        (json!({"op": "ping", "x".repeat(100_000): 1}), "bad_request"),
        (json!({"op": "ping", "tail": "x".repeat(100_000)}), "bad_request"),
        (json!([1, 2]), "bad_request"),
    ] {
        say(&mut socket, &request);
        let answer = hear(&mut socket);
        assert_eq!((&answer["op"], &answer["code"]), (&json!("error"), &json!(code)), "{request}");
        assert!(answer.to_string().len() < 1500, "a problem does not repeat all that was sent");
    }
    for id in [json!([1]), json!({"a": {"b": null}}), json!("x".repeat(1022)), json!(1.5)] {
        say(&mut socket, &json!({"op": "ping", "id": id}));
        assert_eq!(hear(&mut socket), json!({"op": "pong", "id": id}));
    }
    say(&mut socket, &json!({"op": "ping", "id": null}));
    assert_eq!(hear(&mut socket), json!({"op": "pong"}));
    drop((client, socket));
    fixture.end();
}

/// What a socket asks for is judged by the request that opened it, as all of it was.
#[test]
fn who_is_asked_for_a_socket_knows_where_it_comes_from() {
    let (sender, asked) = mpsc::channel();
    let fixture = Fixture::new(move |routes| {
        let sender = sender.clone();
        routes.access(move |ctx, topic, _| {
            let host = ctx.request().host().map(str::to_owned);
            sender.send((ctx.remote_addr(), host, topic.to_owned())).expect("the test listens");
            Ok(())
        })
    });
    let mut socket = socket(fixture.addr());
    let addr = socket.get_ref().local_addr().expect("bound");
    for topic in ["a", "b"] {
        say(&mut socket, &json!({"op": "subscribe", "topic": topic}));
        assert_eq!(hear(&mut socket)["code"], "unknown_topic");
        let expected = (Some(addr), Some(fixture.addr().to_string()), topic.to_owned());
        assert_eq!(asked.recv_timeout(common::PATIENCE), Ok(expected));
    }
    drop(socket);
    fixture.end();
}

#[test]
fn a_member_that_a_topic_does_not_know_is_no_subscriber() {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    client.put("/topics/t", "");
    let mut socket = socket(fixture.addr());
    for (member, field) in [("ada", json!("member")), ("", Value::Null)] {
        say(&mut socket, &json!({"op": "subscribe", "topic": "t", "member": member}));
        assert_eq!(hear(&mut socket)["op"], "subscribed");
        let refused = hear(&mut socket);
        assert_eq!((&refused["code"], &refused["field"]), (&json!("bad_request"), &field), "{refused}");
        assert_eq!(client.post_text("/topics/t", "not for it").status, 200);
        say(&mut socket, &json!({"op": "ping"}));
        assert_eq!(hear(&mut socket)["op"], "pong", "after {member:?}");
    }
    say(&mut socket, &json!({"op": "subscribe", "topic": "t", "tail": 1}));
    assert_eq!(hear(&mut socket)["op"], "subscribed");
    assert_eq!(hear(&mut socket)["offset"], 1);
    drop((client, socket));
    fixture.end();
}

#[test]
fn what_is_unsubscribed_before_it_began_does_not_begin() {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    client.put("/topics/t", r#"{"partitions": 100}"#);
    let mut socket = socket(fixture.addr());
    // In one piece, so that the server reads them at once.
    for request in [
        json!({"op": "subscribe", "topic": "t", "partition": 7, "id": 1}),
        json!({"op": "subscribe", "topic": "t", "partition": 7, "id": 2}),
        json!({"op": "unsubscribe", "topic": "t", "partition": 7, "id": 3}),
        json!({"op": "subscribe", "topic": "t", "partition": 8, "id": 4}),
    ] {
        socket.write(Message::text(request.to_string())).expect("taken in");
    }
    socket.flush().expect("sent");
    let mut heard: Vec<Value> = (0..4).map(|_| hear(&mut socket)).collect();
    heard.sort_by_key(|answer| answer["id"].as_u64());
    let ops: Vec<_> = heard.iter().map(|answer| answer["op"].as_str().expect("an op")).collect();
    assert_eq!(ops, ["error", "error", "unsubscribed", "subscribed"], "{heard:?}");
    for partition in [7, 8] {
        assert_eq!(client.post_text(&format!("/topics/t?partition={partition}"), "x").status, 200);
    }
    assert_eq!(hear(&mut socket)["partition"], 8);
    drop((client, socket));
    fixture.end();
}

/// However many are asked for at once: those that are refused were not confirmed before.
#[test]
fn each_subscription_has_one_answer() {
    let fixture = Fixture::admin();
    fixture.client().put("/topics/t", r#"{"partitions": 100}"#);
    let mut socket = socket(fixture.addr());
    for partition in 0..100 {
        let request = json!({"op": "subscribe", "topic": "t", "partition": partition, "id": partition});
        socket.write(Message::text(request.to_string())).expect("taken in");
    }
    say(&mut socket, &json!({"op": "ping", "id": "last"}));
    let mut answers = vec![0; 100];
    let mut begun = 0;
    while begun < 64 || answers.contains(&0) {
        let answer = hear(&mut socket);
        if let Some(id) = answer["id"].as_u64() {
            answers[id as usize] += 1;
            begun += usize::from(answer["op"] == "subscribed");
        }
    }
    assert_eq!(answers, [1; 100]);
    say(&mut socket, &json!({"op": "ping", "id": "end"}));
    loop {
        match &hear(&mut socket)["id"] {
            id if id == "end" => break,
            id => assert_eq!(id, "last", "a second answer"),
        }
    }
    drop(socket);
    fixture.end();
}

#[test]
fn a_reader_that_stops_reading_holds_nobody_up_and_misses_nothing() {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    client.put("/topics/t", "");
    let text = "x".repeat(20_000);
    let mut slow = Events::open(fixture.addr(), "/topics/t/0/events?offset=0", None);
    let mut quick = Events::open(fixture.addr(), "/topics/t/0/events?offset=0", None);
    // More than fits into the sockets between, so that the slow one is behind or closed; it comes again where it was.
    for n in 0..600 {
        assert_eq!(client.post_text("/topics/t", &text).status, 200);
        assert_eq!(quick.next().0, Some(n));
    }
    let mut expected = 0u64;
    while expected < 600 {
        let mut line = String::new();
        if slow.0.read_line(&mut line).unwrap_or(0) == 0 {
            slow = Events::open(fixture.addr(), "/topics/t/0/events", expected.checked_sub(1));
            continue;
        }
        if let Some(id) = line.strip_prefix("id: ") {
            assert_eq!(id.trim().parse(), Ok(expected));
            expected += 1;
        }
    }
    drop((client, slow, quick));
    fixture.end();
}

#[test]
fn topics_made_by_settings_are_live_too() {
    let fixture = Fixture::new(|routes| routes.create_on_produce(TopicConfig::default()));
    let mut client = fixture.client();
    client.post_text("/topics/t", "first");
    let mut events = Events::open(fixture.addr(), "/topics/t/0/events?offset=earliest", None);
    assert_eq!(events.next().2, "first");
    client.post_text("/topics/t", "second");
    assert_eq!(events.next().2, "second");
    drop((client, events));
    fixture.end();
}

/// A server of several workers with a log in a folder of its own, whose topics `room/*` are kept.
fn serve(folder: &std::path::Path, workers: usize) -> (Running, Log) {
    let (log, report) = Log::open(folder).expect("a log");
    assert_eq!((report.bytes_cut(), report.damage().count()), (0, 0));
    let server = Server::bind("127.0.0.1:0").expect("a port").workers(workers).expect("workers");
    let rooms = TopicOptions::default().history(3).presence_with(presence_message).durable(log.clone());
    server.topics().configure("room/*", rooms);
    let shared = log.clone();
    let running = server.spawn(move || {
        let routes = LogRoutes::new(shared.clone()).admin(true);
        let chat = |Query(guest): Query<Guest>, upgrade: WebSocketUpgrade| upgrade.accept(guest);
        Router::new().nest("/topics", routes.into_router()).get("/room", chat)
    });
    (running.expect("it runs"), log)
}

#[derive(serde::Deserialize)]
struct Guest {
    name: String,
}

impl SocketHandler for Guest {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        socket.join("room/1", &self.name).expect("a member");
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: sws::websocket::Message<'_>) {
        socket.publish("room/1", message).expect("taken in");
    }
}

fn guest(addr: SocketAddr, name: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    tungstenite::client(format!("ws://{addr}/room?name={name}"), stream).expect("a socket").0
}

fn hear_text(socket: &mut WebSocket<TcpStream>) -> String {
    loop {
        if let Message::Text(text) = socket.read().expect("a message") {
            return text.to_string();
        }
    }
}

#[test]
fn a_socket_that_catches_up_with_many_costs_one_fiber_and_has_all() {
    let folder = fixture::Folder::new();
    let (log, _) = Log::open(&folder.0).expect("a log");
    let server = Server::bind("127.0.0.1:0").expect("a port").admin("127.0.0.1:0").expect("a port");
    let nested = move || Router::new().nest("/topics", LogRoutes::new(log.clone()).admin(true).into_router());
    let server = server.spawn(nested).expect("it runs");
    let mut client = Client::connect(server.addr());
    client.put("/topics/t", r#"{"partitions":60}"#);
    let text = "x".repeat(100_000);
    for n in 0..60 {
        client.post_text(&format!("/topics/t?partition={n}"), &text);
        client.post_text(&format!("/topics/t?partition={n}"), &format!("{n}"));
    }
    // More than the kernel holds for a peer that does not read.
    let mut socket = socket(server.addr());
    for n in 0..60 {
        say(&mut socket, &json!({"op": "subscribe", "topic": "t", "partition": n, "offset": 0}));
    }
    let (mut begun, mut texts) = (0, vec![Vec::new(); 60]);
    while begun < 60 {
        let heard = hear(&mut socket);
        begun += usize::from(heard["op"] == "subscribed");
        note(&mut texts, &heard);
    }
    let metrics = Client::connect(server.admin_addr().expect("it has one")).get("/metrics").text().to_owned();
    let fibers = metrics.lines().find_map(|line| line.strip_prefix("sws_fibers ")).expect("a metric");
    assert!(fibers.parse::<u32>().expect("a number") < 10, "{fibers} fibers");
    while texts.iter().any(|texts| texts.len() < 2) {
        let heard = hear(&mut socket);
        note(&mut texts, &heard);
    }
    let whole = |(n, texts): (usize, &Vec<String>)| *texts == [text.clone(), n.to_string()];
    assert!(texts.iter().enumerate().all(whole));
    drop((client, socket));
    server.shutdown();
}

/// Keeps the text of a record with its partition's others.
fn note(texts: &mut [Vec<String>], heard: &Value) {
    if heard["op"] == "record" {
        let partition = heard["partition"].as_u64().expect("a number") as usize;
        texts[partition].push(heard["text"].as_str().expect("a text").to_owned());
    }
}

#[test]
fn what_a_thread_publishes_before_anybody_has_asked_is_kept() {
    let folder = fixture::Folder::new();
    let (log, _) = Log::open(&folder.0).expect("a log");
    let server = Server::bind("127.0.0.1:0").expect("a port");
    server.topics().configure("room/*", TopicOptions::default().durable(log.clone()));
    let topics = server.topics();
    let routes = log.clone();
    let server = server.spawn(move || LogRoutes::new(routes.clone()).into_router()).expect("it runs");
    for n in 0..20 {
        topics.publish("room/1", format!("message {n}")).expect("taken in");
    }
    let mut client = Client::connect(server.addr());
    let mut texts: Vec<String> = Vec::new();
    let begin = Instant::now();
    while texts.len() < 20 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{texts:?}");
        let answer = client.get("/room%2F1/0?offset=0&wait=100");
        if answer.status == 200 {
            let records: Value = serde_json::from_slice(&answer.body).expect("JSON");
            let all = records["records"].as_array().expect("records").iter();
            texts = all.map(|record| record["text"].as_str().unwrap_or_default().to_owned()).collect();
        }
    }
    assert!(texts.iter().enumerate().all(|(n, text)| *text == format!("message {n}")), "{texts:?}");
    drop(client);
    server.shutdown();
}

#[test]
fn a_durable_room_has_its_history_and_members_over_a_restart() {
    let folder = fixture::Folder::new();
    let (server, log) = serve(&folder.0, 2);
    let mut ada = guest(server.addr(), "ada");
    assert!(hear_text(&mut ada).contains(r#""joined":"ada""#));
    let mut bob = guest(server.addr(), "bob");
    assert!(hear_text(&mut ada).contains(r#""count":2"#));
    assert!(hear_text(&mut bob).contains(r#""joined":"bob""#));
    for n in 0..5 {
        bob.send(Message::text(format!("message {n}"))).expect("sent");
        assert_eq!(hear_text(&mut ada), format!("message {n}"));
        assert_eq!(hear_text(&mut bob), format!("message {n}"));
    }
    drop((ada, bob));
    server.shutdown();
    drop(log);

    let (server, _log) = serve(&folder.0, 2);
    let mut eve = guest(server.addr(), "eve");
    for n in 2..5 {
        assert_eq!(
            hear_text(&mut eve),
            format!("message {n}"),
            "history is what was kept, without who came and went"
        );
    }
    assert!(hear_text(&mut eve).contains(r#""count":1"#));
    let mut events = Events::open(server.addr(), "/topics/room%2F1/0/events?offset=0", None);
    for n in 0..5 {
        assert_eq!(events.next(), (Some(n), None, format!("message {n}")));
    }
    eve.send(Message::text("message 5")).expect("sent");
    loop {
        // Who comes and goes is an event without a number.
        let (id, _, data) = events.next();
        if id.is_some() {
            assert_eq!((id, data.as_str()), (Some(5), "message 5"));
            break;
        }
    }
    drop((eve, events));
    server.shutdown();
}

#[test]
fn streams_of_all_workers_have_every_record_once() {
    let folder = fixture::Folder::new();
    let (server, _log) = serve(&folder.0, 3);
    let mut client = Client::connect(server.addr());
    assert_eq!(client.put("/topics/t", "").status, 201);
    let mut streams: Vec<Events> =
        (0..12).map(|_| Events::open(server.addr(), "/topics/t/0/events?offset=0", None)).collect();
    let addr = server.addr();
    let producers: Vec<_> = (0..6)
        .map(|number| {
            std::thread::spawn(move || {
                let mut client = Client::connect(addr);
                for n in 0..50 {
                    assert_eq!(client.post_text("/topics/t", &format!("{number} {n}")).status, 200);
                }
            })
        })
        .collect();
    let mut first = Vec::new();
    for n in 0..300 {
        let (id, _, data) = streams[0].next();
        assert_eq!(id, Some(n));
        first.push(data);
    }
    for stream in &mut streams[1..] {
        for (n, expected) in first.iter().enumerate() {
            assert_eq!(stream.next(), (Some(n as u64), None, expected.clone()));
        }
    }
    producers.into_iter().for_each(|producer| producer.join().expect("all were answered"));
    drop((client, streams));
    server.shutdown();
}

#[test]
fn what_a_stream_has_already_is_not_followed_again() {
    let folder = fixture::Folder::new();
    let (log, _) = Log::open(&folder.0).expect("a log");
    let server = Server::bind("127.0.0.1:0").expect("a port");
    let running = server.spawn(move || {
        let log = log.clone();
        Router::new().get("/twice", move |sse: Sse| {
            let log = log.clone();
            log.create_topic("t", TopicConfig::default()).expect("a topic");
            sse.open(move |stream| {
                stream.subscribe(&live_name("t", 0)).expect("a subscriber");
                let followed = stream.follow(&log, "t", 0, 0, RecordFormat::Payload);
                let refused = matches!(followed, Err(FollowError::Following));
                stream.send(format!("refused {refused}").as_str()).expect("sent");
            })
        })
    });
    let running = running.expect("it runs");
    let mut events = Events::open(running.addr(), "/twice", None);
    assert_eq!(events.next().2, "refused true");
    drop(events);
    running.shutdown();
}

#[test]
fn a_record_larger_than_what_may_wait_comes_whole() {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    client.put("/topics/t", "");
    let large = "x".repeat(1_500_000);
    for text in ["small", &large, "between", &large, "behind"] {
        assert_eq!(client.post_text("/topics/t", text).status, 200);
    }
    let mut events = Events::open(fixture.addr(), "/topics/t/0/events?offset=0", None);
    for (n, bytes) in [5, 1_500_000, 7, 1_500_000, 6].into_iter().enumerate() {
        let (id, _, data) = events.next();
        assert_eq!((id, data.len()), (Some(n as u64), bytes));
    }
    drop((client, events));
    fixture.end();
}
