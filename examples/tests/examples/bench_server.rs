//! The routes of `bench_server` that comparisons rely on, byte for byte.

use crate::program::Server;

#[test]
fn answers_exactly() {
    let server = Server::start("bench_server");
    let plaintext = server.get("/plaintext");
    assert_eq!((plaintext.status, plaintext.text()), (200, "Hello, World!"));
    let json = server.get("/json");
    assert_eq!(json.text(), r#"{"message":"Hello, World!"}"#);
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.header("content-length"), Some("27"));
    assert_eq!(server.get("/user/42").text(), "42");
    assert_eq!(server.get("/user/a%20b").text(), "a b");
    server.stop();
}

#[test]
fn echoes() {
    let server = Server::start("bench_server");
    let body: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    assert_eq!(server.ask("POST", "/echo", "", &body).body, body);
    assert_eq!(server.ask("POST", "/echo", "", b"").body, b"");
    assert_eq!(server.get("/echo").status, 405);
    server.stop();
}

#[test]
fn any_method_gets_its_body_back() {
    let server = Server::start("bench_server");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY"] {
        let answer = server.ask(method, "/any/where/at/all?x=1", "", b"the body");
        assert_eq!((answer.status, answer.text()), (200, "the body"), "{method}");
    }
    let head = server.ask("HEAD", "/any/thing", "", b"the body");
    assert_eq!((head.status, head.text()), (200, ""));
    server.stop();
}

#[test]
fn heavy_work_has_one_result() {
    let server = Server::start("bench_server");
    let inline = server.get("/heavy/inline");
    assert_eq!(inline.status, 200);
    assert!(inline.text().parse::<u64>().is_ok(), "{inline:?}");
    assert_eq!(server.get("/heavy/submit").text(), inline.text());
    server.stop();
}
