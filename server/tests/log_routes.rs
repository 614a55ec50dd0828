//! The log over HTTP, on real sockets: producing, fetching, and the topics themselves.

mod common;
#[path = "log_routes/fixture.rs"]
mod fixture;

use fixture::{Ask, Fixture, json, texts};
use sws::content::log::TopicConfig;

#[test]
fn what_is_produced_is_fetched() {
    let fixture = Fixture::admin();
    let mut client = fixture.client();
    assert_eq!(client.put("/topics/orders", "").status, 201);
    let answer = client.post_text("/topics/orders", "two tickets");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text(), r#"{"topic":"orders","partition":0,"offset":0,"count":1,"duplicate":false}"#);
    let answer = client.post_json("/topics/orders", r#"{"text":"one \"more\"","key":"user-7","timestamp":32503680000000}"#);
    assert_eq!(json(&answer, 200)["offset"], 1);
    let fetched = json(&client.fetch("/topics/orders/0?offset=0"), 200);
    assert_eq!(texts(&fetched), ["two tickets", "one \"more\""]);
    assert_eq!((&fetched["low"], &fetched["high"], &fetched["next"]), (&0.into(), &2.into(), &2.into()));
    assert_eq!(fetched["records"][0]["key"], serde_json::Value::Null);
    assert_eq!(fetched["records"][1]["key"], "user-7");
    assert_eq!(fetched["records"][1]["timestamp"], 32_503_680_000_000_u64);
    drop(client);
    fixture.end();
}

#[test]
fn topics_are_made_by_who_produces_if_that_is_wanted() {
    let fixture = Fixture::new(|routes| routes.create_on_produce(TopicConfig::default()));
    let mut client = fixture.client();
    assert_eq!(json(&client.post_text("/topics/new", "first"), 200)["offset"], 0);
    assert_eq!(client.put("/topics/other", "").status, 405, "there is no admin");
    assert_eq!(client.fetch("/topics").status, 404);
    drop(client);
    fixture.end();
}
