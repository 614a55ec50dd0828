//! Requests of one segment, which one fiber serves one behind the other: none sees anything of the one before it.

mod common;

use common::{Client, get, post, settle, start};
use std::time::Duration;
use sws::runtime::{FiberId, cancel_fiber, current_fiber, sleep};
use sws::{Context, Next, Response, Router};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

struct Left;

/// Leaves all that a handler can leave behind.
fn leave(ctx: &mut Context) -> &'static str {
    ctx.extensions_mut().insert(Left);
    ctx.set_body_bytes_max(1);
    "left"
}

fn look(ctx: &mut Context) -> String {
    let found = ctx.extensions().get::<Left>().is_some();
    format!("{found} {} {}", ctx.body_bytes_max() > 1, ctx.param("number").unwrap_or("none"))
}

fn plant(ctx: &mut Context) -> &'static str {
    ctx.extensions_mut().insert(Bomb);
    "planted"
}

/// Makes itself known by an id, and cancels whoever was known before.
fn cancel_before(ctx: &mut Context) -> String {
    let known = ctx.state::<std::cell::Cell<Option<FiberId>>>();
    let own = current_fiber();
    let before = known.replace(own);
    if let Some(before) = before {
        cancel_fiber(before);
    }
    let slept = sleep(Duration::from_millis(1)).is_ok();
    format!("{} {slept}", before == own)
}

/// Is known by an id, and does not wait.
fn be_known(ctx: &mut Context) -> &'static str {
    ctx.state::<std::cell::Cell<Option<FiberId>>>().set(current_fiber());
    "known"
}

fn mark(ctx: &mut Context, next: Next<'_>) -> Response {
    if ctx.request().query() == Some("mark") {
        ctx.set_header("x-mark", "here");
    }
    next.run(ctx)
}

fn router() -> Router {
    Router::new()
        .get("/leave", leave)
        .get("/look", look)
        .get("/look/{number}", look)
        .get("/plant", plant)
        .get("/cancel", cancel_before)
        .get("/known", be_known)
        .get("/panic", || -> &'static str { panic!("asked for") })
        .get("/large", || "x".repeat(10_000))
        .get("/sleep", || sleep(Duration::from_millis(5)).map_or("cancelled", |()| "slept"))
        .post("/echo", |body: sws::Bytes| body)
        .with_state(std::cell::Cell::new(None::<FiberId>))
        .layer(mark)
}

#[test]
fn nothing_is_left_for_the_next_request() {
    let server = start(router);
    let asks = ["/look/7", "/leave?mark", "/look", "/look/8", "/look?mark", "/look"];
    let bytes: String = asks.iter().map(|path| get(path)).collect();
    let mut client = Client::asking(server.addr(), bytes);
    let expected = [
        ("false true 7", None),
        ("left", Some("here")),
        ("false true none", None),
        ("false true 8", None),
        ("false true none", Some("here")),
        ("false true none", None),
    ];
    for (text, mark) in expected {
        let answer = client.answer();
        assert_eq!((answer.text(), answer.header("x-mark")), (text, mark));
    }
    drop(client);
    settle(server);
}

#[test]
fn every_kind_of_request_has_its_turn() {
    let server = start(router);
    let bytes = [
        get("/look"),
        get("/panic"),
        get("/look/1"),
        get("/plant"),
        get("/look/2"),
        post("/echo", "body"),
        get("/large"),
        get("/look/3"),
        get("/sleep"),
        get("/look/4"),
        get("/nowhere"),
        get("/look/5"),
    ];
    for cut in [0, 1, 7] {
        let bytes = bytes.concat();
        let (first, last) = bytes.split_at(bytes.len() - cut);
        let mut client = Client::asking(server.addr(), first);
        client.send(last);
        let statuses_and_starts = [
            (200, "false true none"),
            (500, "Internal"),
            (200, "false true 1"),
            (200, "planted"),
            (200, "false true 2"),
            (200, "body"),
            (200, "xxx"),
            (200, "false true 3"),
            (200, "slept"),
            (200, "false true 4"),
            (404, "Not Found"),
            (200, "false true 5"),
        ];
        for (status, start) in statuses_and_starts {
            let answer = client.answer();
            assert_eq!(answer.status, status, "{start}");
            assert!(answer.text().starts_with(start), "{} is not {start}", answer.text());
        }
    }
    settle(server);
}

#[test]
fn a_fiber_that_is_known_serves_no_other_request() {
    let server = start(router);
    let bytes = [get("/known"), get("/cancel"), get("/known"), get("/cancel"), get("/look")];
    let mut client = Client::asking(server.addr(), bytes.concat());
    for text in ["known", "false true", "known", "false true", "false true none"] {
        assert_eq!(client.answer().text(), text);
    }
    drop(client);
    settle(server);
}
