//! The example that sends events.

use crate::program::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// One set of numbers, with its id.
struct Numbers {
    id: u64,
    json: serde_json::Value,
}

/// A page's stream.
struct Page {
    lines: BufReader<TcpStream>,
}

impl Page {
    fn open(server: &Server, headers: &str) -> Page {
        let mut stream = server.connect();
        let request = format!("GET /events HTTP/1.1\r\nHost: example\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("it takes the request");
        let mut page = Page { lines: BufReader::new(stream) };
        assert_eq!(page.line(), "HTTP/1.1 200 OK");
        let mut is_event_stream = false;
        loop {
            match page.line().as_str() {
                "" => break,
                line => is_event_stream |= line.eq_ignore_ascii_case("content-type: text/event-stream"),
            }
        }
        assert!(is_event_stream);
        page
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line in time");
        assert!(line.ends_with('\n'), "the stream ended in {line:?}");
        line.trim_end().to_owned()
    }

    fn numbers(&mut self) -> Numbers {
        let (mut id, mut json, mut name) = (None, None, None);
        loop {
            let line = self.line();
            match line.split_once(": ") {
                None if line.is_empty() && json.is_some() => break,
                Some(("id", value)) => id = value.parse().ok(),
                Some(("data", value)) => json = serde_json::from_str(value).ok(),
                Some(("event", value)) => name = Some(value.to_owned()),
                _ => {}
            }
        }
        assert_eq!(name.as_deref(), Some("numbers"));
        Numbers { id: id.expect("an id"), json: json.expect("an object") }
    }
}

#[test]
fn dashboard_sse() {
    let server = Server::start("dashboard_sse");
    let answer = server.get("/");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.text().contains("new EventSource(\"/events\")"));

    let mut first = Page::open(&server, "");
    let (one, two) = (first.numbers(), first.numbers());
    assert_eq!(two.id, one.id + 1);
    assert_eq!(two.json["viewers"], 1);
    assert!(two.json["memory_kb"].as_u64().is_some_and(|kb| kb > 1000), "{}", two.json);
    // Each number that the page shows is sent.
    let names = answer.text().split("const TILES = [").nth(1).and_then(|rest| rest.split("];").next());
    let names =
        names.expect("the list of the page").lines().filter_map(|line| line.trim().strip_prefix("[\""));
    let names: Vec<_> = names.filter_map(|line| line.split('"').next()).collect();
    assert!(names.len() >= 5 && names.iter().all(|name| two.json[name].is_u64()), "{names:?}: {}", two.json);

    let mut again = Page::open(&server, &format!("Last-Event-ID: {}\r\n", one.id));
    assert_eq!(again.numbers().id, two.id, "what it has missed comes first");
    let mut fresh = Page::open(&server, "");
    assert_eq!(fresh.numbers().id, one.id, "a new page gets what is kept");
    drop((first, again));

    // The server's end ends the stream, in order.
    let reader = std::thread::spawn(move || fresh.lines.read_to_end(&mut Vec::new()));
    server.stop();
    reader.join().expect("a reader").expect("an end in order");
}
