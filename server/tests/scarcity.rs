//! What many slow requests at once must not take from the others.

mod common;

use common::{Client, get, settle};
use std::time::Duration;
use sws::runtime::{BufferConfig, Config, RingConfig, sleep};
use sws::{Bytes, Router, Server};

fn few_buffers() -> Config {
    let buffers = BufferConfig { count: 4, count_max: 8, size: 4096, incremental: false };
    Config { ring: RingConfig { buffers: Some(buffers), ..RingConfig::default() }, ..Config::default() }
}

#[test]
fn suspended_handlers_do_not_make_the_worker_deaf() {
    let server = Server::bind("127.0.0.1:0").expect("a port").config(few_buffers());
    let server = server
        .spawn(|| {
            Router::new()
                .get("/", || "here")
                .get("/sleep", || sleep(Duration::from_millis(300)).map_or("cancelled", |()| "slept"))
                .post("/body", |body: Bytes| body)
        })
        .expect("it starts");
    let mut sleeping: Vec<Client> = (0..50).map(|_| Client::asking(server.addr(), get("/sleep"))).collect();
    let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n";
    let mut waiting: Vec<Client> = (0..50).map(|_| Client::asking(server.addr(), head)).collect();
    let mut other = Client::asking(server.addr(), get("/"));
    assert_eq!(other.answer().body, b"here");
    for client in &mut waiting {
        client.send(b"body");
        assert_eq!(client.answer().body, b"body");
    }
    for client in &mut sleeping {
        assert_eq!(client.answer().body, b"slept");
    }
    drop((sleeping, waiting, other));
    settle(server);
}
