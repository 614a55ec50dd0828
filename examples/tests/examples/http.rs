//! The examples that speak HTTP.

use crate::program::{Answer, Server};
use std::io::{Read, Write};

#[test]
fn hello() {
    let server = Server::start("hello");
    assert_eq!(server.get("/").text(), "Hello, World!\n");
    assert_eq!(server.get("/Ada").text(), "Hello, Ada!\n");
    server.stop();
}

#[test]
fn orders() {
    let data = std::env::temp_dir().join(format!("sws-example-orders-{}", std::process::id()));
    let args = ["--listen", "127.0.0.1:0", "--data", data.to_str().expect("text")];
    let server = Server::start_with("orders", &args);
    // The topic is made as the server begins: until it is, there is none.
    let first = loop {
        let answer = server.ask("POST", "/orders", "", b"two tickets");
        if answer.status != 404 {
            break answer;
        }
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    };
    assert_eq!((first.status, first.text()), (200, "order 0\n"));
    server.stop();
    let server = Server::start_with("orders", &args);
    assert_eq!(server.ask("POST", "/orders", "", b"a programme").text(), "order 1\n");
    assert_eq!(server.get("/orders").text(), "two tickets\na programme\n");
    server.stop();
    std::fs::remove_dir_all(data).expect("it is there");
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn json_api() {
    let server = Server::start("json_api");
    assert_eq!(server.get("/notes").text(), "[]");

    let made = server.ask("POST", "/notes", JSON, br#"{"text":"buy milk","tag":"home"}"#);
    assert_eq!((made.status, made.header("location")), (201, Some("/notes/1")));
    assert_eq!(made.text(), r#"{"id":1,"text":"buy milk","tag":"home"}"#);
    assert_eq!(server.ask("POST", "/notes", JSON, br#"{"text":"call Ada"}"#).status, 201);

    assert_eq!(server.get("/notes/2").text(), r#"{"id":2,"text":"call Ada","tag":""}"#);
    assert_eq!(server.get("/notes?tag=home").text(), format!("[{}]", made.text()));

    let deleted = server.ask("DELETE", "/notes/1", "", b"");
    assert_eq!((deleted.status, deleted.text()), (204, ""));
    assert_eq!(server.get("/notes?tag=home").text(), "[]");
    server.stop();
}

#[test]
fn json_api_answers_mistakes() {
    let server = Server::start("json_api");
    let no_note = server.get("/notes/7");
    assert_eq!((no_note.status, no_note.text()), (404, r#"{"error":"there is no note 7"}"#));
    assert_eq!(server.get("/notes/seven").status, 400);
    assert_eq!(server.ask("POST", "/notes", "", b"{}").status, 415);
    assert_eq!(server.ask("POST", "/notes", JSON, b"{").status, 400);
    let misfit = server.ask("POST", "/notes", JSON, b"{}");
    assert_eq!((misfit.status, misfit.header("content-type")), (422, Some("application/json")));
    assert!(misfit.text().contains("missing field `text`"), "{misfit:?}");
    let other = server.ask("PUT", "/notes", JSON, b"{}");
    assert_eq!(other.status, 405);
    server.stop();
}

#[test]
fn go_and_submit() {
    let server = Server::start("go_and_submit");
    assert_eq!(server.get("/primes/100").text(), "25 primes below 100\n");
    assert_eq!(server.get("/primes/5000001").status, 400);
    assert_eq!(server.get("/greetings").text(), "near says hello\nfar says hello\n");
    server.stop();
}

/// As many jobs wait for the device as there are cores, so a job that kept its worker would leave none for the others.
#[test]
fn go_and_submit_keeps_no_worker_for_a_device() {
    let server = Server::start("go_and_submit");
    let cores = std::thread::available_parallelism().expect("a count").get();
    let mut waiting: Vec<_> = (0..cores).map(|_| server.send("GET", "/device", "", b"")).collect();
    assert_eq!(server.get("/primes/1000").text(), "168 primes below 1000\n");
    assert_eq!(server.ask("POST", "/device", "", b"").status, 204);
    for stream in &mut waiting {
        assert_eq!(Answer::read(stream).text(), "result 1\n");
    }
    server.stop();
}

#[test]
fn deferred() {
    let server = Server::start("deferred");
    assert_eq!(server.get("/print/3").text(), "3 pages, 3 in all\n");
    assert_eq!(server.get("/print/4").text(), "4 pages, 7 in all\n");
    assert_eq!(server.get("/print/0").status, 500, "dropped unanswered");
    assert_eq!(server.get("/print/many").status, 400);
    server.stop();
}

#[test]
fn streaming() {
    let server = Server::start("streaming");
    let counted = server.get("/count/3");
    assert_eq!(counted.text(), "1\n2\n3\n");
    assert_eq!(counted.header("transfer-encoding"), Some("chunked"));
    let numbers = server.get("/count/100000").body;
    assert_eq!(server.ask("PUT", "/lines", "", &numbers).text(), "100000 lines, 588895 bytes\n");

    let mut stream = server.connect();
    stream
        .write_all(b"POST /lines HTTP/1.1\r\nHost: example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("it takes the head");
    for chunk in ["4\r\na\nb\n\r\n", "1\r\nc\r\n", "0\r\n\r\n"] {
        stream.write_all(chunk.as_bytes()).expect("it takes a chunk");
    }
    assert_eq!(Answer::read(&mut stream).text(), "2 lines, 5 bytes\n");
    server.stop();
}

/// A client that does not read stops the writer: long before the end of this body, and with the server free for others.
#[test]
fn streaming_waits_for_a_slow_reader() {
    let server = Server::start("streaming");
    let mut slow = server.send("GET", "/count/1000000000", "", b"");
    slow.read_exact(&mut [0; 4096]).expect("it has begun");
    let mut written = String::new();
    for _ in 0..500 {
        written = server.get("/progress").text().to_owned();
    }
    let written: u64 = written.parse().expect("a number");
    assert!((1..20_000_000).contains(&written), "{written} of 1000000000 numbers are written");
    assert!(peak_memory(server.program.id()) < 100 << 20);
    drop(slow);
    server.stop();
}

/// An upload that is much larger than the memory that it takes.
#[test]
fn streaming_reads_in_constant_memory() {
    let server = Server::start("streaming");
    let upload = vec![b'\n'; 200 << 20];
    let answer = server.ask("POST", "/lines", "", &upload);
    assert_eq!(answer.text(), "209715200 lines, 209715200 bytes\n");
    assert!(peak_memory(server.program.id()) < 100 << 20);
    server.stop();
}

/// The most bytes that a process has had resident.
fn peak_memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn static_site() {
    let server = Server::start("static_site");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("station");
    let types = [
        ("index.html", "text/html; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("img/year.png", "image/png"),
        ("data/constituents.json", "application/json"),
    ];
    for (path, media_type) in types {
        let answer = server.get(&format!("/{path}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)), "{path}");
        assert!(answer.body == std::fs::read(folder.join(path)).expect("a file of the site"), "{path}");
    }
    assert_eq!(server.get("/").body, server.get("/index.html").body);
    assert_eq!(server.get("/tides").status, 308);

    let gone = server.get("/no/such/page");
    assert_eq!(gone.status, 404);
    assert!(gone.body == std::fs::read(folder.join("404.html")).expect("the site's own page"));

    let whole = server.get("/style.css");
    let tag = format!("If-None-Match: {}\r\n", whole.header("etag").expect("an entity tag"));
    assert_eq!(server.ask("GET", "/style.css", &tag, b"").status, 304);
    let part = server.ask("GET", "/style.css", "Range: bytes=10-19\r\n", b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &whole.body[10..20]));

    assert!(server.get("/whoami").text().starts_with("You come from 127.0.0.1:"));
    server.stop();
}
