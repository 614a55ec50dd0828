//! A line protocol on the runtime: answers at once, answers of fibers that sleep, answers in parts.

use crate::answers::Way;
use crate::peers::{self, Expected, Leaving};
use fastrand::Rng;
use std::net::TcpListener;
use std::time::Duration;
use sws_rings::script::{self, Counts, World};
use sws_runtime::{Config, Conn, ConnId, Data, EventHandler, Limits, Runtime, go, sleep, with_conn};

const LINE_BYTES_MAX: usize = 20_000;
/// Output over which a stream waits.
const STREAM_PENDING_MAX: usize = 16 * 1024;
const IDLE: Duration = Duration::from_secs(30);

/// `echo TEXT`, `sleep MS TEXT`, `stream N TEXT`, `bye`; each answer is the text and a line feed, N times for a stream.
struct Lines;

impl EventHandler for Lines {
    /// Whether a fiber answers.
    type Workspace = bool;

    fn on_open(&mut self, conn: &mut Conn<'_, bool>) {
        conn.set_deadline(Some(IDLE));
    }

    fn on_data(&mut self, conn: &mut Conn<'_, bool>, data: &Data<'_>) -> usize {
        conn.set_deadline(Some(IDLE));
        let mut taken = 0;
        while !conn.workspace() && !conn.is_closing() {
            let rest = &data[taken..];
            let Some(len) = rest.iter().position(|byte| *byte == b'\n') else {
                assert!(rest.len() <= LINE_BYTES_MAX);
                break;
            };
            answer(conn, &rest[..len]);
            taken += len + 1;
        }
        if taken == data.len() && conn.is_ended() && !conn.workspace() {
            conn.close();
        }
        taken
    }

    fn on_end(&mut self, conn: &mut Conn<'_, bool>) {
        if conn.workspace() {
            return;
        }
        let mut left = 0;
        conn.take_input(|input| {
            left = input.len();
            0
        });
        match left {
            0 => conn.close(),
            _ => conn.resume_input(),
        }
    }
}

fn write(conn: &mut Conn<'_, bool>, text: &[u8]) {
    let written = conn.write_with(text.len() + 1, |out| {
        out.extend_from_slice(text);
        out.push(b'\n');
    });
    if written.is_err() {
        conn.abort();
    }
}

fn answer(conn: &mut Conn<'_, bool>, line: &[u8]) {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let verb = words.next().unwrap_or_default();
    match verb {
        b"echo" => write(conn, &line[5..]),
        b"bye" => {
            write(conn, b"bye");
            conn.close_lingering();
        }
        b"sleep" | b"stream" => {
            let number = words
                .next()
                .and_then(|word| std::str::from_utf8(word).ok())
                .and_then(|word| word.parse().ok());
            let (number, text) = (number.expect("a number"), words.next().expect("a text").to_vec());
            conn.set_workspace(true);
            let (id, is_sleep) = (conn.id(), verb == b"sleep");
            go("line", move || match is_sleep {
                true => answer_late(id, Duration::from_millis(number), &text),
                false => answer_in_parts(id, number, &text),
            });
        }
        other => panic!("no such verb: {:?}", String::from_utf8_lossy(other)),
    }
}

fn answer_late(id: ConnId, after: Duration, text: &[u8]) {
    if sleep(after).is_ok() {
        with_conn::<bool, _>(id, |conn| write(conn, text));
        go_on(id);
    }
}

fn answer_in_parts(id: ConnId, count: u64, text: &[u8]) {
    for _ in 0..count {
        loop {
            let pending = with_conn::<bool, _>(id, |conn| conn.pending_output());
            match pending {
                None => return,
                Some(bytes) if bytes < STREAM_PENDING_MAX => break,
                Some(_) if sleep(Duration::from_millis(5)).is_err() => return,
                Some(_) => {}
            }
        }
        with_conn::<bool, _>(id, |conn| write(conn, text));
        if sleep(Duration::from_micros(100)).is_err() {
            return;
        }
    }
    go_on(id);
}

fn go_on(id: ConnId) {
    with_conn::<bool, _>(id, |conn| {
        conn.set_workspace(false);
        let mut left = 0;
        conn.take_input(|input| {
            left = input.len();
            0
        });
        match left {
            0 if conn.is_ended() => conn.close(),
            _ => conn.resume_input(),
        }
    });
}

fn config(rng: &mut Rng) -> Config {
    let input_bytes_max = rng.usize(LINE_BYTES_MAX * 2..100_000);
    peers::config(rng, Limits { input_bytes_max, ..Limits::default() })
}

fn peer(rng: &mut Rng, number: usize) -> Expected {
    let (mut stream, mut answers) = (Vec::new(), Vec::new());
    let leaving = Leaving::draw(rng);
    for request in 0..rng.usize(1..20) {
        let mut text = format!("{number}.{request}.").into_bytes();
        let len = *rng.choice(&[0, 10, 300, LINE_BYTES_MAX - 100]).expect("not empty");
        text.resize(text.len() + rng.usize(0..=len), b'a' + (request % 26) as u8);
        text.push(b'\n');
        let (verb, times) = match rng.u8(0..8) {
            0 => (format!("sleep {} ", rng.u32(0..200)), 1),
            1 => {
                let times = rng.usize(0..30);
                (format!("stream {times} "), times)
            }
            _ => ("echo ".to_owned(), 1),
        };
        stream.extend(verb.as_bytes());
        stream.extend(&text);
        answers.push(Way::exactly(text.repeat(times)).into());
    }
    if leaving == Leaving::ByRequest {
        stream.extend(b"bye\necho too late\n");
        answers.push(Way { is_last: true, ..Way::exactly(b"bye\n".to_vec()) }.into());
    }
    peers::add(rng, &stream, answers, leaving)
}

/// One seed.
pub fn run(seed: u64) -> Counts {
    let mut rng = Rng::with_seed(seed);
    World::install(seed, peers::options(&mut rng));
    let runtime = Runtime::new(config(&mut rng)).expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    runtime.listen(listener, Lines);
    let peers: Vec<Expected> = (0..rng.usize(3..=20)).map(|number| peer(&mut rng, number)).collect();
    while !script::with(|world| world.peers_are_done()) {
        runtime.tick();
    }
    peers::add_latecomers(&mut rng);
    runtime.handle().shutdown();
    runtime.run();
    peers::check_stats(seed, &runtime.stats());
    drop(runtime);
    peers.iter().for_each(|peer| peer.check(seed, false));
    let (audit, trace, counts) = script::with(|world| (world.audit(), world.trace(), world.counts()));
    assert!(audit.is_clean(), "seed {seed}: {audit}\n{trace}");
    counts
}
