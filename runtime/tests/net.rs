//! Sockets on the ring, against each other and against those of std.
#![cfg(not(sws_sim))]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use sws_runtime::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use sws_runtime::{Cancelled, Config, Runtime, go, listen_tcp, timeout, yield_now};

fn on_fiber<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    Runtime::new(Config::default()).expect("a runtime").block_on_fiber(f)
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().expect("a literal address")
}

/// Both ends of a connection over TCP.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(any_port()).expect("a port");
    let address = listener.local_addr().expect("bound");
    let client = go("client", move || TcpStream::connect(address).expect("connects"));
    let (server, peer) = listener.accept().expect("accepts");
    let client = client.join().expect("connects");
    assert_eq!(client.local_addr().expect("bound"), peer);
    assert_eq!(client.peer_addr().expect("connected"), server.local_addr().expect("bound"));
    (client, server)
}

fn is_cancelled(error: &io::Error) -> bool {
    Cancelled::is_in(error)
}

#[test]
fn megabytes_go_both_ways_at_once() {
    const LEN: usize = 4 << 20;
    on_fiber(|| {
        let (client, server) = pair();
        let pattern = |seed: usize| (0..LEN).map(|n| (n * 31 + n / 251 + seed) as u8).collect::<Vec<u8>>();
        let mut tasks = Vec::new();
        for (seed, stream) in [(1, client), (2, server)] {
            let mut writer = stream.try_clone().expect("a clone");
            tasks.push(go("writer", move || {
                writer.write_all(&pattern(seed)).expect("written");
                writer.shutdown(Shutdown::Write).expect("ends");
            }));
            tasks.push(go("reader", move || {
                let mut bytes = Vec::new();
                (&stream).read_to_end(&mut bytes).expect("read");
                assert!(bytes == pattern(3 - seed));
            }));
        }
        tasks.into_iter().for_each(|task| task.join().expect("ends"));
    });
}

#[test]
fn a_read_out_of_time_loses_nothing() {
    on_fiber(|| {
        let (mut client, mut server) = pair();
        client.set_read_timeout(Some(Duration::from_millis(2))).expect("set");
        let mut bytes = [0; 8];
        for round in 0..20u8 {
            assert_eq!(client.read(&mut bytes).expect_err("nothing there").kind(), ErrorKind::TimedOut);
            server.write_all(&[round; 3]).expect("written");
            client.set_read_timeout(None).expect("set");
            client.read_exact(&mut bytes[..3]).expect("read");
            assert_eq!(bytes[..3], [round; 3]);
            client.set_read_timeout(Some(Duration::from_millis(1))).expect("set");
        }
        let zero = client.set_read_timeout(Some(Duration::ZERO)).expect_err("no time");
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_timeout_around_a_read_ends_it() {
    on_fiber(|| {
        let (mut client, _server) = pair();
        let mut kind = None;
        let result = timeout(Duration::from_millis(2), || {
            kind = client.read(&mut [0]).err().map(|error| error.kind());
        });
        assert!(result.is_err());
        assert_eq!(kind, Some(ErrorKind::TimedOut));
    });
}

#[test]
fn a_write_out_of_time_says_so_and_what_was_written_arrives() {
    on_fiber(|| {
        let (mut client, server) = pair();
        client.set_write_timeout(Some(Duration::from_millis(5))).expect("set");
        let chunk = vec![7u8; 64 * 1024];
        let mut written = 0;
        let error = loop {
            match client.write(&chunk) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(client);
        let mut bytes = Vec::new();
        (&server).read_to_end(&mut bytes).expect("read");
        assert_eq!(bytes.len(), written);
    });
}

#[test]
fn connections_that_cannot_be_made_fail() {
    on_fiber(|| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        assert_eq!(TcpStream::connect(free).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
        // One connection fills this queue; the next one gets no answer.
        let deaf = listen_tcp(any_port(), false, 0).expect("a port");
        let address = deaf.local_addr().expect("bound");
        let _first = TcpStream::connect(address).expect("connects");
        let error = TcpStream::connect_timeout(address, Duration::from_millis(20)).expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let absent = UnixStream::connect("/nowhere/at/all").expect_err("absent");
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        let long = UnixStream::connect("x".repeat(200)).expect_err("too long");
        assert_eq!(long.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_shutdown_ends_the_read_of_another_fiber() {
    on_fiber(|| {
        let (client, _server) = pair();
        let reader = client.try_clone().expect("a clone");
        let waiting = go("reader", move || (&reader).read(&mut [0]).expect("the end"));
        yield_now().expect("not cancelled");
        client.shutdown(Shutdown::Both).expect("ends");
        assert_eq!(waiting.join().expect("ends"), 0);
        let error = (&client).write(b"x").expect_err("it was shut down");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_clone_may_be_dropped_while_another_waits() {
    on_fiber(|| {
        let (client, mut server) = pair();
        let reader = client.try_clone().expect("a clone");
        let waiting = go("reader", move || {
            let mut bytes = [0; 4];
            (&reader).read_exact(&mut bytes).expect("read");
            bytes
        });
        yield_now().expect("not cancelled");
        drop(client);
        server.write_all(b"late").expect("written");
        assert_eq!(&waiting.join().expect("ends"), b"late");
        // With the reader gone the last handle is, and the connection is closed.
        assert_eq!(server.read(&mut [0]).expect("the end"), 0);
    });
}

#[test]
fn a_cancelled_read_gives_its_buffer_back_and_leaves_the_stream_whole() {
    on_fiber(|| {
        let (client, mut server) = pair();
        let reader = client.try_clone().expect("a clone");
        let waiting = go("reader", move || {
            let mut bytes = [1u8; 16];
            let first = (&reader).read(&mut bytes).expect_err("cancelled");
            let second = (&reader).read(&mut bytes).expect_err("still cancelled");
            (is_cancelled(&first), is_cancelled(&second), bytes)
        });
        yield_now().expect("not cancelled");
        waiting.cancel();
        assert_eq!(waiting.join().expect("ends"), (true, true, [1; 16]));
        server.write_all(b"for the next").expect("written");
        let mut bytes = [0; 12];
        (&client).read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"for the next");
    });
}

#[test]
fn incoming_ends_with_its_fiber() {
    on_fiber(|| {
        let listener = TcpListener::bind(any_port()).expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = go("server", move || {
            let mut count = 0;
            for stream in listener.incoming() {
                stream.expect("accepted").write_all(b"!").expect("written");
                count += 1;
            }
            count
        });
        for _ in 0..5 {
            let mut text = String::new();
            TcpStream::connect(address).expect("connects").read_to_string(&mut text).expect("read");
            assert_eq!(text, "!");
        }
        server.cancel();
        assert_eq!(server.join().expect("ends"), 5);
    });
}

#[test]
fn sockets_of_std_are_taken_over_also_non_blocking_ones() {
    on_fiber(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("bound");
        let listener = TcpListener::try_from(listener).expect("taken over");
        let accepted = go("server", move || {
            let (mut stream, _) = listener.accept().expect("accepted");
            stream.write_all(b"welcome").expect("written");
        });
        let plain = std::net::TcpStream::connect(address).expect("connects");
        plain.set_nonblocking(true).expect("set");
        let mut stream = TcpStream::try_from(plain).expect("taken over");
        stream.set_nodelay(true).expect("set");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        assert_eq!(text, "welcome");
        accepted.join().expect("ends");
    });
}

#[test]
fn datagrams_keep_their_bounds_and_their_senders() {
    on_fiber(|| {
        let one = UdpSocket::bind(any_port()).expect("a port");
        let other = UdpSocket::bind(any_port()).expect("a port");
        let (a, b) = (one.local_addr().expect("bound"), other.local_addr().expect("bound"));
        let receiver = other.try_clone().expect("a clone");
        let waiting = go("receiver", move || {
            let mut buffer = [0; 4];
            (0..3)
                .map(|_| {
                    let (count, from) = receiver.recv_from(&mut buffer).expect("received");
                    assert_eq!(from, a);
                    buffer[..count].to_vec()
                })
                .collect::<Vec<_>>()
        });
        yield_now().expect("not cancelled");
        for data in [&b"ab"[..], b"", b"too long"] {
            assert_eq!(one.send_to(data, b).expect("sent"), data.len());
        }
        assert_eq!(waiting.join().expect("ends"), [b"ab".to_vec(), vec![], b"too ".to_vec()]);
        one.connect(b).expect("connected");
        other.connect(a).expect("connected");
        assert_eq!(one.peer_addr().expect("connected"), b);
        other.send(b"back").expect("sent");
        let mut buffer = [0; 8];
        assert_eq!(one.recv(&mut buffer).expect("received"), 4);
        one.set_read_timeout(Some(Duration::from_millis(2))).expect("set");
        assert_eq!(one.recv(&mut buffer).expect_err("no more").kind(), ErrorKind::TimedOut);
        assert_eq!(one.recv_from(&mut buffer).expect_err("no more").kind(), ErrorKind::TimedOut);
        drop(other);
        one.set_read_timeout(None).expect("set");
        one.send(b"nobody").expect("sent");
        assert_eq!(one.recv(&mut buffer).expect_err("refused").kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn unix_sockets_have_a_path() {
    let path = std::env::temp_dir().join(format!("sws-net-unix-{}", std::process::id()));
    let listening = path.clone();
    on_fiber(move || {
        let listener = UnixListener::bind(&listening).expect("bound");
        assert_eq!(listener.local_addr().expect("bound").as_pathname(), Some(listening.as_path()));
        let server = go("server", move || {
            let mut count = 0;
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepted");
                let mut text = String::new();
                stream.read_to_string(&mut text).expect("read");
                stream.write_all(text.to_uppercase().as_bytes()).expect("written");
                count += 1;
            }
            count
        });
        for text in ["one", "two"] {
            let mut client = UnixStream::connect(&listening).expect("connects");
            assert!(client.local_addr().expect("an address").is_unnamed());
            assert_eq!(client.peer_addr().expect("an address").as_pathname(), Some(listening.as_path()));
            client.write_all(text.as_bytes()).expect("written");
            client.shutdown(Shutdown::Write).expect("ends");
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("read");
            assert_eq!(answer, text.to_uppercase());
        }
        server.cancel();
        assert_eq!(server.join().expect("ends"), 2);
        let (mut one, other) = UnixStream::pair().expect("a pair");
        one.set_read_timeout(Some(Duration::from_millis(2))).expect("set");
        assert_eq!(one.read(&mut [0]).expect_err("nothing").kind(), ErrorKind::TimedOut);
        drop(other);
        assert_eq!(one.read(&mut [0]).expect("the end"), 0);
    });
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn an_empty_read_or_write_waits_for_nothing() {
    on_fiber(|| {
        let (client, _server) = pair();
        assert_eq!((&client).read(&mut []).expect("nothing"), 0);
        assert_eq!((&client).write(&[]).expect("nothing"), 0);
    });
}

#[test]
#[should_panic(expected = "only a fiber can wait")]
fn a_socket_off_a_fiber_says_so() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let (mut one, _other) = UnixStream::pair().expect("a pair");
    let _ = runtime.enter(|| one.read(&mut [0]));
}
