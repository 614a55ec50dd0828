//! Faults of the application's own functions.

use super::*;

#[test]
fn a_panic_in_the_words_of_presence_costs_the_event_only() {
    let topics = Topics::default();
    let options = TopicOptions::default().presence_with(|event| {
        assert!(event.member != "Eve", "no words for Eve");
        Publication::from(format!("{}{}", if event.joined { '+' } else { '-' }, event.member))
    });
    topics.configure("*", options);
    let server = Server::start(topics, 1);
    let [mut ada, mut eve] = [server.client(0), server.client(0)];
    ada.ask("join r Ada");
    assert_eq!(ada.message(), "0:+Ada");
    assert_eq!(eve.ask("join r Eve"), "Ok(())");
    assert_eq!(eve.ask("join own Eve"), "Ok(())");
    assert_eq!(server.topics.member_count("r"), 2);
    drop(eve);
    while server.topics.member_count("r") + server.topics.member_count("own") > 1 {
        yield_now();
    }
    assert_eq!(server.topics.members("r"), [("Ada".into(), 1)]);
    assert_eq!(ada.ask("join r Bob"), "Ok(())");
    assert_eq!(ada.messages(2), ["0:-Ada", "0:+Bob"]);
    drop(ada);
    server.await_subscribers("r", 0);
    assert_eq!(server.stop().remove(0).topics, 0);
}

thread_local! {
    /// The first connection of the worker.
    static FIRST: std::cell::Cell<Option<ConnId>> = const { std::cell::Cell::new(None) };
}

/// Publishes each byte that comes to a topic; a `-` to all but its sender, who then gets the others one by one.
struct Bytewise {
    encoding: Encoding,
}

impl EventHandler for Bytewise {
    type Workspace = ();

    fn on_open(&mut self, conn: &mut Conn<'_, ()>) {
        FIRST.set(FIRST.get().or(Some(conn.id())));
        conn.subscribe("t", self.encoding).expect("a topic more");
    }

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        for byte in data.iter() {
            match byte {
                b'-' => conn.publish_to_others("t", "-").expect("there is room"),
                _ => topics().publish("t", vec![*byte]).expect("there is room"),
            }
        }
        data.len()
    }
}

/// Two clients of a worker whose encoding is this; the first sends the bytes, and the second gets the end of what comes of them.
fn encode_with(encoding: impl Fn(&Publication, &mut Vec<u8>) + Send + 'static, sent: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (sender, receiver) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        let runtime = Runtime::new(Config::default()).expect("a runtime");
        let encoding = runtime.add_encoding(encoding);
        runtime.listen(listener, Bytewise { encoding });
        sender.send((runtime.handle(), runtime.topics())).expect("the test waits");
        runtime.run();
    });
    let (handle, topics) = receiver.recv().expect("the worker runs");
    let mut streams = [(); 2].map(|()| TcpStream::connect(addr).expect("the worker listens"));
    while topics.subscribers("t") < 2 {
        yield_now();
    }
    streams[0].write_all(sent).expect("sent");
    streams[0].write_all(b"!").expect("sent");
    streams[1].set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut last = [0];
    while last[0] != b'!' {
        streams[1].read_exact(&mut last).expect("something comes");
    }
    handle.shutdown();
    worker.join().expect("the worker does not panic");
}

#[test]
fn an_encoding_that_takes_bytes_back_stops_nothing() {
    let shrink = |publication: &Publication, out: &mut Vec<u8>| {
        if &publication.payload[..] == b"c" {
            out.clear();
        } else {
            out.extend_from_slice(&publication.payload);
        }
    };
    encode_with(shrink, b"ab-cab");
}

#[test]
fn nobody_comes_or_goes_within_a_delivery() {
    let encode = |publication: &Publication, out: &mut Vec<u8>| {
        let asked = FIRST.get().and_then(|id| {
            with_conn(id, |conn: &mut Conn<'_, ()>| {
                (conn.subscribe("other", Encoding::RAW), conn.unsubscribe("t"), conn.is_subscribed("t"))
            })
        });
        // A panic would cost the message, for which the test waits.
        assert_eq!(asked, Some((Err(SubscribeError::Delivering), false, true)));
        out.extend_from_slice(&publication.payload);
    };
    encode_with(encode, b"ab");
}

#[test]
fn an_encoding_that_publishes_without_end_leaves_others_their_turns() {
    encode_with(
        |publication, out| {
            out.extend_from_slice(&publication.payload);
            if &publication.payload[..] == b"x" {
                // A mailbox that is full ends it too.
                let _ = topics().publish("t", vec![b'x']);
            }
        },
        b"x",
    );
}
