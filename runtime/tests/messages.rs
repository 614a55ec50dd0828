//! Whole messages, and connections that go from one handler to another.
#![cfg(not(sws_sim))]

use bytes::Bytes;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use sws_runtime::*;

/// Runs a worker with what `setup` adds to it, until the client is done.
fn serve(
    setup: impl FnOnce(&Runtime, TcpListener) + Send + 'static,
    client: impl FnOnce(SocketAddr),
) -> Stats {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (sender, receiver) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        let runtime = Runtime::new(Config::default()).expect("a runtime");
        setup(&runtime, listener);
        sender.send(runtime.handle()).expect("the test waits");
        runtime.run();
        runtime.stats()
    });
    let handle = receiver.recv().expect("the worker runs");
    client(addr);
    handle.shutdown();
    worker.join().expect("the worker does not panic")
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the worker listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// Sends back what comes in capitals, with the name that the greeting gave.
struct Shout;

impl EventHandler for Shout {
    type Workspace = [u8; 8];

    fn on_open(&mut self, _conn: &mut Conn<'_, [u8; 8]>) {
        panic!("a connection that is handed over is not opened again");
    }

    fn on_data(&mut self, conn: &mut Conn<'_, [u8; 8]>, data: &Data<'_>) -> usize {
        let mut answer = conn.workspace().to_vec();
        answer.extend(data.to_ascii_uppercase());
        conn.send(&answer).expect("there is room");
        data.len()
    }
}

/// Takes a name of eight bytes and leaves the rest to another.
struct Greeting {
    then: HandlerId<[u8; 8]>,
}

impl EventHandler for Greeting {
    type Workspace = u8;

    fn on_data(&mut self, conn: &mut Conn<'_, u8>, data: &Data<'_>) -> usize {
        let Some(name) = data.first_chunk::<8>() else { return 0 };
        conn.hand_over(self.then, *name);
        assert!(!conn.is_ours());
        assert_eq!(conn.workspace(), 0, "the state is the other's");
        8
    }

    fn on_close(&mut self, _conn: &mut Conn<'_, u8>) {
        panic!("the connection is the other's");
    }
}

#[test]
fn the_rest_of_the_input_is_the_next_handlers() {
    let setup = |runtime: &Runtime, listener| {
        let then = runtime.add_handler(Shout);
        runtime.listen(listener, Greeting { then });
    };
    let stats = serve(setup, |addr| {
        let mut stream = connect(addr);
        stream.write_all(b"Ada:").expect("sent");
        stream.write_all(b"....hello").expect("sent");
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"Ada:....HELLO");
        stream.write_all(b"more").expect("sent");
        stream.read_exact(&mut answer[..12]).expect("an answer");
        assert_eq!(&answer[..12], b"Ada:....MORE");
    });
    assert_eq!(stats.panics, 0);
}

/// For a byte, messages of 10 KB with its number and plain bytes between them; then it closes.
struct Mixed {
    messages: usize,
}

impl EventHandler for Mixed {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        conn.set_overflow(16 << 20, Overflow::Refuse);
        for n in 0..self.messages {
            match n % 3 {
                0 => conn.push_message(&message(n), 0).expect("within the bound"),
                1 => conn.write_message(10_000, |out| out.extend(message(n))).expect("within the bound"),
                _ if conn.pending_output() < 32_000 => conn.send(&message(n)).expect("within the bound"),
                _ => conn.push_message(&message(n), 0).expect("within the bound"),
            }
        }
        conn.close();
        assert_eq!(conn.push_message(&message(0), 0), Err(SendError::Closed));
        data.len()
    }
}

fn message(n: usize) -> Bytes {
    format!("{n:09}\n{}", "x".repeat(9990)).into()
}

#[test]
fn messages_that_wait_keep_their_order_and_leave_before_a_close() {
    const MESSAGES: usize = 1000;
    serve(
        |runtime, listener| {
            runtime.listen(listener, Mixed { messages: MESSAGES });
        },
        |addr| {
            let mut stream = connect(addr);
            stream.write_all(b"!").expect("sent");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("the server closes");
            assert_eq!(all.len(), MESSAGES * 10_000);
            for (n, bytes) in all.chunks(10_000).enumerate() {
                assert!(bytes == message(n), "message {n} is not in its place");
            }
        },
    );
}

/// Queues messages until one is refused; with a higher bound one more is taken.
struct Bounded;

impl EventHandler for Bounded {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        conn.set_overflow(50_192, Overflow::Refuse);
        let taken = (0..100).take_while(|&n| conn.push_message(&message(n), 0).is_ok()).count();
        // Three of them wait behind the output.
        assert_eq!((taken, conn.pending_output()), (5, 50_000 + 3 * 64));
        conn.set_overflow(60_192, Overflow::Refuse);
        assert_eq!(conn.push_message(&message(taken), 0), Ok(()));
        conn.close();
        data.len()
    }
}

#[test]
fn messages_over_the_bound_are_refused_and_counted() {
    let setup = |runtime: &Runtime, listener| {
        runtime.listen(listener, Bounded);
    };
    let stats = serve(setup, |addr| {
        let mut stream = connect(addr);
        stream.write_all(b"!").expect("sent");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("the server closes");
        assert!(all == (0..6).flat_map(message).collect::<Vec<u8>>());
    });
    assert_eq!(stats.messages_refused, 1);
}

/// Queues messages of two bytes until one is refused.
struct Tiny;

impl EventHandler for Tiny {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        conn.set_overflow(64_000, Overflow::Refuse);
        let tiny = Bytes::from_static(b"x\n");
        let taken = (0..100_000).take_while(|_| conn.push_message(&tiny, 0).is_ok()).count();
        conn.send(format!("{taken}\n").as_bytes()).expect("the output has room");
        conn.close();
        data.len()
    }
}

#[test]
fn a_message_that_waits_counts_more_than_its_bytes() {
    let setup = |runtime: &Runtime, listener| {
        runtime.listen(listener, Tiny);
    };
    serve(setup, |addr| {
        let mut stream = connect(addr);
        stream.write_all(b"!").expect("sent");
        let mut all = String::new();
        stream.read_to_string(&mut all).expect("the server closes");
        let taken = all.lines().find_map(|line| line.parse::<usize>().ok()).expect("the number");
        assert_eq!(all.lines().filter(|line| *line == "x").count(), taken);
        // Half of the bound is output, in which messages are bytes; what waits costs memory for each.
        assert!((16_000..16_600).contains(&taken), "{taken} messages were taken");
    });
}

/// Takes away what others have queued.
struct Thief;

impl EventHandler for Thief {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        conn.send(b"queued").expect("there is room");
        conn.write_with(10, |out| out.clear()).expect("there is room");
        data.len()
    }
}

#[test]
fn output_that_a_closure_takes_away_ends_the_connection() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (addr, handle) = (listener.local_addr().expect("bound"), runtime.handle());
    runtime.listen(listener, Thief);
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).expect("connects");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
        stream.write_all(b"x").expect("sends");
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        handle.shutdown();
        (end.is_ok() || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset), rest)
    });
    runtime.run();
    assert_eq!(client.join().expect("the client ends"), (true, Vec::new()));
    assert_eq!(runtime.stats().buffer_bytes, 0);
}
