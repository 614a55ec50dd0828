//! The log over HTTP, on real sockets: what producing and fetching give.

mod common;
#[path = "log_routes/fixture.rs"]
#[expect(dead_code, reason = "shared with the tests of refusals")]
mod fixture;

use common::{Client, wait_until};
use fixture::{Ask, Fixture, json, problem, request, texts};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};
use sws::content::log::TopicConfig;
use sws::content::segment::{Decoded, decode_record};
use sws::{HttpLimits, Server};

const RECEIPT: &str = r#"{"topic":"orders","partition":0,"offset":0,"count":1,"duplicate":false}"#;

/// A server with a topic of so many partitions.
fn with_topic(topic: &str, partitions: u32) -> (Fixture, Client) {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    let config = format!(r#"{{"partitions":{partitions}}}"#);
    assert_eq!(client.put(&format!("/topics/{topic}"), &config).status, 201);
    (fixture, client)
}

fn end(fixture: Fixture, client: Client) {
    drop(client);
    fixture.end();
}

#[test]
fn what_is_produced_is_fetched() {
    let (fixture, mut client) = with_topic("orders", 1);
    let answer = client.post_text("/topics/orders", "two tickets");
    assert_eq!((answer.header("content-type"), answer.text()), (Some("application/json"), RECEIPT));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis() as u64;
    let body = format!(r#"{{"text":"one \"more\" \u00e9","key":"user-7","timestamp":{}}}"#, now + 60_000);
    assert_eq!(json(&client.post_json("/topics/orders", &body), 200)["offset"], 1);
    let fetched = json(&client.fetch("/topics/orders/0?offset=0"), 200);
    assert_eq!(texts(&fetched), ["two tickets", "one \"more\" é"]);
    assert_eq!((&fetched["low"], &fetched["high"], &fetched["next"]), (&0.into(), &2.into(), &2.into()));
    let records = &fetched["records"];
    assert_eq!((&records[0]["key"], &records[1]["key"]), (&Value::Null, &"user-7".into()));
    assert_eq!(records[1]["timestamp"], now + 60_000);
    assert_eq!(records[1].get("tombstone"), None);
    end(fixture, client);
}

#[test]
fn bytes_texts_and_json_keep_what_they_are() {
    let (fixture, mut client) = with_topic("kinds", 1);
    let post = |client: &mut Client, kind: &str, body: &[u8]| {
        let answer = client.ask("POST", "/topics/kinds", &[("Content-Type", kind)], body);
        assert_eq!(answer.status, 200, "{kind}: {}", String::from_utf8_lossy(&answer.body));
    };
    post(&mut client, "application/octet-stream", b"\x00\xff");
    post(&mut client, "TEXT/Plain", "grün".as_bytes());
    post(&mut client, "text/plain", b"\xff\xfe");
    post(&mut client, "application/json", br#"{"json": {"sum": 1e999, "is": [ ]}}"#);
    post(&mut client, "application/json ; charset=utf-8", br#"{"json":null,"key":{"base64":"/w=="}}"#);
    post(&mut client, "application/json", br#"{"base64":"AAEC","key":"k"}"#);
    post(&mut client, "application/json", br#"{"key":"k","tombstone":true}"#);
    post(&mut client, "text/html", b"");
    assert_eq!(client.ask("POST", "/topics/kinds", &[], b"no type").status, 200);
    let fetched = json(&client.fetch("/topics/kinds/0"), 200);
    let contents: Vec<String> = fetched["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let mut record = record.clone();
            let members = record.as_object_mut().unwrap();
            members.remove("offset").unwrap();
            members.remove("timestamp").unwrap();
            record.to_string()
        })
        .collect();
    let expected = [
        r#"{"base64":"AP8=","key":null}"#,
        r#"{"key":null,"text":"grün"}"#,
        r#"{"base64":"//4=","key":null}"#,
        r#"{"key":null,"text":"{\"sum\": 1e999, \"is\": [ ]}"}"#,
        r#"{"key":{"base64":"/w=="},"text":"null"}"#,
        r#"{"base64":"AAEC","key":"k"}"#,
        r#"{"base64":"","key":"k","tombstone":true}"#,
        r#"{"key":null,"text":""}"#,
        r#"{"base64":"bm8gdHlwZQ==","key":null}"#,
    ];
    assert_eq!(contents, expected);
    end(fixture, client);
}

#[test]
fn headers_and_parameters_say_the_rest() {
    let (fixture, mut client) = with_topic("rest", 4);
    let headers = [
        ("Sws-Key", "from a header"),
        ("sws-partition", "2"),
        ("SWS-ACKS", "written"),
        ("Sws-Timestamp", "7"),
    ];
    let answer = client.ask("POST", "/topics/rest?key=unused&partition=1", &headers, b"x");
    assert_eq!(json(&answer, 200)["partition"], 2, "a header counts more");
    let answer =
        client.ask("POST", "/topics/rest?key=a+%C3%A9%00&partition=1&acks=none&timestamp=9", &[], b"y");
    assert_eq!(json(&answer, 200)["partition"], 1);
    let answer = client.ask("POST", "/topics/rest?key=k&partition=3&tombstone=true", &[], b"");
    assert_eq!(json(&answer, 200)["partition"], 3);
    let record = |client: &mut Client, partition: u32| {
        json(&client.fetch(&format!("/topics/rest/{partition}?wait=20000")), 200)["records"][0].clone()
    };
    let first = record(&mut client, 2);
    assert_eq!((&first["key"], &first["timestamp"]), (&"from a header".into(), &7.into()));
    let second = record(&mut client, 1);
    assert_eq!((&second["key"], &second["timestamp"]), (&"a é\0".into(), &9.into()));
    assert_eq!(record(&mut client, 3)["tombstone"], true);
    end(fixture, client);
}

#[test]
fn an_atomic_batch_has_one_place() {
    let (fixture, mut client) = with_topic("atomic", 3);
    let batch =
        r#"{"atomic":true,"records":[{"text":"a","key":"k"},{"text":"b","key":"other"},{"text":"c"}]}"#;
    let answer = json(&client.post_json("/topics/atomic", batch), 200);
    assert_eq!((&answer["offset"], &answer["count"]), (&0.into(), &3.into()));
    let partition = answer["partition"].as_u64().unwrap();
    let fetched = json(&client.fetch(&format!("/topics/atomic/{partition}")), 200);
    assert_eq!(texts(&fetched), ["a", "b", "c"]);
    let named = r#"{"partition":2,"records":[{"text":"d"},{"text":"e"}],"acks":"written"}"#;
    let answer = json(&client.post_json("/topics/atomic", named), 200);
    assert_eq!((&answer["partition"], &answer["count"]), (&2.into(), &2.into()));
    end(fixture, client);
}

#[test]
fn a_batch_is_split_by_partitions_and_answered_in_its_order() {
    let (fixture, mut client) = with_topic("split", 4);
    let records: Vec<String> = (0..40)
        .map(|n| match n % 4 {
            0 => format!(r#"{{"text":"{n}","partition":1}}"#),
            1 => format!(r#"{{"text":"{n}"}}"#),
            _ => format!(r#"{{"text":"{n}","key":"key-{}"}}"#, n % 7),
        })
        .collect();
    let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
    let answer = json(&client.post_json("/topics/split", &body), 200);
    assert_eq!(answer["count"], 40);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 40);
    let mut partitions = BTreeSet::new();
    let mut of_key = std::collections::HashMap::new();
    for (n, result) in results.iter().enumerate() {
        let (partition, offset) = (result["partition"].as_u64().unwrap(), result["offset"].as_u64().unwrap());
        let path = format!("/topics/split/{partition}?offset={offset}&max=1");
        let fetched = json(&client.fetch(&path), 200);
        assert_eq!(texts(&fetched), [n.to_string()]);
        partitions.insert(partition);
        match n % 4 {
            0 => assert_eq!(partition, 1),
            1 => {}
            _ => {
                assert_eq!(*of_key.entry(n % 7).or_insert(partition), partition, "a key keeps its partition")
            }
        }
    }
    assert_eq!(partitions.len(), 4);
    end(fixture, client);
}

#[test]
fn a_producers_number_is_written_once() {
    let (fixture, mut client) = with_topic("once", 1);
    let send = |client: &mut Client, sequence: u32| {
        let sequence = sequence.to_string();
        client.ask("POST", "/topics/once", &[("Sws-Producer-Id", "7"), ("Sws-Sequence", &sequence)], b"x")
    };
    assert_eq!(json(&send(&mut client, 5), 200)["duplicate"], false);
    let again = json(&send(&mut client, 5), 200);
    assert_eq!((&again["duplicate"], &again["offset"]), (&true.into(), &0.into()));
    assert_eq!(problem(&send(&mut client, 8), 409, "out_of_sequence")["expected"], 6);
    let batch = r#"{"atomic":true,"producer":{"id":7,"sequence":6},"records":[{"text":"a"},{"text":"b"}]}"#;
    for duplicate in [false, true] {
        let answer = json(&client.post_json("/topics/once", batch), 200);
        assert_eq!((&answer["offset"], &answer["duplicate"]), (&1.into(), &duplicate.into()));
    }
    problem(&send(&mut client, 6), 409, "duplicate");
    assert_eq!(json(&client.fetch("/topics/once"), 200)["partitions"][0]["high"], 3);
    end(fixture, client);
}

#[test]
fn offsets_are_counted_from_either_end() {
    let (fixture, mut client) = with_topic("ends", 1);
    for n in 0..5 {
        assert_eq!(client.post_text("/topics/ends", &n.to_string()).status, 200);
    }
    let mut fetch = |query: &str| json(&client.fetch(&format!("/topics/ends/0{query}")), 200);
    assert_eq!(texts(&fetch("")), ["0", "1", "2", "3", "4"]);
    assert_eq!(texts(&fetch("?offset=earliest&max=2")), ["0", "1"]);
    assert_eq!(texts(&fetch("?offset=-2")), ["3", "4"]);
    assert_eq!(texts(&fetch("?offset=-100")), ["0", "1", "2", "3", "4"]);
    assert_eq!(fetch("?offset=latest")["records"].as_array().unwrap().len(), 0);
    assert_eq!(fetch("?offset=latest")["next"], 5);
    let page = fetch("?offset=1&max_bytes=1");
    assert_eq!((texts(&page), &page["next"]), (vec!["1"], &2.into()));
    assert_eq!(texts(&fetch("?offset=%31&max=18446744073709551615")), ["1", "2", "3", "4"]);
    end(fixture, client);
}

#[test]
fn a_long_poll_ends_with_the_record() {
    let (fixture, mut client) = with_topic("poll", 1);
    assert_eq!(client.post_text("/topics/poll", "before").status, 200);
    // What wrote the record has ended; the log's maintenance stays.
    wait_until(&fixture.server, "nothing else is at work", |stats| stats.fibers == 1);
    let mut waiting: Vec<Client> =
        ["offset=1", "offset=latest", "offset=1&format=raw", "min_offset=1&offset=1&timeout=45000"]
            .iter()
            .map(|query| {
                let path = format!("/topics/poll/0?{query}&wait=45000");
                Client::asking(fixture.addr(), common::get(&path))
            })
            .collect();
    wait_until(&fixture.server, "all polls wait", |stats| stats.fibers == 1 + waiting.len());
    assert_eq!(client.post_text("/topics/poll", "after").status, 200);
    for (number, waiting) in waiting.iter_mut().enumerate() {
        let answer = waiting.answer();
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        match number {
            2 => assert!(answer.body.ends_with(b"after")),
            _ => assert_eq!(texts(&json(&answer, 200)), ["after"]),
        }
    }
    drop(waiting);
    let answer = json(&client.fetch("/topics/poll/0?offset=2&wait=1"), 200);
    assert_eq!((answer["records"].as_array().unwrap().len(), &answer["next"]), (0, &2.into()));
    end(fixture, client);
}

#[test]
fn a_wait_is_shorter_than_what_handlers_have() {
    let folder = fixture::Folder::new();
    let (log, _) = sws::Log::open(&folder.0).unwrap();
    let limits = HttpLimits { handler_timeout: Duration::from_millis(400), ..HttpLimits::default() };
    let create = |routes: sws::log_routes::LogRoutes| routes.create_on_produce(TopicConfig::default());
    let fixture = Fixture::with_log(log, limits, 1, create);
    let mut client = fixture.client();
    assert_eq!(client.post_text("/topics/short", "x").status, 200);
    let answer = client.fetch("/topics/short/0?offset=1&wait=9999999999999");
    assert_eq!(json(&answer, 200)["next"], 1, "not the 503 of a handler that takes too long");
    end(fixture, client);
}

#[test]
fn raw_records_are_those_of_the_segment() {
    let (fixture, mut client) = with_topic("raw", 1);
    for n in 0..3 {
        let body = format!(r#"{{"text":"record {n}","key":"k{n}"}}"#);
        assert_eq!(client.post_json("/topics/raw", &body).status, 200);
    }
    let by_header =
        client.ask("GET", "/topics/raw/0?offset=1", &[("Accept", "application/octet-stream")], b"");
    let by_parameter = client.fetch("/topics/raw/0?offset=1&format=raw");
    assert_eq!(by_header.body, by_parameter.body);
    assert_eq!(by_header.header("content-type"), Some("application/octet-stream"));
    let numbers = ["sws-low", "sws-high", "sws-next"].map(|name| by_header.header(name));
    assert_eq!(numbers, [Some("0"), Some("3"), Some("3")]);
    assert_eq!(decoded(&by_header.body), [(1, "record 1".to_owned()), (2, "record 2".to_owned())]);
    end(fixture, client);
}

/// The offsets and payloads of records one behind the other.
fn decoded(mut bytes: &[u8]) -> Vec<(u64, String)> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let Ok(Decoded::Record(record)) = decode_record(bytes) else { panic!("no record: {bytes:?}") };
        records.push((record.offset, String::from_utf8(record.payload.to_vec()).unwrap()));
        bytes = &bytes[record.encoded_len..];
    }
    records
}

#[test]
fn a_long_answer_comes_in_pieces() {
    let (fixture, mut client) = with_topic("long", 1);
    let payload = "0123456789abcdef".repeat(500);
    let records = 400_usize;
    for first in (0..records).step_by(50) {
        let batch: Vec<String> =
            (first..first + 50).map(|n| format!(r#"{{"text":"{n} {payload}"}}"#)).collect();
        let body = format!(r#"{{"atomic":true,"records":[{}]}}"#, batch.join(","));
        assert_eq!(client.post_json("/topics/long", &body).status, 200);
    }
    let raw = client.fetch("/topics/long/0?format=raw&max_bytes=67108864");
    assert_eq!((raw.status, raw.header("transfer-encoding")), (200, Some("chunked")));
    assert_eq!((raw.header("sws-high"), raw.header("sws-next")), (Some("400"), None));
    let found = decoded(&raw.body);
    assert_eq!(found.len(), records);
    for (n, (offset, text)) in found.iter().enumerate() {
        assert_eq!((*offset, text.split_once(' ').unwrap()), (n as u64, (&*n.to_string(), &*payload)));
    }
    let fetched = json(&client.fetch("/topics/long/0?max_bytes=99999999999"), 200);
    assert_eq!((texts(&fetched).len(), &fetched["next"]), (records, &(records as u64).into()));
    let part = json(&client.fetch("/topics/long/0?max_bytes=1000000&max=100"), 200);
    assert_eq!((texts(&part).len(), &part["next"]), (100, &100.into()));
    let part = client.fetch("/topics/long/0?max_bytes=1000000&format=raw");
    assert!((900_000..=1_000_000).contains(&part.body.len()), "{}", part.body.len());
    assert_eq!(decoded(&part.body).len(), part.body.len() / (raw.body.len() / records));
    // Who does not read the rest is let go.
    drop(Client::asking(fixture.addr(), common::get("/topics/long/0?max_bytes=67108864")));
    end(fixture, client);
}

#[test]
fn a_full_segment_is_sent_as_a_part_of_its_file() {
    let (fixture, mut client) = with_topic("full", 1);
    assert_eq!(client.put("/topics/cut", r#"{"segment_bytes":1500000}"#).status, 201);
    let payload = "0123456789abcdef".repeat(100);
    for first in (0..4000).step_by(100) {
        let batch: Vec<String> =
            (first..first + 100).map(|n| format!(r#"{{"text":"{n} {payload}"}}"#)).collect();
        let body = format!(r#"{{"atomic":true,"records":[{}]}}"#, batch.join(","));
        assert_eq!(client.post_json("/topics/cut", &body).status, 200);
    }
    // From any offset on, with any bound: what is there, each record once, and where to go on.
    for bound in [400_000_u64, 1_000_000, 67_108_864] {
        let (mut next, mut files) = (1003, 0);
        while next < 4000 {
            let path = format!("/topics/cut/0?offset={next}&format=raw&max_bytes={bound}");
            let answer = client.fetch(&path);
            assert_eq!((answer.status, answer.header("sws-low")), (200, Some("0")));
            assert_eq!(answer.header("sws-high"), Some("4000"));
            assert!(answer.body.len() as u64 <= bound, "{} bytes of {bound}", answer.body.len());
            let found = decoded(&answer.body);
            for (n, (offset, text)) in (next..).zip(&found) {
                assert_eq!((*offset, text.split_once(' ').unwrap()), (n, (&*n.to_string(), &*payload)));
            }
            next += found.len() as u64;
            if let Some(length) = answer.header("content-length") {
                files += 1;
                assert_eq!(length.parse(), Ok(answer.body.len()));
                assert_eq!(answer.header("sws-next").map(str::parse), Some(Ok(next)));
            }
        }
        assert_eq!(next, 4000);
        assert!(files > 2, "{files} parts of files with a bound of {bound}");
    }
    let few = client.fetch("/topics/cut/0?offset=0&format=raw&max_bytes=67108864&max=3");
    assert_eq!(decoded(&few.body).len(), 3);
    let last = client.fetch("/topics/cut/0?offset=-5&format=raw&max_bytes=67108864");
    assert_eq!(decoded(&last.body).len(), 5);
    assert_eq!(client.fetch("/topics/cut/0?offset=4001&format=raw&max_bytes=67108864").status, 416);
    end(fixture, client);
}

#[test]
fn producers_at_the_same_time_get_offsets_of_their_own() {
    let (fixture, client) = with_topic("many", 1);
    let addr = fixture.addr();
    let producers: Vec<_> = (0..16)
        .map(|producer| {
            std::thread::spawn(move || {
                let mut client = Client::connect(addr);
                let produce = |n| {
                    let answer = client.post_text("/topics/many", &format!("{producer} {n}"));
                    json(&answer, 200)["offset"].as_u64().unwrap()
                };
                (0..50).map(produce).collect::<Vec<u64>>()
            })
        })
        .collect();
    let offsets: Vec<Vec<u64>> = producers.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(offsets.iter().all(|own| own.is_sorted()));
    let all: BTreeSet<u64> = offsets.iter().flatten().copied().collect();
    assert_eq!(all, (0..800).collect());
    end(fixture, client);
}

#[test]
fn producers_that_are_gone_leave_whole_records() {
    let (fixture, mut client) = with_topic("gone", 1);
    for n in 0..100 {
        let request =
            request("POST", "/topics/gone", &[("Content-Type", "text/plain")], format!("{n}").as_bytes());
        drop(Client::asking(fixture.addr(), request));
    }
    assert_eq!(client.post_text("/topics/gone", "last").status, 200);
    let fetched = json(&client.fetch("/topics/gone/0"), 200);
    assert!(texts(&fetched).contains(&"last"));
    end(fixture, client);
}

#[test]
fn names_are_percent_encoded() {
    let (fixture, mut client) = with_topic("gr%C3%B6%C3%9Fe%20%221%22", 1);
    let answer = client.post_text("/topics/gr%C3%B6%C3%9Fe%20%221%22", "x");
    assert_eq!(json(&answer, 200)["topic"], "größe \"1\"");
    // An encoded slash is a part of the name; a plain one ends it.
    assert_eq!(client.put("/topics/room%2F1", "").status, 201);
    assert_eq!(json(&client.post_text("/topics/room%2F1", "x"), 200)["topic"], "room/1");
    assert_eq!(texts(&json(&client.fetch("/topics/room%2F1/0"), 200)), ["x"]);
    problem(&client.fetch("/topics/room/1"), 404, "unknown_topic");
    end(fixture, client);
}

#[test]
fn topics_are_made_by_who_produces_if_that_is_wanted() {
    let fixture = Fixture::new(|routes| routes.create_on_produce(TopicConfig::default().partitions(2)));
    let addr = fixture.addr();
    let producers: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let batch = r#"{"records":[{"text":"a"},{"text":"b"}]}"#;
                json(&Client::connect(addr).post_json("/topics/new", batch), 200)["count"].clone()
            })
        })
        .collect();
    assert!(producers.into_iter().all(|thread| thread.join().unwrap() == 2));
    let mut client = fixture.client();
    let shown = json(&client.fetch("/topics/new"), 200);
    let high = |partition: usize| shown["partitions"][partition]["high"].as_u64().unwrap();
    assert_eq!(high(0) + high(1), 16);
    assert_eq!(client.put("/topics/other", "").status, 405, "there is no admin");
    assert_eq!(client.fetch("/topics").status, 404);
    end(fixture, client);
}

#[test]
fn every_worker_reaches_the_log() {
    let folder = fixture::Folder::new();
    let (log, _) = sws::Log::open(&folder.0).unwrap();
    let fixture = Fixture::with_log(log, HttpLimits::default(), 2, |routes| routes.admin(true));
    assert_eq!(fixture.client().put("/topics/shared", r#"{"partitions":2}"#).status, 201);
    // The kernel spreads connections by their ports: with so many, both workers have some.
    let mut clients: Vec<Client> = (0..32).map(|_| fixture.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let batch =
            format!(r#"{{"records":[{{"text":"{n}","partition":0}},{{"text":"{n}","partition":1}}]}}"#);
        let answer = json(&client.post_json("/topics/shared", &batch), 200);
        assert_eq!(answer["results"][1]["offset"], n);
        let answer = client.fetch(&format!("/topics/shared/0?offset=-1&min_offset={n}"));
        assert_eq!(texts(&json(&answer, 200)), [n.to_string()]);
    }
    drop(clients);
    fixture.server.shutdown();
}

#[test]
fn metrics_count_what_goes_through() {
    let folder = fixture::Folder::new();
    let (log, _) = sws::Log::open(&folder.0).unwrap();
    let server = Server::bind("127.0.0.1:0").unwrap().admin("127.0.0.1:0").unwrap();
    let routes = move || sws::log_routes::LogRoutes::new(log.clone()).admin(true).into_router();
    let server = server.spawn(routes).unwrap();
    let mut client = Client::connect(server.addr());
    assert_eq!(client.put("/orders", "").status, 201);
    assert_eq!(client.post_text("/orders", "12345").status, 200);
    assert_eq!(
        client.post_json("/orders", r#"{"atomic":true,"records":[{"text":"1"},{"text":"2"}]}"#).status,
        200
    );
    assert_eq!(client.fetch("/orders/0").status, 200);
    assert_eq!((client.fetch("/none").status, client.fetch("/none/0").status), (404, 404));
    // What goes through a socket counts as well.
    let stream = std::net::TcpStream::connect(server.addr()).unwrap();
    let (mut socket, _) = tungstenite::client(format!("ws://{}/", server.addr()), stream).unwrap();
    for topic in ["orders", "none"] {
        let record = format!(r#"{{"op":"produce","topic":"{topic}","text":"123"}}"#);
        socket.send(tungstenite::Message::text(record)).unwrap();
        assert!(socket.read().unwrap().is_text());
    }
    let text = Client::connect(server.admin_addr().unwrap()).get("/metrics").text().to_owned();
    for line in [
        "sws_log_produced_records_total 4",
        "sws_log_produced_bytes_total 10",
        "sws_log_fetched_records_total 3",
        "sws_log_fetched_bytes_total 151",
        "sws_log_refusals_total{code=\"unknown_topic\"} 3",
    ] {
        assert!(text.lines().any(|held| held == line), "{line} in\n{text}");
    }
    drop((client, socket));
    server.shutdown();
}
