//! The callback protocol over real sockets.
#![cfg(not(sws_sim))]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::*;

#[derive(Default)]
struct Log {
    opened: usize,
    closed: usize,
    ended: usize,
}

/// Sends back what comes, and notes what happens.
struct Echo {
    log: Rc<RefCell<Log>>,
}

impl EventHandler for Echo {
    type Workspace = u64;

    fn on_open(&mut self, conn: &mut Conn<'_, u64>) {
        self.log.borrow_mut().opened += 1;
        assert_eq!(conn.workspace(), 0);
    }

    fn on_data(&mut self, conn: &mut Conn<'_, u64>, data: &Data<'_>) -> usize {
        conn.set_workspace(conn.workspace() + data.len() as u64);
        conn.send(data).expect("room for an echo");
        data.len()
    }

    fn on_end(&mut self, conn: &mut Conn<'_, u64>) {
        self.log.borrow_mut().ended += 1;
        conn.close();
    }

    fn on_close(&mut self, _conn: &mut Conn<'_, u64>) {
        self.log.borrow_mut().closed += 1;
    }
}

/// Runs a worker with one handler, made on its thread, until the clients are done.
fn serve<H: EventHandler>(
    config: Config,
    make: impl FnOnce() -> H + Send + 'static,
    clients: impl FnOnce(SocketAddr, &Handle),
) -> Stats {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (sender, receiver) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        let runtime = Runtime::new(config).expect("a runtime");
        runtime.listen(listener, make());
        sender.send(runtime.handle()).expect("the test waits");
        runtime.run();
        runtime.stats()
    });
    let handle = receiver.recv().expect("the worker starts");
    clients(addr, &handle);
    handle.shutdown();
    worker.join().expect("the worker ends well")
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream
}

#[test]
fn echoes_to_many_and_releases_every_slot() {
    let stats = serve(
        Config::default(),
        || Echo { log: Rc::default() },
        |addr, _| {
            let mut peers: Vec<TcpStream> = (0..100).map(|_| connect(addr)).collect();
            for round in 0..10u8 {
                for peer in &mut peers {
                    peer.write_all(&[round; 1000]).expect("sends");
                }
                for peer in &mut peers {
                    let mut answer = [0; 1000];
                    peer.read_exact(&mut answer).expect("an echo");
                    assert_eq!(answer, [round; 1000]);
                }
            }
        },
    );
    assert_eq!((stats.accepted, stats.closed, stats.connections), (100, 100, 0));
    assert_eq!(stats.receive_buffers.leases, 0);
    assert_eq!(stats.buffer_bytes, 0);
}

/// Leaves what comes to a fiber, which takes it at the third try.
struct Fumbling;

impl EventHandler for Fumbling {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, _data: &Data<'_>) -> usize {
        let id = conn.id();
        go("fumbling", move || {
            let take = |f: fn(&[u8]) -> usize| {
                let take = || with_conn::<(), _>(id, |conn| conn.take_input(f));
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(take)).is_err()
            };
            let refused = [take(|_| panic!("as asked")), take(|input| input.len() + 1)];
            with_conn::<(), _>(id, |conn| {
                let mut bytes = Vec::new();
                let taken = conn.take_input(|input| {
                    bytes.extend_from_slice(input);
                    input.len()
                });
                assert_eq!((refused, taken), ([true; 2], bytes.len()));
                conn.send(&bytes).expect("room for an echo");
                conn.close();
            });
        });
        0
    }
}

#[test]
fn input_that_nobody_took_is_still_there() {
    let stats = serve(
        Config::default(),
        || Fumbling,
        |addr, _| {
            let mut peer = connect(addr);
            peer.write_all(b"all of it").expect("sends");
            let mut answer = String::new();
            peer.read_to_string(&mut answer).expect("an echo, then the end");
            assert_eq!(answer, "all of it");
        },
    );
    assert_eq!((stats.connections, stats.buffer_bytes), (0, 0));
}

#[test]
fn half_close_gets_its_answer() {
    serve(
        Config::default(),
        || Echo { log: Rc::default() },
        |addr, _| {
            let mut peer = connect(addr);
            peer.write_all(b"last words").expect("sends");
            peer.shutdown(std::net::Shutdown::Write).expect("half-closes");
            let mut answer = String::new();
            peer.read_to_string(&mut answer).expect("an echo, then the end");
            assert_eq!(answer, "last words");
        },
    );
}

#[test]
fn a_large_echo_goes_through_short_writes() {
    let mut config = Config::default();
    config.limits.output_bytes_max = 64 << 20;
    serve(
        config,
        || Echo { log: Rc::default() },
        |addr, _| {
            let peer = connect(addr);
            let mut writer = peer.try_clone().expect("two ends");
            let sent: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
            let expected = sent.clone();
            let sending = std::thread::spawn(move || writer.write_all(&sent).expect("sends"));
            let mut answer = vec![0; expected.len()];
            (&peer).read_exact(&mut answer).expect("all of it");
            assert!(answer == expected);
            sending.join().expect("sent");
        },
    );
}

/// Takes lines; what is no line yet stays.
struct Lines;

impl EventHandler for Lines {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        let Some(end) = data.iter().position(|&byte| byte == b'\n') else { return 0 };
        conn.send(&data[..=end]).expect("room");
        if end + 1 < data.len() {
            conn.resume_input();
        }
        end + 1
    }
}

#[test]
fn what_is_not_taken_is_given_again() {
    serve(
        Config::default(),
        || Lines,
        |addr, _| {
            let mut peer = connect(addr);
            for byte in b"one\ntwo\nthree\n" {
                peer.write_all(&[*byte]).expect("sends");
            }
            let mut answer = [0; 14];
            peer.read_exact(&mut answer).expect("three lines");
            assert_eq!(&answer, b"one\ntwo\nthree\n");
            peer.write_all(b"a\nb\nc\nd").expect("sends");
            let mut answer = [0; 6];
            peer.read_exact(&mut answer).expect("three lines");
            assert_eq!(&answer, b"a\nb\nc\n");
        },
    );
}

/// Lets 5,000 bytes come, which is over the bound, takes 1,900 and then wants 4,000 at once.
struct Slices;

impl EventHandler for Slices {
    type Workspace = u8;

    fn on_data(&mut self, conn: &mut Conn<'_, u8>, data: &Data<'_>) -> usize {
        let step = conn.workspace();
        let (wanted, taken) = [(5_000, 0), (5_000, 1_900), (4_000, 4_000)][usize::from(step)];
        if data.len() < wanted {
            return 0;
        }
        conn.set_workspace(step + 1);
        match step {
            0 => conn.resume_input(),
            1 => conn.send(b"more").expect("room"),
            _ => {
                conn.send(b"done").expect("room");
                conn.close();
            }
        }
        taken
    }
}

#[test]
fn receiving_goes_on_for_a_handler_that_wants_most_of_the_bound() {
    let limits = Limits { input_bytes_max: 4096, ..Limits::default() };
    serve(
        Config { limits, ..Config::default() },
        || Slices,
        |addr, _| {
            let (mut peer, mut answer) = (connect(addr), [0; 4]);
            peer.write_all(&[1; 5_000]).expect("sends");
            peer.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"more");
            peer.write_all(&[2; 900]).expect("sends");
            peer.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"done");
        },
    );
}

#[test]
fn a_full_pool_pauses_and_resumes() {
    let mut config = Config::default();
    config.limits.connections_max = 4;
    let stats = serve(
        config,
        || Echo { log: Rc::default() },
        |addr, _| {
            for _ in 0..5 {
                let mut peers: Vec<TcpStream> = (0..8).map(|_| connect(addr)).collect();
                for peer in &mut peers {
                    peer.write_all(b"x").expect("sends");
                }
                for mut peer in peers {
                    let mut answer = [0];
                    peer.read_exact(&mut answer).expect("an echo, in time");
                }
            }
        },
    );
    assert_eq!(stats.accepted, 40);
    assert!(stats.connections_high_water <= 4);
    assert!(stats.turns < 2000, "accept did not spin: {} turns", stats.turns);
}

#[test]
fn quiet_connections_are_held_by_a_poll_and_still_heard() {
    let mut config = Config::default();
    config.limits.quiet_after = Duration::from_millis(20);
    let stats = serve(
        config,
        || Echo { log: Rc::default() },
        |addr, handle| {
            let mut peers: Vec<TcpStream> = (0..20).map(|_| connect(addr)).collect();
            for _ in 0..3 {
                wait_until(handle, |stats| stats.quieted >= 20);
                for peer in &mut peers {
                    peer.write_all(b"hello").expect("sends");
                    let mut answer = [0; 5];
                    peer.read_exact(&mut answer).expect("an echo");
                }
            }
        },
    );
    assert!(stats.quieted >= 20);
    assert_eq!(stats.closed, 20);
}

/// Asks the worker until its counts are as wanted.
fn wait_until(handle: &Handle, wanted: impl Fn(&Stats) -> bool + Send + Copy + 'static) {
    for _ in 0..10_000 {
        let (sender, receiver) = std::sync::mpsc::channel();
        handle.invoke(move || sender.send(wanted(&stats())).expect("the test waits")).expect("runs");
        if receiver.recv().expect("an answer") {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the worker never came to the state that was waited for");
}

/// Closes whoever is silent for 50 ms.
struct Impatient;

impl EventHandler for Impatient {
    type Workspace = ();

    fn on_open(&mut self, conn: &mut Conn<'_, ()>) {
        conn.set_deadline(Some(Duration::from_millis(50)));
    }

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        conn.set_deadline(Some(Duration::from_millis(50)));
        data.len()
    }
}

#[test]
fn a_deadline_closes_the_silent() {
    serve(
        Config::default(),
        || Impatient,
        |addr, _| {
            let mut peer = connect(addr);
            assert_eq!(peer.read(&mut [0; 1]).expect("an end, not a timeout"), 0);
        },
    );
}

/// Says who it is to everybody but the one who asked.
struct Crowd;

impl EventHandler for Crowd {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        conn.broadcast(data, false);
        data.len()
    }
}

#[test]
fn a_broadcast_reaches_all_but_the_sender() {
    serve(
        Config::default(),
        || Crowd,
        |addr, handle| {
            let mut peers: Vec<TcpStream> = (0..5).map(|_| connect(addr)).collect();
            wait_until(handle, |stats| stats.connections == 5);
            peers[2].write_all(b"psst").expect("sends");
            for (number, peer) in peers.iter_mut().enumerate() {
                if number != 2 {
                    let mut answer = [0; 4];
                    peer.read_exact(&mut answer).expect("heard");
                    assert_eq!(&answer, b"psst");
                }
            }
            peers[2].set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
            assert!(peers[2].read(&mut [0; 4]).is_err(), "the sender hears nothing");
        },
    );
}

#[test]
fn an_id_of_a_gone_client_does_not_reach_its_successor() {
    let mut config = Config::default();
    config.limits.connections_max = 1;
    thread_local! { static FIRST: RefCell<Option<ConnId>> = const { RefCell::new(None) }; }
    struct First;
    impl EventHandler for First {
        type Workspace = ();
        fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
            let first = FIRST.with(|first| *first.borrow_mut().get_or_insert(conn.id()));
            let reached = with_conn::<(), _>(first, |conn| conn.send(b"reached").is_ok());
            if reached.is_none() {
                conn.send(b"nobody.").expect("room");
            }
            data.len()
        }
    }
    serve(
        config,
        || First,
        |addr, _| {
            for expected in [b"reached", b"nobody."] {
                let mut peer = connect(addr);
                peer.write_all(b"x").expect("sends");
                let mut answer = [0; 7];
                peer.read_exact(&mut answer).expect("an answer");
                assert_eq!(&answer, expected);
            }
        },
    );
}

#[test]
fn a_drain_closes_idle_connections_and_ends() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let stats = serve(
        Config::default(),
        || Echo { log: Rc::default() },
        move |addr, handle| {
            let peers: Vec<TcpStream> = (0..10).map(|_| connect(addr)).collect();
            wait_until(handle, |stats| stats.connections == 10);
            handle.shutdown();
            sender.send(peers).expect("kept open");
        },
    );
    for mut peer in receiver.recv().expect("the peers") {
        assert_eq!(peer.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    assert_eq!(stats.connections, 0);
}

/// Keeps its connection through a drain until the peer ends it.
struct Stays;

impl EventHandler for Stays {
    type Workspace = u64;

    fn on_data(&mut self, conn: &mut Conn<'_, u64>, data: &Data<'_>) -> usize {
        conn.send(data).expect("room for an echo");
        data.len()
    }

    fn on_drain(&mut self, _conn: &mut Conn<'_, u64>) {}

    fn on_end(&mut self, conn: &mut Conn<'_, u64>) {
        conn.close();
    }
}

#[test]
fn a_drain_refuses_new_peers_while_what_runs_is_finished() {
    serve(
        Config::default(),
        || Stays,
        |addr, handle| {
            let mut peer = connect(addr);
            peer.write_all(b"a").expect("sends");
            peer.read_exact(&mut [0]).expect("an echo");
            handle.shutdown();
            // Peers that are in the backlog already are let go with the listener.
            while TcpStream::connect(addr).is_ok() {
                std::thread::yield_now();
            }
            peer.write_all(b"b").expect("sends");
            let mut answer = [0];
            peer.read_exact(&mut answer).expect("it is still served");
            assert_eq!(&answer, b"b");
        },
    );
}

/// Panics at whatever is not a plain letter.
struct Touchy;

impl EventHandler for Touchy {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        assert!(data.iter().all(u8::is_ascii_alphabetic), "on purpose");
        conn.send(data).expect("room");
        data.len()
    }
}

#[test]
fn a_panic_in_a_callback_loses_its_connection_and_nothing_else() {
    serve(
        Config::default(),
        || Touchy,
        |addr, _| {
            let (mut bad, mut good) = (connect(addr), connect(addr));
            bad.write_all(b"1").expect("sends");
            assert_eq!(bad.read(&mut [0; 1]).unwrap_or(0), 0, "closed");
            good.write_all(b"a").expect("sends");
            good.read_exact(&mut [0; 1]).expect("an echo");
        },
    );
}

/// Sends far more than the bound to a peer that does not read.
struct Flood;

impl EventHandler for Flood {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        let piece = [7; 4096];
        let full = (0..100_000).map(|_| conn.send(&piece)).find_map(Result::err);
        assert_eq!(full, Some(SendError::Full), "the bound holds");
        assert!(conn.pending_output() <= 64 * 1024);
        data.len()
    }
}

#[test]
fn a_full_output_is_refused_or_closes_the_connection() {
    for overflow in [Overflow::Refuse, Overflow::Close, Overflow::DropOldest, Overflow::KeepLatest] {
        let mut config = Config::default();
        config.limits.output_bytes_max = 64 * 1024;
        config.limits.output_overflow = overflow;
        serve(
            config,
            || Flood,
            move |addr, handle| {
                let mut peer = connect(addr);
                peer.write_all(b"x").expect("sends");
                match overflow {
                    Overflow::Close => wait_until(handle, |stats| stats.closed == 1),
                    _ => peer.read_exact(&mut [0; 65_536]).expect("what was taken comes"),
                }
            },
        );
    }
}

/// Closes at a line's end without an answer, and sends other lines back.
struct Leaving;

impl EventHandler for Leaving {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        match data.iter().position(|&byte| byte == b'\n') {
            None => 0,
            Some(end) if data[0] == b'Q' => {
                conn.close_lingering();
                end + 1
            }
            Some(end) => {
                conn.send(&data[..=end]).expect("room");
                end + 1
            }
        }
    }
}

#[test]
fn bytes_of_one_connection_never_reach_another() {
    serve(
        Config::default(),
        || Leaving,
        |addr, handle| {
            let mut leaving = connect(addr);
            leaving.write_all(b"Q").expect("sends");
            wait_until(handle, |stats| stats.buffer_bytes > 0);
            leaving.write_all(b"\n").expect("sends");
            assert_eq!(leaving.read(&mut [0; 1]).unwrap_or(0), 0, "closed");
            let (mut first, mut second) = (connect(addr), connect(addr));
            first.write_all(b"secret of the first").expect("sends");
            wait_until(handle, |stats| stats.buffer_bytes >= 512);
            second.write_all(b"b").expect("sends");
            wait_until(handle, |stats| stats.buffer_bytes >= 1024);
            second.write_all(b"\n").expect("sends");
            let mut answer = [0; 2];
            second.read_exact(&mut answer).expect("its own line");
            assert_eq!(&answer, b"b\n");
            second.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
            assert!(second.read(&mut [0; 1]).is_err(), "and no more");
        },
    );
}

/// Panics while it writes its answer, and says so in another.
struct Clumsy;

impl EventHandler for Clumsy {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            conn.write_with(100, |out| -> () {
                out.extend_from_slice(b"half of it");
                panic!("on purpose");
            })
        }));
        assert!(caught.is_err());
        conn.send(b"whole").expect("room");
        data.len()
    }
}

#[test]
fn what_a_panic_left_half_written_is_not_sent() {
    serve(
        Config::default(),
        || Clumsy,
        |addr, _| {
            let mut peer = connect(addr);
            for _ in 0..2 {
                peer.write_all(b"x").expect("sends");
                let mut answer = [0; 5];
                peer.read_exact(&mut answer).expect("an answer");
                assert_eq!(&answer, b"whole");
            }
        },
    );
}
