//! What the log refuses over HTTP: each code on a real socket, and who may do what.

mod common;
#[path = "log_routes/fixture.rs"]
mod fixture;

use common::Client;
use fixture::{Ask, Fixture, json, problem, request};
use std::sync::Arc;
use std::sync::mpsc;
use sws::content::log::{LogOptions, TopicConfig};
use sws::content::storage::FaultyStorage;
use sws::content::storage::faulty::{Fault, Op};
use sws::http::StatusCode;
use sws::log_routes::{Access, LogRoutes};
use sws::{HttpLimits, Log, Response, Router, Server, bearer_token};

/// A server with a topic `t` of two partitions and one record in the first.
fn with_topic() -> (Fixture, Client) {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    assert_eq!(client.put("/topics/t", r#"{"partitions":2}"#).status, 201);
    assert_eq!(client.ask("POST", "/topics/t?partition=0", &[], b"x").status, 200);
    (fixture, client)
}

fn end(fixture: Fixture, client: Client) {
    drop(client);
    fixture.end();
}

#[test]
fn what_is_not_there() {
    let (fixture, mut client) = with_topic();
    problem(&client.post_text("/topics/none", "x"), 404, "unknown_topic");
    problem(&client.post_json("/topics/none", r#"{"records":[{"text":"x"}]}"#), 404, "unknown_topic");
    problem(&client.fetch("/topics/none"), 404, "unknown_topic");
    problem(&client.fetch("/topics/none/0"), 404, "unknown_topic");
    problem(&client.ask("DELETE", "/topics/none", &[], b""), 404, "unknown_topic");
    for partition in ["2", "x", "-1", "+1", "4294967296", "99999999999999999999999"] {
        problem(&client.fetch(&format!("/topics/t/{partition}")), 404, "unknown_partition");
    }
    problem(&client.ask("POST", "/topics/t?partition=2", &[], b"x"), 404, "unknown_partition");
    let answer = client.post_json("/topics/t", r#"{"records":[{"text":"x"},{"text":"y","partition":9}]}"#);
    assert_eq!(problem(&answer, 404, "unknown_partition")["field"], "records[1].partition");
    assert_eq!(client.put("/topics/explicit", r#"{"partitioner":"explicit"}"#).status, 201);
    problem(&client.post_text("/topics/explicit", "x"), 404, "unknown_partition");
    let above = problem(&client.fetch("/topics/t/0?offset=2"), 416, "out_of_range");
    assert_eq!((&above["low"], &above["high"]), (&0.into(), &1.into()));
    problem(&client.fetch("/topics/t/0?offset=18446744073709551615&wait=1000"), 416, "out_of_range");
    end(fixture, client);
}

#[test]
fn a_minimum_that_does_not_come_is_to_be_asked_for_again() {
    let (fixture, mut client) = with_topic();
    for query in ["min_offset=1", "min_offset=18446744073709551615"] {
        let answer = client.fetch(&format!("/topics/t/0?{query}&timeout=1"));
        problem(&answer, 503, "not_visible");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    end(fixture, client);
}

#[test]
fn parameters_are_named_when_they_are_wrong() {
    let (fixture, mut client) = with_topic();
    let huge = "99999999999999999999";
    for (field, value) in [
        ("offset", "-"),
        ("offset", "first"),
        ("offset", huge),
        ("offset", "--1"),
        ("max", "0"),
        ("max", "+1"),
        ("max", ""),
        ("max_bytes", "0"),
        ("max_bytes", "1e3"),
        ("wait", "-5"),
        ("wait", "soon"),
        ("min_offset", huge),
        ("timeout", "%FF"),
        ("format", "xml"),
    ] {
        let answer = client.fetch(&format!("/topics/t/0?{field}={value}"));
        assert_eq!(problem(&answer, 400, "bad_request")["field"], field, "{value}");
    }
    for (field, value) in [
        ("partition", "-1"),
        ("partition", "4294967296"),
        ("acks", "all"),
        ("acks", ""),
        ("timestamp", "yesterday"),
        ("timestamp", "253402300800000"),
        ("timestamp", huge),
        ("tombstone", "maybe"),
        ("tombstone", "true"),
        ("producer_id", "0"),
        ("producer_id", huge),
        ("sequence", "4294967296"),
    ] {
        let sequence = if field == "producer_id" { "&sequence=1" } else { "" };
        let answer = client.ask("POST", &format!("/topics/t?{field}={value}{sequence}"), &[], b"x");
        assert_eq!(problem(&answer, 400, "bad_request")["field"], field, "{value}");
    }
    for (header, field) in [("Sws-Producer-Id", "sequence"), ("Sws-Sequence", "producer_id")] {
        let answer = client.ask("POST", "/topics/t", &[(header, "1")], b"x");
        assert_eq!(problem(&answer, 400, "bad_request")["field"], field, "one without the other");
    }
    assert_eq!(problem(&client.post_text("/topics/%FF", "x"), 400, "bad_request")["field"], "topic");
    assert_eq!(json(&client.fetch("/topics/t"), 200)["partitions"][0]["high"], 1, "nothing was written");
    end(fixture, client);
}

#[test]
fn json_that_does_not_fit_names_its_member() {
    let (fixture, mut client) = with_topic();
    for (body, word) in [
        ("", "EOF"),
        ("[]", "a record, or an object with `records`"),
        (r#"{"text":"x""#, "EOF"),
        (r#"{"text":"x"} y"#, "trailing"),
        (r#"{"text":5}"#, "`text`"),
        ("{\"text\":\"\u{1}\"}", "`text`"),
        (r#"{"text":"\ud800"}"#, "`text`"),
        (r#"{"txt":"x"}"#, "`txt`"),
        (r#"{"text":"x","key":5}"#, "`key`"),
        (r#"{"text":"x","key":{"base":"x"}}"#, "`key`"),
        (r#"{"text":"x","timestamp":-1}"#, "`timestamp`"),
        (r#"{"text":"x","timestamp":1e400}"#, "`timestamp`"),
        (r#"{"text":"x","timestamp":1.5}"#, "`timestamp`"),
        (r#"{"text":"x","partition":4294967296}"#, "`partition`"),
        (r#"{"text":"x","tombstone":"yes"}"#, "`tombstone`"),
        (r#"{"text":"x","acks":"all"}"#, "`acks`"),
        (r#"{"text":"x","producer":{"id":1}}"#, "`producer`"),
        (r#"{"records":{}}"#, "`records`"),
        (r#"{"records":[{"text":5}]}"#, "`records`: `text`"),
        (r#"{"records":[{"acks":"none"}]}"#, "`acks`"),
    ] {
        let problem = problem(&client.post_json("/topics/t", body), 400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body}: {problem}");
    }
    for (body, field) in [
        ("{}", "text"),
        (r#"{"text":"x","base64":"AAEC"}"#, "text"),
        (r#"{"text":null}"#, "text"),
        (r#"{"base64":"AA"}"#, "base64"),
        (r#"{"text":"x","key":{"base64":"?"}}"#, "key.base64"),
        (r#"{"tombstone":true}"#, "tombstone"),
        (r#"{"tombstone":true,"key":"k","text":"x"}"#, "tombstone"),
        (r#"{"text":"x","timestamp":18446744073709551615}"#, "timestamp"),
        (r#"{"text":"x","atomic":true}"#, "atomic"),
        (r#"{"text":"x","producer":{"id":0,"sequence":1}}"#, "producer.id"),
        (r#"{"records":[]}"#, "records"),
        (r#"{"records":[{"text":"x"}],"key":"k"}"#, "records"),
        (r#"{"records":[{"text":"x"},{"base64":"!"}]}"#, "records[1].base64"),
        (r#"{"records":[{"text":"x","partition":1}],"atomic":true}"#, "records[0].partition"),
        (r#"{"records":[{"text":"x"}],"producer":{"id":1,"sequence":1}}"#, "producer"),
    ] {
        let problem = problem(&client.post_json("/topics/t", body), 400, "bad_request");
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    let deep = format!(r#"{{"json":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(client.post_json("/topics/t?partition=1", &deep).status, 200, "it is kept, not looked into");
    assert_eq!(json(&client.fetch("/topics/t"), 200)["partitions"][0]["high"], 1, "nothing else was written");
    end(fixture, client);
}

#[test]
fn sizes_have_bounds() {
    let folder = fixture::Folder::new();
    let (log, _) = Log::open(&folder.0).unwrap();
    let routes = |routes: LogRoutes| routes.create_on_produce(TopicConfig::default()).body_bytes_max(100_000);
    let fixture = Fixture::with_log(log, HttpLimits::default(), 1, routes);
    for len in [100_001, 65_536 + 100_000] {
        let mut client = fixture.client();
        assert_eq!(
            problem(&client.ask("POST", "/topics/t", &[], &vec![b'x'; len]), 413, "size")["bytes_max"],
            100_000
        );
    }
    for len in [0, 1, 65_535, 65_536, 65_537, 100_000] {
        let mut client = fixture.client();
        assert_eq!(client.ask("POST", "/topics/t", &[], &vec![b'x'; len]).status, 200, "{len}");
    }
    let mut client = fixture.client();
    client.send(common::post_chunks("/topics/t", &["ab", "cde"]));
    assert_eq!(client.answer().status, 200);
    let key = format!(r#"{{"text":"x","key":"{}"}}"#, "k".repeat(65_536));
    problem(&client.post_json("/topics/t", &key), 413, "size");
    let fetched = json(&client.fetch("/topics/t/0?offset=-1"), 200);
    assert_eq!(fetched["records"][0]["base64"], "YWJjZGU=");
    end(fixture, client);
}

/// A server whose log is on a storage that fails as it is told, with a topic `t` and one record.
fn on_faulty(options: LogOptions) -> (Fixture, Client, FaultyStorage) {
    let storage = FaultyStorage::new();
    let options = LogOptions { storage: Arc::new(storage.clone()), ..options };
    let fixture = Fixture::with_options(options);
    let mut client = fixture.client();
    assert_eq!(client.put("/topics/t", "").status, 201);
    assert_eq!(client.post_text("/topics/t", "first").status, 200);
    (fixture, client, storage)
}

#[test]
fn a_failed_sync_poisons_and_no_path_is_told() {
    let (fixture, mut client, storage) = on_faulty(LogOptions::default());
    storage.fail(Op::Sync, storage.count(Op::Sync), Fault::Io);
    for _ in 0..3 {
        let answer = client.post_text("/topics/t", "x");
        problem(&answer, 503, "poisoned");
        assert!(
            !answer.text().contains(".seg") && !answer.text().contains("log-routes"),
            "{}",
            answer.text()
        );
    }
    let batch = r#"{"records":[{"text":"a"},{"text":"b"}]}"#;
    let refused = problem(&client.post_json("/topics/t", batch), 503, "poisoned");
    assert_eq!(refused["results"][1]["code"], "poisoned");
    assert_eq!(fixture::texts(&json(&client.fetch("/topics/t/0?max=1"), 200)), ["first"], "reading goes on");
    assert_eq!(json(&client.fetch("/topics/t"), 200)["partitions"][0]["poisoned"], true);
    end(fixture, client);
}

#[test]
fn a_full_storage_is_said() {
    let (fixture, mut client, storage) = on_faulty(LogOptions::default());
    storage.set_capacity(storage.used());
    let long = "x".repeat(1_000_000);
    problem(&client.post_text("/topics/t", &long), 507, "storage_full");
    storage.heal();
    storage.fail(Op::CreateDir, storage.count(Op::CreateDir), Fault::NoSpace);
    problem(&client.put("/topics/more", ""), 507, "storage_full");
    assert_eq!(client.post_text("/topics/t", &long).status, 200, "there is space again");
    end(fixture, client);
}

#[test]
fn damage_is_said_without_a_path() {
    let options = LogOptions { recent_bytes_max: 0, cache_bytes_max: 0, ..LogOptions::default() };
    let (fixture, mut client, storage) = on_faulty(options);
    let segment = fixture.log.dir().join("t/0/00000000000000000000.seg");
    storage.corrupt(&segment, 64 + 48 + 1, 0x40).unwrap();
    let answer = client.fetch("/topics/t/0");
    problem(&answer, 500, "corrupt");
    assert!(!answer.text().contains("seg"), "{}", answer.text());
    storage.corrupt(&segment, 64 + 48 + 1, 0x40).unwrap();
    storage.fail(Op::Read, storage.count(Op::Read), Fault::Io);
    problem(&client.fetch("/topics/t/0"), 500, "storage_failed");
    assert_eq!(client.fetch("/topics/t/0").status, 200);
    end(fixture, client);
}

#[test]
fn more_than_may_wait_is_refused() {
    let fixture = Fixture::with_options(LogOptions { queue_bytes_max: 1, ..LogOptions::default() });
    let mut client = fixture.client();
    assert_eq!(client.put("/topics/t", "").status, 201);
    // All that comes in one turn waits for the same write, and only one of them may.
    let pipelined = request("POST", "/topics/t?acks=none", &[], b"x").repeat(20);
    client.send(pipelined);
    let answers: Vec<_> = (0..20).map(|_| client.answer()).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!((1..20).contains(&refused.len()), "{} refused", refused.len());
    for answer in refused {
        assert_eq!(problem(answer, 429, "overloaded")["retry_after_ms"], 100);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    end(fixture, client);
}

#[test]
fn a_closed_log_says_so() {
    let (fixture, mut client) = with_topic();
    let (done, closed) = mpsc::channel();
    let log = fixture.log.clone();
    let close = move || {
        sws::runtime::go("close", move || {
            log.close();
            done.send(()).unwrap();
        });
    };
    fixture.server.handles()[0].invoke(close).unwrap();
    closed.recv_timeout(common::PATIENCE).unwrap();
    problem(&client.post_text("/topics/t", "x"), 503, "closed");
    problem(&client.post_json("/topics/t", r#"{"records":[{"text":"x"}]}"#), 503, "closed");
    problem(&client.fetch("/topics/t/0"), 503, "closed");
    problem(&client.fetch("/topics/t"), 503, "closed");
    problem(&client.fetch("/topics"), 503, "closed");
    problem(&client.put("/topics/u", ""), 503, "closed");
    end(fixture, client);
}

#[test]
fn topics_are_listed_made_and_deleted() {
    let (fixture, mut client) = with_topic();
    assert_eq!(client.put("/topics/t", r#"{"partitions":2}"#).status, 200, "it is there, and the same");
    problem(&client.put("/topics/t", r#"{"partitions":3}"#), 409, "exists");
    assert_eq!(
        problem(&client.put("/topics/u", r#"{"partitions":0}"#), 400, "bad_request")["field"],
        "config"
    );
    let unknown = problem(&client.put("/topics/u", r#"{"partitons":1}"#), 400, "bad_request");
    assert!(unknown["detail"].as_str().unwrap().contains("partitons"));
    for name in ["a%23b", "%2A", "a%0Ab", &"n".repeat(201)] {
        assert_eq!(
            problem(&client.put(&format!("/topics/{name}"), ""), 400, "bad_request")["field"],
            "topic"
        );
    }
    let made = json(&client.put("/topics/a", r#"{"compact":true,"retention_ms":1000}"#), 201);
    assert_eq!((&made["topic"], &made["config"]["compact"]), (&"a".into(), &true.into()));
    let list = json(&client.fetch("/topics"), 200);
    let names: Vec<_> = list["topics"].as_array().unwrap().iter().map(|topic| &topic["topic"]).collect();
    assert_eq!(names, ["a", "t"]);
    assert_eq!(list["topics"][1]["partitions"][0]["high"], 1);
    assert_eq!(client.ask("DELETE", "/topics/t", &[], b"").status, 204);
    problem(&client.fetch("/topics/t/0"), 404, "unknown_topic");
    end(fixture, client);

    let fixture = Fixture::with_options(LogOptions { topics_max: 1, ..LogOptions::default() });
    let mut client = fixture.client();
    assert_eq!(client.put("/topics/one", "").status, 201);
    problem(&client.put("/topics/two", ""), 409, "too_many_topics");
    end(fixture, client);
}

#[test]
fn who_is_asked_says_who_may() {
    let may = |ctx: &sws::Context, topic: &str, access: Access| {
        let asked = format!("{access:?} {}", if topic.is_empty() { "of all" } else { topic });
        match ctx.header("x-may") == Some(asked.as_str()) {
            true => Ok(()),
            false => Err(Response::text(asked).with_status(StatusCode::FORBIDDEN)),
        }
    };
    let fixture = Fixture::new(move |routes| routes.admin(true).access(may));
    let mut client = fixture.client();
    for (method, path, asked, status) in [
        ("GET", "/topics", "Admin of all", 200),
        ("PUT", "/topics/a%2Fb", "Admin a/b", 201),
        ("POST", "/topics/a%2Fb", "Write a/b", 200),
        ("GET", "/topics/a%2Fb/0", "Read a/b", 200),
        ("GET", "/topics/a%2Fb", "Read a/b", 200),
        ("DELETE", "/topics/a%2Fb", "Admin a/b", 204),
    ] {
        let refused = client.ask(method, path, &[("X-May", "nothing")], b"");
        assert_eq!((refused.status, refused.text()), (403, asked), "{method} {path}");
        assert_eq!(client.ask(method, path, &[("X-May", asked)], b"").status, status, "{method} {path}");
    }
    end(fixture, client);
}

#[test]
fn a_token_is_asked_for() {
    let folder = fixture::Folder::new();
    let (log, _) = Log::open(&folder.0).unwrap();
    let router = move || {
        let routes = LogRoutes::new(log.clone()).admin(true).into_router();
        Router::new().get("/", || "open").nest("/topics", routes.layer(bearer_token("s3cret")))
    };
    let server = Server::bind("127.0.0.1:0").unwrap().spawn(router).unwrap();
    let mut client = Client::connect(server.addr());
    assert_eq!(client.get("/").text(), "open");
    for (value, challenge) in [
        (None, "Bearer"),
        (Some("Basic czNjcmV0"), "Bearer"),
        (Some("Bearer s3cre"), "Bearer error=\"invalid_token\""),
        (Some("Bearer s3crets"), "Bearer error=\"invalid_token\""),
        (Some("Bearer "), "Bearer"),
    ] {
        let headers: Vec<_> = value.map(|value| ("Authorization", value)).into_iter().collect();
        for path in ["/topics/t", "/topics/not/a/route"] {
            let answer = client.ask("POST", path, &headers, b"x");
            problem(&answer, 401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some(challenge), "{value:?}");
        }
    }
    let token = [("authorization", "bearer s3cret")];
    assert_eq!(client.ask("PUT", "/topics/t", &token, b"").status, 201);
    assert_eq!(client.ask("POST", "/topics/t", &token, b"x").status, 200);
    drop(client);
    server.shutdown();
}
