//! Streams that subscribe to topics.

use super::common::{Client, PATIENCE, get, settle, wait_until};
use super::source::{Source, message};
use std::net::SocketAddr;
use std::time::Instant;
use sws::runtime::{Config, Publication, TopicOptions, Topics};
use sws::sse::{Sse, SseOptions};
use sws::{Path, Router, Running, Server};

/// A server of this domain, whose streams subscribe to the topic of their path behind the client's last event.
fn start(topics: &Topics, workers: usize) -> Running {
    let config = Config { topics: Some(topics.clone()), ..Config::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().workers(workers).unwrap().config(config);
    server
        .spawn(|| {
            let since = |Path(topic): Path<String>, sse: Sse| {
                let last = sse.last_sequence().unwrap_or(0);
                sse.open(move |stream| {
                    if stream.subscribe_since(&topic, last).unwrap().missed {
                        stream.send("some are gone").unwrap();
                    }
                })
            };
            let join = |Path(member): Path<String>, sse: Sse| {
                sse.open(move |stream| stream.join("room", &member).unwrap())
            };
            let left = |Path(topic): Path<String>, sse: Sse| {
                sse.open(move |stream| {
                    stream.subscribe(&topic).unwrap();
                    stream.subscribe("other").unwrap();
                    assert!(stream.unsubscribe(&topic) && !stream.unsubscribe(&topic));
                })
            };
            let bad = |sse: Sse| {
                sse.open(|stream| {
                    let subscribed = stream.subscribe("");
                    stream.send(format!("{subscribed:?}")).unwrap();
                    stream.close();
                })
            };
            Router::new()
                .get("/", || "Hello")
                .get("/since/{topic}", since)
                .get("/join/{member}", join)
                .get("/left/{topic}", left)
                .get("/bad", bad)
        })
        .unwrap()
}

/// A stream that has subscribed when this returns.
fn subscribe(topics: &Topics, addr: SocketAddr, path: &str, topic: &str) -> Source {
    let before = topics.subscribers(topic);
    let source = Source::open(addr, &get(path));
    wait_for(|| topics.subscribers(topic) > before);
    source
}

fn wait_for(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it does not come about");
        std::thread::yield_now();
    }
}

#[test]
fn publications_are_events() {
    let topics = Topics::default();
    let server = start(&topics, 1);
    let mut sources: Vec<_> =
        (0..20).map(|_| subscribe(&topics, server.addr(), "/since/news", "news")).collect();
    topics.publish("news", "one\ntwo").unwrap();
    topics.publish("news", Publication::from("12.5").event("price")).unwrap();
    topics.publish("news", vec![0, 255, 10]).unwrap();
    for source in &mut sources {
        assert_eq!(source.event(), message("one\ntwo"));
        assert_eq!(source.event(), message("12.5").event("price"));
        assert_eq!(source.event(), message("AP8K"));
    }
    drop(sources);
    wait_for(|| topics.subscribers("news") == 0);
    settle(server);
}

#[test]
fn a_client_resumes_where_it_was() {
    let topics = Topics::default();
    topics.configure("news", TopicOptions::default().history(5));
    let server = start(&topics, 1);
    for number in 1..=3 {
        topics.publish("news", number.to_string()).unwrap();
    }
    // Numbers in the topic's life: the first event tells where that begins.
    let mut first = Source::open(server.addr(), &get("/since/news"));
    let one = first.event();
    let born: u64 = one.id.parse::<u64>().expect("a number") - 1;
    let id = |number: &str| (born + number.parse::<u64>().expect("a number")).to_string();
    assert_eq!(one, message("1").id(&id("1")));
    for number in ["2", "3"] {
        assert_eq!(first.event(), message(number).id(&id(number)));
    }
    drop(first);
    let resume = |last: &str| {
        let request = format!("GET /since/news HTTP/1.1\r\nHost: a\r\nLast-Event-ID: {last}\r\n\r\n");
        Source::open(server.addr(), &request)
    };
    for number in 4..=6 {
        topics.publish("news", number.to_string()).unwrap();
    }
    let mut again = resume(&id("3"));
    for number in ["4", "5", "6"] {
        assert_eq!(again.event(), message(number).id(&id(number)));
    }
    topics.publish("news", "7").unwrap();
    assert_eq!(again.event(), message("7").id(&id("7")), "and goes on");
    let mut late = resume(&id("1"));
    let received: Vec<_> = (0..6).map(|_| late.event().data).collect();
    assert_eq!(received.iter().filter(|data| *data == "some are gone").count(), 1);
    assert_eq!(received.iter().filter_map(|data| data.parse().ok()).collect::<Vec<u32>>(), [3, 4, 5, 6, 7]);
    let mut odd = resume("not a number");
    wait_for(|| topics.subscribers("news") == 3);
    topics.publish("news", "8").unwrap();
    while odd.event() != message("8").id(&id("8")) {}
    drop((again, late, odd));
    settle(server);
}

#[test]
fn who_unsubscribes_hears_no_more() {
    let topics = Topics::default();
    let server = start(&topics, 1);
    let mut source = subscribe(&topics, server.addr(), "/left/news", "other");
    topics.publish("news", "unheard").unwrap();
    topics.publish("other", "heard").unwrap();
    assert_eq!(source.event(), message("heard"));
    let mut bad = Source::open(server.addr(), &get("/bad"));
    assert_eq!(bad.event(), message("Err(Name)"));
    drop((source, bad));
    settle(server);
}

#[test]
fn members_come_and_go() {
    let topics = Topics::default();
    topics.configure("room", TopicOptions::default().presence(true));
    let server = start(&topics, 1);
    let mut ada = Source::open(server.addr(), &get("/join/Ada"));
    assert_eq!(ada.event().event, "join");
    let bob = Source::open(server.addr(), &get("/join/Bob"));
    let joined = ada.event();
    assert_eq!(joined.event, "join");
    assert!(joined.data.contains(r#""member":"Bob""#), "{joined:?}");
    drop(bob);
    assert_eq!(ada.event().event, "leave");
    drop(ada);
    settle(server);
}

#[test]
fn workers_share_their_topics() {
    const STREAMS: usize = 32;
    let topics = Topics::default();
    let server = start(&topics, 2);
    let mut sources: Vec<_> =
        (0..STREAMS).map(|_| subscribe(&topics, server.addr(), "/since/news", "news")).collect();
    for number in 0..100 {
        topics.publish("news", number.to_string()).unwrap();
    }
    for source in &mut sources {
        for number in 0..100 {
            assert_eq!(source.event(), message(&number.to_string()));
        }
    }
    drop(sources);
    server.shutdown();
}

/// One that does not read is closed at its bound, and the others get everything.
#[test]
fn a_slow_subscriber_costs_itself_alone() {
    let topics = Topics::default();
    let config = Config { topics: Some(topics.clone()), ..Config::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().config(config);
    let server = server
        .spawn(|| {
            Router::new().get("/", || "Hello").get("/news", |sse: Sse| {
                let options = SseOptions { output_bytes_max: 256 * 1024, ..SseOptions::default() };
                sse.options(options).open(|stream| stream.subscribe("news").unwrap())
            })
        })
        .unwrap();
    let mut reading = subscribe(&topics, server.addr(), "/news", "news");
    let slow = subscribe(&topics, server.addr(), "/news", "news");
    let text = "x".repeat(16 * 1024);
    let mut published = 0;
    while topics.subscribers("news") == 2 {
        assert!(published < 4000, "nobody reads, and it goes on");
        topics.publish("news", text.as_str()).unwrap();
        assert_eq!(reading.event().data, text);
        published += 1;
    }
    topics.publish("news", "still here").unwrap();
    assert_eq!(reading.event(), message("still here"));
    wait_until(&server, "the slow one is closed", |stats| stats.closed_slow == 1);
    assert_eq!(Client::connect(server.addr()).get("/").text(), "Hello");
    drop((reading, slow));
    settle(server);
}
