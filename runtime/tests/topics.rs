//! Topics over real sockets, one worker and several.
#![cfg(not(sws_sim))]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, yield_now};
use std::time::Duration;
use sws_runtime::*;

#[path = "topics/faults.rs"]
mod faults;
#[path = "topics/slow.rs"]
mod slow;

/// Does what lines of text say, and answers each with a line that begins with `ok`.
struct Hub {
    /// The sequence number in its topic's life, a colon, the payload and an end of line.
    lines: Encoding,
    life: Arc<AtomicU64>,
}

/// Numbers that begin with each second, in one of which a topic of these tests comes to be.
const LIFE: u64 = 1 << 20;

impl Hub {
    fn number(&self, number: &str) -> u64 {
        match number.parse().expect("a number") {
            0 => 0,
            number => self.life.load(Ordering::Relaxed).checked_add_signed(number).expect("below 2^53"),
        }
    }

    fn obey(&self, conn: &mut Conn<'_, ()>, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words[n].parse::<usize>().expect("a number");
        match words[0] {
            "sub" => format!(
                "{:?}",
                match words[1].strip_suffix('*') {
                    Some(prefix) => conn.subscribe_prefix(prefix, self.lines),
                    None => conn.subscribe(words[1], self.lines),
                }
            ),
            // After a number in the topic's life, or an earlier one.
            "since" => match conn.subscribe_since(words[1], self.lines, self.number(words[2])) {
                Ok(replay) => format!("{} {}", replay.messages, replay.missed),
                Err(error) => format!("{error:?}"),
            },
            "join" => format!("{:?}", conn.join(words[1], words[2], self.lines)),
            "unsub" => conn.unsubscribe(words[1]).to_string(),
            "pub" => format!("{:?}", topics().publish(words[1], words[2])),
            "others" => format!("{:?}", conn.publish_to_others(words[1], words[2])),
            // Messages, one by one, between what this connection is sent itself.
            "mix" => {
                for n in 0..number(2) {
                    topics().publish(words[1], format!("m{n}")).expect("no other worker is behind");
                    conn.send(format!("s{n}\n").as_bytes()).expect("there is room");
                }
                String::new()
            }
            // So many messages of a size, with as many keys, in one turn.
            "flood" => {
                for n in 0..number(2) {
                    let text = format!("{n:06}{}", "x".repeat(number(3) - 6));
                    let message = Publication::from(text).key((n % number(4)) as u64 + 1);
                    topics().publish(words[1], message).expect("no other worker is behind");
                }
                String::new()
            }
            "policy" => {
                let overflow = match words[1] {
                    "drop" => Overflow::DropOldest,
                    "latest" => Overflow::KeepLatest,
                    _ => Overflow::Close,
                };
                conn.set_overflow(number(2), overflow);
                String::new()
            }
            "pending" => {
                let pending = |id| with_conn(id, |conn: &mut Conn<'_, ()>| conn.pending_output());
                conn.peers().into_iter().filter_map(pending).max().unwrap_or(0).to_string()
            }
            "list" => {
                let names: BTreeSet<_> = conn.subscriptions().into_iter().collect();
                assert!(names.iter().all(|name| conn.is_subscribed(name)));
                names.iter().map(|name| &**name).collect::<Vec<_>>().join(",")
            }
            other => panic!("no such command: {other}"),
        }
    }
}

impl EventHandler for Hub {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        let mut taken = 0;
        while let Some(len) = data[taken..].iter().position(|&byte| byte == b'\n') {
            let line = std::str::from_utf8(&data[taken..taken + len]).expect("commands are text");
            let answer = self.obey(conn, line);
            let _ = conn.send(format!("ok {answer}\n").as_bytes());
            taken += len + 1;
        }
        taken
    }

    fn on_overflow(&mut self, conn: &mut Conn<'_, ()>) {
        conn.send(b"too slow\n").expect("the last word is for the handler");
        conn.close();
    }
}

struct Server {
    topics: Topics,
    /// How often a publication was encoded.
    encoded: Arc<AtomicUsize>,
    workers: Vec<(SocketAddr, Handle, JoinHandle<Stats>)>,
}

impl Server {
    /// With so small a share of a turn that nearly every delivery goes on in the next.
    fn start(topics: Topics, workers: usize) -> Server {
        Server::start_with(topics, workers, 2)
    }

    fn start_with(topics: Topics, workers: usize, deliveries_per_turn: usize) -> Server {
        let encoded = Arc::new(AtomicUsize::new(0));
        let life = Arc::new(AtomicU64::new(0));
        let workers = (0..workers).map(|_| {
            let (encoded, life) = (Arc::clone(&encoded), Arc::clone(&life));
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let addr = listener.local_addr().expect("bound");
            let mut config = Config { topics: Some(topics.clone()), ..Config::default() };
            config.limits.deliveries_per_turn = deliveries_per_turn;
            let (sender, receiver) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                let runtime = Runtime::new(config).expect("a runtime");
                let born = Arc::clone(&life);
                let lines = runtime.add_encoding(move |publication, out| {
                    encoded.fetch_add(1, Ordering::Relaxed);
                    if publication.sequence > 0 {
                        born.store(publication.sequence / LIFE * LIFE, Ordering::Relaxed);
                    }
                    write!(out, "{}:", publication.sequence % LIFE).expect("a vector takes all");
                    out.extend_from_slice(&publication.payload);
                    out.push(b'\n');
                });
                runtime.listen(listener, Hub { lines, life });
                sender.send(runtime.handle()).expect("the test waits");
                runtime.run();
                runtime.stats()
            });
            (addr, receiver.recv().expect("the worker runs"), thread)
        });
        let workers = workers.collect();
        Server { topics, encoded, workers }
    }

    fn client(&self, worker: usize) -> Client {
        let stream = TcpStream::connect(self.workers[worker].0).expect("the worker listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Client { reader: BufReader::new(stream), seen: Vec::new() }
    }

    /// Waits until a topic has so many subscribers.
    fn await_subscribers(&self, topic: &str, count: usize) {
        while self.topics.subscribers(topic) != count {
            yield_now();
        }
    }

    fn stop(self) -> Vec<Stats> {
        self.workers.iter().for_each(|(_, handle, _)| handle.shutdown());
        self.workers.into_iter().map(|(_, _, thread)| thread.join().expect("no worker panics")).collect()
    }
}

struct Client {
    reader: BufReader<TcpStream>,
    /// Messages that came before an answer.
    seen: Vec<String>,
}

impl Client {
    fn write(&mut self, commands: &str) {
        self.reader.get_mut().write_all(commands.as_bytes()).expect("the server reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.reader.read_line(&mut line).expect("something comes") > 0, "the server has closed");
        assert_eq!(line.pop(), Some('\n'), "a line is whole");
        line
    }

    /// Sends a command and returns its answer.
    fn ask(&mut self, command: &str) -> String {
        self.write(&format!("{command}\n"));
        loop {
            let line = self.line();
            match line.strip_prefix("ok ") {
                Some(answer) => return answer.to_string(),
                None => self.seen.push(line),
            }
        }
    }

    /// The next message, or what came before an answer.
    fn message(&mut self) -> String {
        if self.seen.is_empty() { self.line() } else { self.seen.remove(0) }
    }

    fn messages(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.message()).collect()
    }
}

#[test]
fn all_subscribers_get_what_is_published_in_its_order() {
    let server = Server::start(Topics::default(), 1);
    let [mut ada, mut bob] = [server.client(0), server.client(0)];
    assert_eq!((ada.ask("sub t"), bob.ask("sub t")), ("Ok(())".into(), "Ok(())".into()));
    ada.write("flood t 100 8 1\npub t end\nmix t 3\n");
    let mut expected: Vec<String> = (0..100).map(|n| format!("0:{n:06}xx")).collect();
    expected.push("0:end".into());
    expected.extend((0..3).map(|n| format!("0:m{n}")));
    assert_eq!(bob.messages(104), expected);
    // Ada's own lines stand where they were sent: an answer behind what was published before it.
    expected.insert(100, "ok ".into());
    expected.insert(102, "ok Ok(())".into());
    let mixed = (0..3).rev().map(|n| (104 + n, format!("s{n}")));
    mixed.for_each(|(at, line)| expected.insert(at, line));
    expected.push("ok ".into());
    assert_eq!(ada.messages(110), expected);
    let encoded = Arc::clone(&server.encoded);
    let stats = server.stop().remove(0);
    assert_eq!((stats.published, stats.delivered), (104, 208));
    assert_eq!(encoded.load(Ordering::Relaxed), 104, "once for all subscribers");
}

#[test]
fn a_subscription_begins_and_ends_between_messages() {
    let server = Server::start(Topics::default(), 1);
    let mut client = server.client(0);
    // In one turn, where messages wait for its end.
    client.write("pub t a\nsub t\npub t b\nunsub t\npub t c\nsub t\npub t d\n");
    let taken: Vec<_> = client.messages(9).into_iter().filter(|line| !line.starts_with("ok")).collect();
    assert_eq!(taken, ["0:b", "0:d"]);
    server.stop();
}

#[test]
fn an_application_words_its_presence_events() {
    let topics = Topics::default();
    let options = TopicOptions::default().presence_with(|event| {
        let sign = if event.joined { '+' } else { '-' };
        Publication::from(format!("{}{sign}{}={}", event.topic, event.member, event.count))
    });
    topics.configure("r", options);
    let server = Server::start(topics, 2);
    let [mut ada, mut bob] = [server.client(0), server.client(1)];
    ada.ask("join r Ada");
    bob.ask("join r Bob");
    assert_eq!(ada.messages(2), ["0:r+Ada=1", "0:r+Bob=2"]);
    assert_eq!(bob.message(), "0:r+Bob=2");
    drop(ada);
    assert_eq!(bob.message(), "0:r-Ada=1");
    server.stop();
}

#[test]
fn the_sender_can_be_left_out() {
    let server = Server::start(Topics::default(), 2);
    let mut clients = [server.client(0), server.client(0), server.client(1)];
    clients.iter_mut().for_each(|client| assert_eq!(client.ask("sub t"), "Ok(())"));
    // In one turn, so that what is for all and what is not is one run.
    clients[0].write("others t a\npub t b\nothers t c\npub t d\n");
    let [ada, bob, eve] = &mut clients;
    assert_eq!(bob.messages(4), ["0:a", "0:b", "0:c", "0:d"]);
    assert_eq!(eve.messages(4), ["0:a", "0:b", "0:c", "0:d"], "other workers leave nobody out");
    let own: Vec<_> = ada.messages(6).into_iter().filter(|line| !line.starts_with("ok")).collect();
    assert_eq!(own, ["0:b", "0:d"]);
    bob.ask("others t e");
    assert_eq!((ada.message(), eve.message()), ("0:e".into(), "0:e".into()));
    assert!(bob.seen.is_empty());
    server.stop();
}

#[test]
fn history_and_live_messages_join_without_gap_or_duplicate() {
    const PUBLISHERS: usize = 3;
    const EACH: usize = 400;
    let topics = Topics::default();
    topics.configure("log/*", TopicOptions::default().history(PUBLISHERS * EACH));
    let server = Server::start(topics, 3);
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let server = &server;
            scope.spawn(move || {
                // Two threads of their own, and one connection to a worker.
                let mut client = (publisher == 0).then(|| server.client(0));
                for n in 0..EACH {
                    let message = format!("{publisher}-{n}");
                    match &mut client {
                        Some(client) => assert_eq!(client.ask(&format!("pub log/1 {message}")), "Ok(())"),
                        None => server.topics.publish("log/1", message).expect("there is room"),
                    }
                }
            });
        }
        let subscribers: Vec<_> = (0..12)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = server.client(n % 3);
                    assert_eq!(client.ask("sub log/1"), "Ok(())");
                    client.messages(PUBLISHERS * EACH)
                })
            })
            .collect();
        let all: Vec<_> = subscribers.into_iter().map(|thread| thread.join().expect("all came")).collect();
        for (n, line) in all[0].iter().enumerate() {
            assert!(line.starts_with(&format!("{}:", n + 1)), "number {} is {line}", n + 1);
        }
        assert!(all.iter().all(|seen| *seen == all[0]), "all see the same in the same order");
        for publisher in 0..PUBLISHERS {
            let infix = format!(":{publisher}-");
            let of_one = all[0].iter().filter_map(|line| line.split_once(&infix)?.1.parse::<usize>().ok());
            assert!(of_one.eq(0..EACH), "the order of publisher {publisher} is kept");
        }
    });
    server.stop();
}

#[test]
fn who_comes_back_gets_what_is_newer_and_learns_what_is_gone() {
    let topics = Topics::default();
    topics.configure("t", TopicOptions::default().history(3));
    let server = Server::start(topics, 2);
    (1..=5).for_each(|n| server.topics.publish("t", format!("m{n}")).expect("there is room"));
    // The first, who has seen nothing, misses what is gone.
    for (after, answer, messages) in [
        (0, "3 true", &["3:m3", "4:m4", "5:m5"][..]),
        (4, "1 false", &["5:m5"]),
        (2, "3 false", &["3:m3", "4:m4", "5:m5"]),
        (1, "3 true", &["3:m3", "4:m4", "5:m5"]),
        (5, "0 false", &[]),
        (900, "3 true", &["3:m3", "4:m4", "5:m5"]),
        // A second before.
        (3 - LIFE as i64, "3 true", &["3:m3", "4:m4", "5:m5"]),
    ] {
        let mut client = server.client(after.rem_euclid(2) as usize);
        assert_eq!(client.ask(&format!("since t {after}")), answer);
        assert_eq!(client.seen, messages, "after {after}");
        assert_eq!(client.ask("unsub t"), "true");
        assert_eq!(client.ask("unsub t"), "false");
    }
    // The topic had subscribers and has none: what it keeps stays.
    let mut client = server.client(0);
    client.ask("sub t");
    assert_eq!(client.seen, ["3:m3", "4:m4", "5:m5"]);
    server.stop();
}

#[test]
fn members_come_with_their_first_connection_and_go_with_their_last() {
    let topics = Topics::default();
    topics.configure("room/*", TopicOptions::default().presence(true).history(5));
    let server = Server::start(topics, 2);
    let event = |event: &str, member: &str, count: usize| {
        format!(r#"0:{{"event":"{event}","topic":"room/1","member":"{member}","count":{count}}}"#)
    };
    let mut ada = server.client(0);
    assert_eq!(ada.ask("join room/1 Ada"), "Ok(())");
    assert_eq!(ada.message(), event("join", "Ada", 1));
    let mut bob = server.client(1);
    bob.ask("join room/1 Bob");
    assert_eq!((ada.message(), bob.message()), (event("join", "Bob", 2), event("join", "Bob", 2)));
    // Ada once more, on the other worker: nobody is told. A subscriber without a name is no member.
    let mut again = server.client(1);
    again.ask("join room/1 Ada");
    let mut guest = server.client(0);
    guest.ask("sub room/1");
    assert_eq!(server.topics.member_count("room/1"), 2);
    let members: BTreeSet<_> = server.topics.members("room/1").into_iter().collect();
    assert_eq!(members, BTreeSet::from([("Ada".into(), 2), ("Bob".into(), 1)]));
    drop(ada);
    server.await_subscribers("room/1", 3);
    bob.ask("pub room/1 hi");
    assert_eq!(bob.message(), "1:hi");
    drop(again);
    assert_eq!(bob.message(), event("leave", "Ada", 1));
    assert_eq!(guest.messages(2), ["1:hi".to_string(), event("leave", "Ada", 1)]);
    assert_eq!(bob.ask("join room/1 Rob"), "Ok(())");
    assert_eq!(bob.messages(2), [event("leave", "Bob", 0), event("join", "Rob", 1)]);
    // Events are not kept, and a member needs a topic that knows its members.
    let mut late = server.client(0);
    late.ask("sub room/1");
    assert_eq!(late.seen, ["1:hi"]);
    assert_eq!(late.ask("join hall Eve"), "Err(NoPresence)");
    assert_eq!(late.ask("join room/* Eve"), "Err(Name)");
    server.stop();
}

#[test]
fn a_pattern_gets_every_topic_that_begins_so() {
    let server = Server::start(Topics::default(), 2);
    let mut client = server.client(0);
    for pattern in ["news/*", "news/eu/*", "news/eu/x", "*"] {
        assert_eq!(client.ask(&format!("sub {pattern}")), "Ok(())");
    }
    assert_eq!(client.ask("list"), "*,news/*,news/eu/*,news/eu/x");
    let mut other = server.client(1);
    for (topic, deliveries) in [("news/eu/x", 4), ("news/us", 2), ("new", 1), ("news/", 2)] {
        other.ask(&format!("pub {topic} {topic}"));
        assert_eq!(client.messages(deliveries), vec![format!("0:{topic}"); deliveries]);
    }
    client.ask("unsub *");
    client.ask("pub old x");
    client.ask("pub news/eu/x y");
    assert_eq!(client.seen, ["0:y"; 3]);
    assert_eq!(client.ask("pub news/* x"), "Err(Name)");
    server.stop();
}

#[test]
fn all_subscriptions_end_with_the_connection() {
    let server = Server::start(Topics::default(), 1);
    let mut stays = server.client(0);
    let mut goes = server.client(0);
    for n in 0..300 {
        let command = format!("sub t{n}");
        goes.ask(&command);
        stays.ask(&command);
    }
    goes.ask("sub only");
    assert_eq!((server.topics.subscribers("t7"), server.topics.subscribers("only")), (2, 1));
    drop(goes);
    server.await_subscribers("only", 0);
    for n in 0..300 {
        server.await_subscribers(&format!("t{n}"), 1);
        assert_eq!(stays.ask(&format!("pub t{n} {n}")), "Ok(())");
        assert_eq!(stays.message(), format!("0:{n}"));
    }
    for n in (0..300).step_by(2) {
        assert_eq!(stays.ask(&format!("unsub t{n}")), "true");
    }
    assert_eq!(stays.ask("list").split(',').count(), 150);
    stays.ask("pub t0 gone");
    stays.ask("pub t1 here");
    assert_eq!(stays.message(), "0:here");
    drop(stays);
    server.await_subscribers("t1", 0);
    let stats = server.stop().remove(0);
    assert_eq!((stats.topics, stats.memberships), (0, 0));
}

#[test]
fn a_full_mailbox_refuses_for_all_workers() {
    let limits = TopicLimits { mailbox_bytes_max: 4096, ..TopicLimits::default() };
    let server = Server::start(Topics::with_limits(limits), 2);
    let mut clients = [server.client(0), server.client(1)];
    clients.iter_mut().for_each(|client| drop(client.ask("sub t")));
    // The second worker stands still, so that its mailbox fills up.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (tell, stands) = std::sync::mpsc::channel();
    server.workers[1]
        .1
        .invoke(move || {
            tell.send(()).expect("the test waits");
            held.recv().expect("it is released");
        })
        .expect("the worker runs");
    stands.recv().expect("the worker stands");
    let mut taken = 0;
    let refusal = loop {
        match server.topics.publish("t", format!("m{taken}")) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refusal, PublishError::Full);
    assert!((10..=64).contains(&taken), "{taken} messages fit");
    assert_eq!(clients[0].ask("pub t more"), "Err(Full)", "another worker is refused, too");
    release.send(()).expect("the worker waits");
    let expected: Vec<_> = (0..taken).map(|n| format!("0:m{n}")).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.messages(taken), expected));
    let mut publisher = server.client(0);
    assert_eq!(publisher.ask("pub t last"), "Ok(())");
    clients.iter_mut().for_each(|client| assert_eq!(client.message(), "0:last"));
    let topics = server.topics.clone();
    let stats = server.stop();
    // The first refusal may have been for the other's sake.
    assert!(stats[1].mailbox_refusals >= 1);
    assert_eq!(stats.iter().map(|stats| stats.mailbox_refusals).sum::<u64>(), 2);
    assert_eq!(topics.publish("t", "late"), Err(PublishError::Closed));
}

#[test]
fn what_is_over_a_bound_is_refused() {
    let limits = TopicLimits {
        topics_max: 3,
        name_bytes_max: 10,
        memberships_per_connection_max: 2,
        retained_topics_max: 2,
        ..TopicLimits::default()
    };
    let topics = Topics::with_limits(limits);
    assert_eq!(topics.publish("t", "x"), Err(PublishError::Closed), "there is no worker yet");
    topics.configure("h/*", TopicOptions::default().history(1));
    let server = Server::start(topics, 1);
    let mut client = server.client(0);
    assert_eq!(client.ask("sub 12345678901"), "Err(Name)");
    assert_eq!(client.ask("pub 12345678901 x"), "Err(Name)");
    assert_eq!(client.ask("sub "), "Err(Name)");
    assert_eq!((client.ask("sub a"), client.ask("sub b")), ("Ok(())".into(), "Ok(())".into()));
    assert_eq!(client.ask("sub c"), "Err(TooManyMemberships)");
    assert_eq!(client.ask("sub a"), "Ok(())", "it is in it");
    let mut other = server.client(0);
    assert_eq!((other.ask("sub c"), other.ask("sub d")), ("Ok(())".into(), "Err(TooManyTopics)".into()));
    other.ask("unsub c");
    // Of three topics that only have history, the one without subscribers for longest is forgotten.
    for topic in ["h/1", "h/2", "h/3"] {
        assert_eq!(other.ask(&format!("pub {topic} x")), "Ok(())");
    }
    for (topic, answer) in [("h/1", "0 false"), ("h/2", "1 false"), ("h/3", "1 false")] {
        assert_eq!(other.ask(&format!("since {topic} 0")), answer, "{topic}");
        other.ask(&format!("unsub {topic}"));
    }
    server.stop();
}
