//! Topics that the log keeps.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use sws_content::log::*;
use sws_runtime::{
    Config, Conn, Data, Encoding, EventHandler, Handle, Replay, Runtime, TopicOptions, Topics,
};

/// `sub TOPIC`, `behind TOPIC SEQUENCE`, `pub TOPIC TEXT`, each a line; messages come as they are.
struct Lines;

impl EventHandler for Lines {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        let end = data.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for line in std::str::from_utf8(&data[..end]).expect("text").to_owned().lines() {
            obey(conn, line);
        }
        end
    }
}

fn obey(conn: &mut Conn<'_, ()>, line: &str) {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    match words[..] {
        ["sub", topic] => {
            conn.subscribe(topic, Encoding::RAW).expect("a subscriber");
            conn.send(b"ok\n").expect("room");
        }
        ["behind", topic, sequence] => {
            let sequence = sequence.parse().expect("a number");
            let replay = conn.subscribe_behind(topic, Encoding::RAW, sequence).expect("a subscriber");
            let Replay { missed, .. } = replay;
            conn.send(format!("missed {missed}\n").as_bytes()).expect("room");
        }
        ["pub", topic, text] => {
            sws_runtime::topics().publish(topic, format!("{text}\n")).expect("taken in");
        }
        _ => panic!("{line}"),
    }
}

struct Server {
    addr: SocketAddr,
    handle: Handle,
    thread: std::thread::JoinHandle<()>,
}

/// Serves with the log in a folder, whose topics `room/*` are kept.
fn serve(folder: &PathBuf) -> Server {
    let (log, report) = Log::open(folder).expect("a log");
    assert_eq!(report.damage().count(), 0);
    let topics = Topics::default();
    topics.configure("room/*", TopicOptions::default().history(3).durable(log.clone()));
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = Runtime::new(Config { topics: Some(topics), ..Config::default() }).expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        runtime.listen(listener, Lines);
        sender.send((addr, runtime.handle())).expect("somebody waits");
        runtime.run();
        drop(log);
    });
    let (addr, handle) = receiver.recv().expect("it runs");
    Server { addr, handle, thread }
}

impl Server {
    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.addr).expect("a connection");
        Client { reader: BufReader::new(stream.try_clone().expect("a clone")), stream }
    }

    fn stop(self) {
        self.handle.shutdown();
        self.thread.join().expect("no panic");
    }
}

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn send(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("sent");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

#[test]
fn what_is_published_is_kept_and_its_history_survives() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{}", std::process::id()));
    let server = serve(&folder);
    let mut ada = server.client();
    ada.send("sub room/1");
    assert_eq!(ada.line(), "ok");
    let mut bob = server.client();
    for n in 0..5 {
        bob.send(&format!("pub room/1 message {n}"));
    }
    for n in 0..5 {
        assert_eq!(ada.line(), format!("message {n}"));
    }
    drop((ada, bob));
    server.stop();

    let server = serve(&folder);
    let mut eve = server.client();
    eve.send("sub room/1");
    assert_eq!([eve.line(), eve.line(), eve.line()], ["message 2", "message 3", "message 4"]);
    assert_eq!(eve.line(), "ok");
    let mut late = server.client();
    late.send("behind room/1 4");
    assert_eq!([late.line(), late.line()], ["message 4", "missed false"]);
    late.send("pub room/1 message 5");
    assert_eq!(late.line(), "message 5");
    assert_eq!(eve.line(), "message 5");
    drop((eve, late));
    server.stop();

    let (log, report) = Log::open(&folder).expect("a log");
    assert_eq!((report.records(), report.bytes_cut()), (6, 0));
    drop(log);
    std::fs::remove_dir_all(&folder).expect("taken away");
}

#[test]
fn a_subscriber_behind_memory_is_told_and_gets_nothing() {
    let topics = Topics::default();
    let message = |number: u64| {
        let mut publication = sws_runtime::Publication::from(format!("{number}\n"));
        publication.sequence = number;
        publication
    };
    topics.restore("t", 12, (10..=12).map(message).collect());
    let runtime =
        Runtime::new(Config { topics: Some(topics.clone()), ..Config::default() }).expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    runtime.listen(listener, Lines);
    let handle = runtime.handle();
    let clients = std::thread::spawn(move || {
        let server = Server { addr, handle, thread: std::thread::spawn(|| {}) };
        let mut client = server.client();
        for (behind, missed) in [(0, true), (8, true), (13, true)] {
            client.send(&format!("behind t {behind}"));
            assert_eq!(client.line(), format!("missed {missed}"), "{behind}");
        }
        client.send("behind t 9");
        assert_eq!([client.line(), client.line(), client.line()], ["10", "11", "12"]);
        assert_eq!(client.line(), "missed false");
        topics.deliver("t", vec![message(13)]);
        assert_eq!(client.line(), "13");
        let mut exact = server.client();
        exact.send("behind t 13");
        assert_eq!(exact.line(), "missed false");
        server.stop();
    });
    runtime.run();
    clients.join().expect("no panic");
}
