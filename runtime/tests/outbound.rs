//! The outbound ring: its operations complete, end and wake the loop like those of the main one.
#![cfg(not(sws_sim))]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use sws_runtime::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use sws_runtime::{Cancelled, Config, Lane, Runtime, go, sleep, stats, yield_now};

fn runtime() -> Runtime {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    runtime.attach_outbound().expect("an outbound ring");
    runtime
}

/// A connection whose end on the fiber's side is on the outbound ring.
fn pair() -> (UnixStream, StdUnixStream) {
    let (near, far) = StdUnixStream::pair().expect("a pair");
    (UnixStream::try_from(near).expect("taken over").with_lane(Lane::Outbound), far)
}

/// Spins until a thread of this process sleeps in the kernel.
fn wait_until_asleep(thread: i32) {
    let path = format!("/proc/self/task/{thread}/stat");
    loop {
        let stat = std::fs::read_to_string(&path).expect("the thread lives");
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        if state == Some('S') {
            return;
        }
        thread::yield_now();
    }
}

/// The loop sleeps on its main ring without a time limit, and nothing else is to come there; only the completion on the
/// outbound ring can wake it. The fiber has its byte within the few turns that this takes, and, at the median, within a
/// millisecond of the write that completes it.
#[test]
fn a_completion_wakes_an_idle_main_ring_within_a_millisecond() {
    const ROUNDS: usize = 300;
    let (mut latencies, turns) = runtime().block_on_fiber(|| {
        let (mut near, mut far) = pair();
        let (ask, asked) = mpsc::channel();
        let start = Instant::now();
        let written_at = Arc::new(AtomicU64::new(0));
        let time = Arc::clone(&written_at);
        // SAFETY: takes nothing.
        let loop_thread = unsafe { libc::gettid() };
        let writer = thread::spawn(move || {
            for () in asked {
                wait_until_asleep(loop_thread);
                time.store(start.elapsed().as_nanos() as u64, Ordering::SeqCst);
                far.write_all(b"x").expect("written");
            }
        });
        let mut latencies = Vec::with_capacity(ROUNDS);
        let mut turns_max = 0;
        for _ in 0..ROUNDS {
            let turns = stats().turns;
            ask.send(()).expect("the writer lives");
            near.read_exact(&mut [0]).expect("read");
            let written_at = Duration::from_nanos(written_at.load(Ordering::SeqCst));
            latencies.push(start.elapsed() - written_at);
            turns_max = turns_max.max(stats().turns - turns);
        }
        drop(ask);
        writer.join().expect("ends");
        (latencies, turns_max)
    });
    latencies.sort_unstable();
    let (median, late) = (latencies[ROUNDS / 2], latencies[ROUNDS * 99 / 100]);
    println!("write to fiber on the outbound ring: median {median:?}, p99 {late:?}, at most {turns} turns");
    assert!(
        turns <= 4,
        "one to be told and one to run the fiber, and as many for what the round before has left: {turns}"
    );
    assert!(median < Duration::from_millis(1), "median {median:?}");
}

#[test]
fn an_idle_outbound_ring_makes_no_turns() {
    runtime().block_on_fiber(|| {
        let (mut near, mut far) = pair();
        let waiting = go("waiting", move || near.read(&mut [0]).expect("read"));
        yield_now().expect("not cancelled");
        let turns = stats().turns;
        sleep(Duration::from_millis(100)).expect("not cancelled");
        let idle = stats().turns - turns;
        assert!(idle < 5, "{idle} turns of nothing");
        far.write_all(b"x").expect("written");
        assert_eq!(waiting.join().expect("ends"), 1);
    });
}

#[test]
fn both_rings_work_side_by_side() {
    runtime().block_on_fiber(|| {
        let listener = TcpListener::bind("127.0.0.1:0".parse().expect("literal")).expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = go("server", move || {
            let mut echoes = Vec::new();
            for _ in 0..40 {
                let (mut stream, _) = listener.accept().expect("accepted");
                echoes.push(go("echo", move || {
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes).expect("read");
                    stream.write_all(&bytes).expect("written");
                }));
            }
            echoes.into_iter().for_each(|echo| echo.join().expect("ends"));
        });
        let clients: Vec<_> = (0..40u8)
            .map(|n| {
                let lane = if n % 2 == 0 { Lane::Outbound } else { Lane::Main };
                go("client", move || {
                    let mut stream = TcpStream::connect_on(lane, address).expect("connects");
                    let question = vec![n; 100_000];
                    stream.write_all(&question).expect("written");
                    stream.shutdown(std::net::Shutdown::Write).expect("ends");
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).expect("read");
                    assert!(answer == question);
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("ends"));
        server.join().expect("ends");
    });
}

#[test]
fn datagrams_go_over_the_outbound_ring() {
    runtime().block_on_fiber(|| {
        let any = "127.0.0.1:0".parse().expect("literal");
        let one = UdpSocket::bind(any).expect("a port").with_lane(Lane::Outbound);
        let other = UdpSocket::bind(any).expect("a port").with_lane(Lane::Outbound);
        for n in 0..200u8 {
            one.send_to(&[n; 3], other.local_addr().expect("bound")).expect("sent");
            let mut buffer = [0; 8];
            let (count, from) = other.recv_from(&mut buffer).expect("received");
            assert_eq!((&buffer[..count], from), (&[n; 3][..], one.local_addr().expect("bound")));
        }
    });
}

#[test]
fn waits_on_the_outbound_ring_end_by_time_and_by_cancellation() {
    runtime().block_on_fiber(|| {
        let (mut near, mut far) = pair();
        near.set_read_timeout(Some(Duration::from_millis(2))).expect("set");
        assert_eq!(near.read(&mut [0]).expect_err("nothing").kind(), ErrorKind::TimedOut);
        near.set_read_timeout(None).expect("set");
        let clone = near.try_clone().expect("a clone");
        let waiting = go("waiting", move || (&clone).read(&mut [0]).expect_err("cancelled"));
        yield_now().expect("not cancelled");
        waiting.cancel();
        let error = waiting.join().expect("ends");
        assert!(Cancelled::is_in(&error), "{error}");
        far.write_all(b"x").expect("written");
        assert_eq!(near.read(&mut [0, 0]).expect("nothing was lost"), 1);
    });
}

#[test]
fn a_worker_without_an_outbound_ring_says_so() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    runtime.block_on_fiber(|| {
        let (mut near, _far) = pair();
        assert_eq!(near.write(b"x").expect_err("no ring").raw_os_error(), Some(libc::ENODEV));
    });
    runtime.attach_outbound().expect("attached later");
    runtime.attach_outbound().expect("a second time changes nothing");
    runtime.block_on_fiber(|| {
        let (mut near, mut far) = pair();
        near.write_all(b"x").expect("written");
        far.read_exact(&mut [0]).expect("read");
    });
}

#[test]
fn a_worker_ends_while_a_fiber_waits_on_its_outbound_ring() {
    let runtime = runtime();
    let (near, mut far) = pair();
    runtime.block_on_fiber(move || {
        go("waiting", move || {
            let mut near = near;
            near.read(&mut [0]).expect_err("cancelled")
        });
        yield_now().expect("not cancelled");
    });
    drop(runtime);
    assert_eq!(far.read(&mut [0]).expect("the end: the fiber's stream is gone"), 0);
}
