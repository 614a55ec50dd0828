//! The scripted ring itself: that it repeats, that it injects what it says, and that it finds what it looks for.
#![cfg(sws_sim)]

#[path = "sim_ring/echo.rs"]
mod echo;

use echo::{BREAKING, config, run};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;
use sws_rings::script::{self, Counts, Ending, Fault, Options, Pace, Peer, PeerId, World};
use sws_rings::*;

const SEEDS: u64 = 100;

fn token(kind: OpKind, index: u32) -> Token {
    Token::new(Owner::Slot, kind, index, 1)
}

fn push(ring: &mut Ring, op: Op, token: Token) {
    // SAFETY: every test keeps what its operations name until it ends, and drops the ring before.
    unsafe { ring.push(&op, token) }
}

fn wait_for(ring: &mut Ring, count: usize) -> Vec<Completion> {
    let mut out = Vec::new();
    for _ in 0..1000 {
        ring.submit_and_wait(Wait::one(Some(Duration::from_secs(1))));
        ring.drain(|_| true, &mut out);
        if out.len() >= count {
            break;
        }
    }
    assert!(out.len() >= count, "only {} of {count} completions came", out.len());
    out
}

/// A ring with one accepted connection, on direct descriptor 0.
fn accepted(options: Options, peer: Peer) -> (Ring, TcpListener, PeerId) {
    World::install(1, options);
    let mut ring = Ring::new(&config(1)).expect("a ring");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let peer = script::with(|world| world.add_peer(peer));
    let op = Op::Accept { listener: Descriptor::Raw(listener.as_raw_fd()), direct: true };
    push(&mut ring, op, Token::new(Owner::Watch, OpKind::Accept, 0, 0));
    assert_eq!(wait_for(&mut ring, 1)[0].result, Ok(0));
    (ring, listener, peer)
}

fn hello() -> Peer {
    Peer::connecting_at(Duration::from_millis(1)).sends(vec![(Duration::from_millis(2), b"hello".to_vec())])
}

const FIRST: Descriptor = Descriptor::Direct(0);

#[test]
fn a_seed_repeats_its_run() {
    for seed in 0..10 {
        let (first, second) = (run(seed, Options::hostile(), 20_000), run(seed, Options::hostile(), 20_000));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.counts, second.counts, "seed {seed}");
    }
    assert_ne!(run(1, Options::rough(), usize::MAX).hash, run(3, Options::rough(), usize::MAX).hash);
}

#[test]
fn every_fault_is_injected() {
    let mut counts = Counts::default();
    for seed in 0..SEEDS {
        counts.merge(&run(seed, Options::hostile(), if seed % 3 == 0 { 5_000 } else { usize::MAX }).counts);
    }
    assert_eq!(counts.missing(), []);
}

#[test]
fn a_quiet_world_injects_nothing() {
    let counts = run(1, Options::default(), usize::MAX).counts;
    for fault in Fault::ALL {
        let may_happen =
            matches!(fault, Fault::EndOfStream | Fault::BuffersExhausted | Fault::LateAfterCancel);
        assert!(may_happen || counts[fault] == 0, "{fault:?}");
    }
}

#[test]
fn a_careful_server_answers_whole_and_leaves_nothing() {
    let mut whole = 0;
    for seed in 0..SEEDS {
        let outcome = run(seed, Options::rough(), usize::MAX);
        assert!(outcome.audit.is_clean(), "seed {seed}: {}\n{}", outcome.audit, outcome.trace);
        for (number, (sent, received, ending, interfered)) in outcome.peers.iter().enumerate() {
            assert!(!interfered, "seed {seed}");
            match ending {
                Ending::Fin => {
                    assert_eq!(sent, received, "seed {seed} peer {number}");
                    whole += 1;
                }
                Ending::Reset | Ending::Left => {
                    assert!(sent.starts_with(received), "seed {seed} peer {number}")
                }
                other => panic!("seed {seed} peer {number}: {other:?}\n{}", outcome.trace),
            }
        }
    }
    assert!(whole > SEEDS * 5, "only {whole} peers of 10 in each of {SEEDS} runs saw the end");
}

#[test]
fn broken_connections_are_told_apart() {
    let mut interfered_count = 0;
    for seed in 0..SEEDS {
        let outcome = run(seed, Options::hostile(), usize::MAX);
        assert!(outcome.audit.is_clean(), "seed {seed}: {}\n{}", outcome.audit, outcome.trace);
        let broken: u64 = BREAKING.iter().map(|fault| outcome.counts[*fault]).sum();
        let interfered = outcome.peers.iter().filter(|peer| peer.3).count();
        assert!(interfered as u64 <= broken, "seed {seed}");
        interfered_count += interfered;
        let whole = outcome.peers.iter().filter(|peer| !peer.3 && peer.2 == Ending::Fin);
        whole.for_each(|(sent, received, ..)| assert_eq!(sent, received, "seed {seed}"));
    }
    assert!(interfered_count > 0);
}

#[test]
fn time_is_virtual() {
    World::install(1, Options::default());
    let mut ring = Ring::new(&config(1)).expect("a ring");
    let after = Box::new(Timespec::from(Duration::from_secs(3600)));
    push(&mut ring, Op::Timeout { after: Span::of_value(&*after) }, token(OpKind::Timeout, 0));
    ring.submit_and_wait(Wait::one(Some(Duration::from_secs(10))));
    assert_eq!(ring.drain(|_| true, &mut Vec::new()), 0);
    assert!((10..11).contains(&script::now().as_secs()));
    ring.submit_and_wait(Wait::one(None));
    let mut out = Vec::new();
    ring.drain(|_| true, &mut out);
    assert_eq!(out[0].result, Err(libc::ETIME));
    assert_eq!(script::now().as_secs(), 3600);
}

#[test]
fn what_is_left_open_is_found() {
    let (mut ring, _listener, _) = accepted(Options::default(), hello());
    push(&mut ring, Op::RecvMulti { descriptor: FIRST }, token(OpKind::Recv, 1));
    let received = wait_for(&mut ring, 1);
    assert_eq!(&received[0].lease.as_ref().expect("a lease")[..], b"hello");
    let audit = script::with(|world| world.audit());
    assert_eq!((audit.descriptors_open, audit.buffers_held, audit.operations_open), (1, 1, 1), "{audit}");
    drop(received);
    drop(ring);
    let audit = script::with(|world| world.audit());
    assert_eq!((audit.descriptors_open, audit.buffers_held, audit.operations_open), (1, 0, 0), "{audit}");
}

#[test]
fn misuse_is_found() {
    let (mut ring, _listener, _) = accepted(Options::default(), hello());
    push(&mut ring, Op::RecvMulti { descriptor: FIRST }, token(OpKind::Recv, 1));
    push(&mut ring, Op::RecvMulti { descriptor: FIRST }, token(OpKind::Recv, 1));
    push(&mut ring, Op::Poll { descriptor: FIRST, events: 4, multi: false }, token(OpKind::Poll, 2));
    push(&mut ring, Op::CancelAll { descriptor: FIRST }, token(OpKind::Cancel, 1));
    wait_for(&mut ring, 4);
    for _ in 0..2 {
        push(&mut ring, Op::Close { descriptor: FIRST }, token(OpKind::Close, 1));
    }
    push(&mut ring, Op::Shutdown { descriptor: FIRST, how: 1 }, token(OpKind::Shutdown, 1));
    let results: Vec<_> = wait_for(&mut ring, 3).iter().map(|completion| completion.result).collect();
    assert_eq!(results, [Ok(0), Err(libc::EBADF), Err(libc::EBADF)]);
    let audit = script::with(|world| world.audit());
    assert_eq!(audit.overlapping_receives, 1, "{audit}");
    assert_eq!((audit.double_closes, audit.closed_uses, audit.stale_uses), (1, 1, 1), "{audit}");
    assert_eq!((audit.descriptors_open, audit.operations_open), (0, 0), "{audit}");
}

#[test]
fn overlapping_sends_are_found() {
    let peer = hello().reads(Pace::Stop { after: 0 });
    let (mut ring, _listener, _) = accepted(Options::default(), peer);
    let data = vec![0u8; 1 << 20];
    for _ in 0..3 {
        push(&mut ring, Op::Send { descriptor: FIRST, data: Span::of(&data) }, token(OpKind::Send, 1));
    }
    let len = wait_for(&mut ring, 1)[0].result.expect("the buffer's size");
    assert!(len < 1 << 20);
    assert_eq!(script::with(|world| world.audit()).overlapping_sends, 1);
    drop(ring);
}

#[test]
fn a_close_with_unread_bytes_is_a_reset() {
    for (reads, ending) in [(true, Ending::Fin), (false, Ending::Reset)] {
        let (mut ring, _listener, peer) = accepted(Options::default(), hello());
        if reads {
            push(&mut ring, Op::RecvLease { descriptor: FIRST }, token(OpKind::Recv, 1));
            wait_for(&mut ring, 1);
        }
        ring.submit_and_wait(Wait::one(Some(Duration::from_millis(10))));
        push(&mut ring, Op::Close { descriptor: FIRST }, token(OpKind::Close, 1));
        wait_for(&mut ring, 1);
        ring.submit_and_wait(Wait::one(Some(Duration::from_millis(10))));
        assert_eq!(script::with(|world| world.ending(peer)), ending);
    }
}

#[test]
fn a_peer_that_closes_without_reading_ends_a_send() {
    let peer = hello().reads(Pace::Slow { bytes: 1, every: Duration::from_secs(1) });
    let (mut ring, _listener, _) = accepted(Options::default(), peer.closes_at(Duration::from_secs(5)));
    let data = vec![0u8; 1 << 20];
    let send = Op::Send { descriptor: FIRST, data: Span::of(&data) };
    push(&mut ring, send, token(OpKind::Send, 1));
    assert!(wait_for(&mut ring, 1)[0].result.is_ok());
    for result in [Ok(1), Ok(1), Ok(1), Ok(1), Err(libc::ECONNRESET), Err(libc::EPIPE)] {
        push(&mut ring, send, token(OpKind::Send, 1));
        assert_eq!(wait_for(&mut ring, 1)[0].result, result);
    }
}

#[test]
fn a_peer_reacts_to_what_it_reads() {
    let peer = hello().reacts(|received, reply| {
        if received.ends_with(b"?") {
            reply.send(Duration::from_secs(1), b"yes");
            reply.half_close(Duration::from_secs(2));
        }
    });
    let (mut ring, _listener, peer) = accepted(Options::default(), peer);
    let message = {
        let mut message = Message::new();
        message.set([Span::of(b"well"), Span::of(b"?")], None);
        message
    };
    push(&mut ring, Op::RecvMulti { descriptor: FIRST }, token(OpKind::Recv, 1));
    let send = Op::SendVectored { descriptor: FIRST, message: message.span() };
    push(&mut ring, send, token(OpKind::Send, 1));
    let all = wait_for(&mut ring, 4);
    let received: Vec<&[u8]> = all.iter().filter_map(|completion| completion.lease.as_deref()).collect();
    assert_eq!(received, [b"hello".as_slice(), b"yes"]);
    assert_eq!(script::with(|world| world.received(peer).to_vec()), b"well?");
    assert!(all.iter().any(|completion| completion.result == Ok(0) && !completion.more));
}

#[test]
fn files_are_read_in_parts() {
    World::install(3, Options::default().with(Fault::ShortRead, 1.0));
    let mut ring = Ring::new(&config(1)).expect("a ring");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml\0");
    let how = Box::new(OpenHow::new().flags(libc::O_RDONLY as u64));
    let path_span = Span::of(path.as_bytes());
    let open = Op::OpenAt { directory: libc::AT_FDCWD, path: path_span, how: Span::of_value(&*how) };
    push(&mut ring, open, token(OpKind::Open, 1));
    let fd = wait_for(&mut ring, 1)[0].result.expect("this crate has a manifest") as i32;
    assert_eq!(script::with(|world| world.audit()).descriptors_open, 1);
    let whole = std::fs::read(path.trim_end_matches('\0')).expect("as above");
    let mut buffer = vec![0u8; whole.len()];
    let mut read = 0;
    let mut parts = 0;
    while read < whole.len() {
        let buffer = Span::of_mut(&mut buffer[read..]);
        push(
            &mut ring,
            Op::Read { descriptor: Descriptor::Raw(fd), buffer, offset: read as u64 },
            token(OpKind::Read, 1),
        );
        read += wait_for(&mut ring, 1)[0].result.expect("reads") as usize;
        parts += 1;
    }
    assert_eq!(buffer, whole);
    assert!(parts > 1);
    // SAFETY: the descriptor was opened above and has no other owner.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    assert!(script::with(|world| world.audit()).is_clean());
}

#[test]
fn a_real_eventfd_ends_a_wait() {
    World::install(1, Options::default());
    let mut ring = Ring::new(&config(1)).expect("a ring");
    // SAFETY: eventfd(2) takes no pointers; the descriptor has no other owner.
    let door = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    let mut value = Box::new(0u64);
    let descriptor = Descriptor::Raw(door.as_raw_fd());
    let read = Op::Read { descriptor, buffer: Span::of_value_mut(&mut *value), offset: u64::MAX };
    push(&mut ring, read, token(OpKind::Read, 0));
    ring.submit_and_wait(Wait::one(Some(Duration::from_secs(5))));
    assert_eq!(ring.drain(|_| true, &mut Vec::new()), 0);
    let writer = door.try_clone().expect("a descriptor");
    let write = move || {
        // SAFETY: eight bytes of a static.
        unsafe { libc::write(writer.as_raw_fd(), [3u64].as_ptr().cast(), 8) };
    };
    script::with(|world| world.call_at(Duration::from_secs(7), write));
    assert_eq!(wait_for(&mut ring, 1)[0].result, Ok(8));
    assert_eq!((*value, script::now().as_secs()), (3, 7));
}

#[test]
fn an_outbound_ring_connects_to_a_simulated_server() {
    World::install(1, Options::default());
    let address: SocketAddr = "192.0.2.1:80".parse().expect("a literal address");
    let greeting =
        || Peer::connecting_at(Duration::ZERO).sends(vec![(Duration::from_millis(5), b"220".to_vec())]);
    script::with(|world| world.serve(address, greeting));
    let main = Ring::new(&config(1)).expect("a ring");
    let mut outbound = OutboundRing::attached_to(&main, config(1)).expect("a ring");
    let mut completions = Vec::new();
    let target = Box::new(Address::from(address));
    let ops = [
        (Op::Socket { domain: libc::AF_INET, kind: libc::SOCK_STREAM, protocol: 0, direct: true }, Ok(0)),
        (Op::Connect { descriptor: FIRST, address: target.span() }, Ok(0)),
        (Op::RecvLease { descriptor: FIRST }, Ok(3)),
        (Op::Close { descriptor: FIRST }, Ok(0)),
    ];
    let mut main = main;
    for (op, result) in ops {
        // SAFETY: the address lives to the end of the test.
        unsafe { outbound.push(&op, token(op.kind(), 0)) };
        outbound.submit();
        let poll = Op::Poll {
            descriptor: Descriptor::Raw(outbound.wake_descriptor().as_raw_fd()),
            events: libc::POLLIN as u32,
            multi: false,
        };
        push(&mut main, poll, token(OpKind::Poll, 9));
        wait_for(&mut main, 1);
        let mut count = [0u8; 8];
        // SAFETY: eight bytes that outlive the call.
        unsafe { libc::read(outbound.wake_descriptor().as_raw_fd(), count.as_mut_ptr().cast(), 8) };
        outbound.harvest(&mut |_| true, &mut completions);
        assert_eq!(completions.pop().expect("the eventfd said so").result, result, "{op:?}");
    }
    assert!(script::with(|world| world.audit()).is_clean());
}

#[test]
#[should_panic(expected = "spins")]
fn a_loop_that_spins_is_stopped() {
    let mut options = Options::rough();
    options.enters_max = 1000;
    World::install(1, options);
    let mut ring = Ring::new(&config(1)).expect("a ring");
    loop {
        ring.submit_and_wait(Wait::POLL);
    }
}

#[test]
#[should_panic(expected = "sleeps for ever")]
fn a_loop_that_nothing_wakes_is_stopped() {
    World::install(1, Options::default());
    let mut ring = Ring::new(&config(1)).expect("a ring");
    loop {
        ring.submit_and_wait(Wait::one(None));
    }
}
