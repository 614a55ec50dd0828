//! Those who read slowly, and those who publish fast.

use super::*;

/// 400 messages of 10 KB in one turn for one that does not read, with a bound of 200 KB: what it has got then, and the counts.
fn flood_slow_reader(policy: &str, topic_policy: Option<Overflow>) -> (Vec<usize>, String, Stats) {
    let topics = Topics::default();
    if let Some(overflow) = topic_policy {
        topics.configure("t", TopicOptions::default().overflow(overflow));
    }
    let server = Server::start_with(topics, 1, usize::MAX);
    let mut slow = server.client(0);
    slow.ask(&format!("policy {policy} 200000"));
    slow.ask("sub t");
    let mut other = server.client(0);
    other.ask("flood t 400 10000 4");
    let pending: usize = other.ask("pending").parse().expect("a number");
    assert!(pending <= 200_000, "{pending} bytes wait");
    // What is left unread at the end of the connection is told by its end.
    server.workers.iter().for_each(|(_, handle, _)| handle.shutdown());
    let mut rest = String::new();
    slow.reader.read_to_string(&mut rest).expect("the server closes");
    let numbers = rest.lines().filter_map(|line| {
        let payload = line.strip_prefix("0:")?;
        assert_eq!(payload.len(), 10_000, "each message is whole");
        payload[..6].parse().ok()
    });
    let numbers = numbers.collect();
    let last = rest.lines().last().unwrap_or_default().to_string();
    (numbers, last, server.stop().remove(0))
}

#[test]
fn a_slow_subscriber_loses_the_oldest_messages() {
    let (numbers, _, stats) = flood_slow_reader("drop", None);
    let split = numbers.windows(2).position(|pair| pair[1] != pair[0] + 1).expect("some are gone") + 1;
    let (first, last) = numbers.split_at(split);
    assert!(first.iter().copied().eq(0..first.len()), "the first were on their way: {first:?}");
    assert!(last.iter().copied().eq(400 - last.len()..400), "the last are kept: {last:?}");
    assert!((10..=20).contains(&numbers.len()), "{} messages fit the bound", numbers.len());
    assert_eq!(stats.messages_dropped, 400 - numbers.len() as u64);
    assert_eq!((stats.delivered, stats.messages_replaced), (400, 0));
}

#[test]
fn a_slow_subscriber_gets_the_latest_of_each_key() {
    for (policy, of_topic) in [("latest", None), ("close", Some(Overflow::KeepLatest))] {
        let (numbers, _, stats) = flood_slow_reader(policy, of_topic);
        let (first, last) = numbers.split_at(numbers.len() - 4);
        assert!(first.iter().copied().eq(0..first.len()), "the first were on their way: {first:?}");
        assert_eq!(BTreeSet::from_iter(last), BTreeSet::from([&396, &397, &398, &399]));
        assert_eq!(stats.messages_replaced, 400 - numbers.len() as u64);
        assert_eq!((stats.messages_dropped, stats.closed_slow), (0, 0));
    }
}

#[test]
fn a_slow_subscriber_is_told_and_closed() {
    let (numbers, last, stats) = flood_slow_reader("close", None);
    assert!(numbers.iter().copied().eq(0..numbers.len()), "what it got is without a gap");
    assert!(numbers.len() < 20);
    assert_eq!((last.as_str(), stats.closed_slow), ("too slow", 1));
}

#[test]
fn a_topic_whose_messages_may_be_lost_costs_no_other_messages() {
    let topics = Topics::default();
    topics.configure("t", TopicOptions::default().overflow(Overflow::DropOldest));
    let server = Server::start_with(topics, 1, usize::MAX);
    let mut slow = server.client(0);
    slow.ask("policy close 200000");
    slow.ask("sub t");
    slow.ask("sub safe");
    let mut other = server.client(0);
    // In one turn: the window and more are filled, and what comes next waits.
    other.write("flood t 40 10000 1\nflood safe 5 9000 1\nflood t 100 10000 1\nflood safe 5 9000 1\n");
    other.messages(4);
    server.workers.iter().for_each(|(_, handle, _)| handle.shutdown());
    let mut rest = String::new();
    slow.reader.read_to_string(&mut rest).expect("the server closes");
    let numbers = |len: usize| {
        let of_len = rest.lines().filter(move |line| line.len() == len + 2);
        of_len.map(|line| line[2..8].parse::<usize>().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(numbers(9000), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4], "all are there, in order");
    assert_eq!(numbers(10_000).last(), Some(&99));
    let stats = server.stop().remove(0);
    assert_eq!(stats.messages_dropped, 140 - numbers(10_000).len() as u64);
    assert!(stats.messages_dropped > 100 && stats.closed_slow == 0);
}

/// Subscribes everybody to two topics, so that messages to them in turn are a run each.
struct Pair;

impl EventHandler for Pair {
    type Workspace = ();

    fn on_open(&mut self, conn: &mut Conn<'_, ()>) {
        for topic in ["even", "odd"] {
            conn.subscribe(topic, Encoding::RAW).expect("two topics");
        }
    }

    fn on_data(&mut self, _conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        data.len()
    }
}

#[test]
fn who_publishes_faster_than_is_delivered_is_refused() {
    const CLIENTS: usize = 8;
    let limits = TopicLimits { mailbox_bytes_max: 4096, ..TopicLimits::default() };
    let mut config = Config { topics: Some(Topics::with_limits(limits)), ..Config::default() };
    config.limits.deliveries_per_turn = 1;
    let runtime = Runtime::new(config).expect("a runtime");
    let topics = runtime.topics();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    runtime.listen(listener, Pair);
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|_| TcpStream::connect(addr).expect("the worker listens")).collect();
    while topics.subscribers("odd") < CLIENTS {
        runtime.tick();
    }
    // Four messages a turn, of which one is delivered in eight.
    let mut taken = 0;
    for n in 0..1000 {
        let topic = if n % 2 == 0 { "even" } else { "odd" };
        match topics.publish(topic, vec![n as u8]) {
            Ok(()) => taken += 1,
            Err(error) => {
                assert_eq!(error, PublishError::Full);
                break;
            }
        }
        if n % 4 == 3 {
            runtime.tick();
        }
    }
    assert!((60..500).contains(&taken), "{taken} messages were taken");
    while runtime.stats().delivered < (taken * CLIENTS) as u64 {
        runtime.tick();
    }
    assert_eq!(topics.publish("odd", vec![taken as u8]), Ok(()), "there is room again");
    while runtime.stats().delivered < ((taken + 1) * CLIENTS) as u64 {
        runtime.tick();
    }
    // The last sends are on their way.
    runtime.tick();
    drop(runtime);
    for client in &mut clients {
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("the worker closes");
        assert!(all.iter().copied().eq((0..=taken).map(|n| n as u8)), "all that was taken, in order");
    }
}

#[test]
fn a_worker_that_has_run_hears_again_when_it_is_used_again() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let topics = runtime.topics();
    runtime.handle().shutdown();
    runtime.run();
    assert_eq!(topics.publish("t", "x"), Err(PublishError::Closed), "nobody runs it");
    runtime.block_on_fiber({
        let topics = topics.clone();
        move || {
            let publisher = std::thread::spawn(move || topics.publish("t", "x"));
            assert_eq!(publisher.join().expect("no panic"), Ok(()));
        }
    });
    drop(runtime);
    assert_eq!(topics.publish("t", "x"), Err(PublishError::Closed));
}
