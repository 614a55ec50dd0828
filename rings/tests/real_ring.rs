//! The ring against the real kernel.
#![cfg(not(sws_sim))]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use sws_rings::*;

fn token(kind: OpKind, index: u32) -> Token {
    Token::new(Owner::Slot, kind, index, 1)
}

fn wait_for(ring: &mut Ring, count: usize) -> Vec<Completion> {
    let mut out = Vec::new();
    for _ in 0..100 {
        ring.submit_and_wait(Wait::one(Some(Duration::from_secs(2))));
        ring.drain(|_| true, &mut out);
        if out.len() >= count {
            break;
        }
    }
    assert!(out.len() >= count, "only {} of {count} completions came", out.len());
    out
}

fn ring(direct: u32) -> Ring {
    Ring::new(&RingConfig { direct_descriptors: direct, ..RingConfig::default() }).expect("a ring")
}

#[test]
fn accept_receive_send_and_close_on_direct_descriptors() {
    let mut ring = ring(16);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let accept = Op::AcceptMulti { listener: Descriptor::Raw(listener.as_raw_fd()), direct: true };
    // SAFETY: names no memory.
    unsafe { ring.push(&accept, token(OpKind::Accept, 0)) };
    ring.submit_and_wait(Wait::POLL);
    let mut peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let accepted = wait_for(&mut ring, 1).remove(0);
    assert!(accepted.more, "a multishot accept goes on");
    let descriptor = Descriptor::Direct(accepted.result.expect("accepted"));
    // SAFETY: names no memory of ours.
    unsafe { ring.push(&Op::RecvMulti { descriptor }, token(OpKind::Recv, 1)) };
    peer.write_all(b"hello").expect("sends");
    let received = wait_for(&mut ring, 1).remove(0);
    assert_eq!(&received.lease.as_ref().expect("a buffer")[..], b"hello");
    assert!(received.more);
    let answer = b"world";
    // SAFETY: a static.
    unsafe { ring.push(&Op::Send { descriptor, data: Span::of(answer) }, token(OpKind::Send, 1)) };
    assert_eq!(wait_for(&mut ring, 1)[0].result, Ok(5));
    // SAFETY: names no memory.
    unsafe {
        ring.push(&Op::Cancel { target: token(OpKind::Recv, 1) }, token(OpKind::Cancel, 1));
    }
    let ended = wait_for(&mut ring, 2);
    assert!(
        ended.iter().any(|c| c.token.kind() == OpKind::Recv && c.result == Err(libc::ECANCELED) && !c.more)
    );
    // SAFETY: names no memory.
    unsafe { ring.push(&Op::Close { descriptor }, token(OpKind::Close, 1)) };
    wait_for(&mut ring, 1);
    let mut text = String::new();
    peer.read_to_string(&mut text).expect("the end");
    assert_eq!(text, "world");
}

#[test]
fn a_full_submission_queue_loses_nothing() {
    let config = RingConfig {
        submission_entries: 64,
        completion_entries: 128,
        buffers: None,
        ..RingConfig::default()
    };
    let mut ring = Ring::new(&config).expect("a ring");
    for index in 0..5_000 {
        // SAFETY: names no memory.
        unsafe { ring.push(&Op::Nop, token(OpKind::Nop, index)) };
    }
    let mut seen: Vec<u32> = wait_for(&mut ring, 5_000).iter().map(|c| c.token.index()).collect();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..5_000));
    let stats = ring.stats();
    assert!(stats.submission_queue_full > 0 && stats.completion_queue_overflow > 0, "{stats:?}");
}

#[test]
fn ghosts_give_their_buffers_back() {
    let mut ring = ring(0);
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let before = ring.buffers().expect("buffers").available();
    // SAFETY: names no memory of ours.
    unsafe {
        ring.push(&Op::RecvMulti { descriptor: Descriptor::Raw(ours.as_raw_fd()) }, token(OpKind::Recv, 1))
    };
    theirs.write_all(&[7; 1000]).expect("sends");
    ring.submit_and_wait(Wait::one(Some(Duration::from_secs(2))));
    let mut out = Vec::new();
    assert_eq!(ring.drain(|_| false, &mut out), 1);
    assert!(out.is_empty());
    let stats = ring.buffers().expect("buffers").stats();
    assert_eq!((stats.leases, stats.in_kernel), (0, before));
}

#[test]
fn a_receive_without_buffers_ends_and_can_be_armed_again() {
    let buffers = BufferConfig { count: 1, count_max: 1, size: 64, incremental: false };
    let mut ring =
        Ring::new(&RingConfig { buffers: Some(buffers), ..RingConfig::default() }).expect("a ring");
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let receive = Op::RecvMulti { descriptor: Descriptor::Raw(ours.as_raw_fd()) };
    // SAFETY: names no memory of ours.
    unsafe { ring.push(&receive, token(OpKind::Recv, 1)) };
    theirs.write_all(&[7; 100]).expect("sends");
    let mut all = wait_for(&mut ring, 2);
    assert_eq!(all[0].lease.as_ref().expect("a buffer").len(), 64);
    assert_eq!((all[1].result, all[1].more), (Err(libc::ENOBUFS), false));
    all.clear();
    // SAFETY: as above.
    unsafe { ring.push(&receive, token(OpKind::Recv, 1)) };
    assert_eq!(wait_for(&mut ring, 1)[0].lease.as_ref().expect("a buffer").len(), 36);
}

#[test]
fn a_descriptor_can_be_installed_and_its_options_set() {
    let mut ring = ring(4);
    let socket = Op::Socket { domain: libc::AF_INET, kind: libc::SOCK_STREAM, protocol: 0, direct: true };
    // SAFETY: names no memory.
    unsafe { ring.push(&socket, token(OpKind::Socket, 0)) };
    let index = wait_for(&mut ring, 1)[0].result.expect("a socket");
    let one: Box<i32> = Box::new(1);
    let option = Op::SetSocketOption {
        descriptor: Descriptor::Direct(index),
        level: libc::IPPROTO_TCP as u32,
        name: libc::TCP_NODELAY as u32,
        value: Span::of_value(&*one),
    };
    // SAFETY: `one` lives to the end of the test, after the completion.
    unsafe { ring.push(&option, token(OpKind::SocketOption, 0)) };
    assert_eq!(wait_for(&mut ring, 1)[0].result, Ok(0));
    // SAFETY: names no memory.
    unsafe { ring.push(&Op::Install { index }, token(OpKind::Install, 0)) };
    let fd = wait_for(&mut ring, 1)[0].result.expect("a descriptor") as i32;
    let mut value = 0i32;
    let mut len = 4u32;
    // SAFETY: both outlive the call; the descriptor is ours and closed below.
    unsafe {
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw mut value).cast(), &mut len);
        libc::close(fd);
    }
    assert_eq!(value, 1);
}

#[test]
fn an_outbound_ring_tells_of_its_completions_through_its_eventfd() {
    let main = ring(0);
    let mut outbound =
        OutboundRing::attached_to(&main, RingConfig { buffers: None, ..RingConfig::default() })
            .expect("a ring");
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let mut buffer = vec![0u8; 16];
    let receive =
        Op::Recv { descriptor: Descriptor::Raw(ours.as_raw_fd()), buffer: Span::of_mut(&mut buffer) };
    // SAFETY: the buffer lives over the completion below.
    unsafe { outbound.push(&receive, token(OpKind::Recv, 9)) };
    outbound.submit();
    theirs.write_all(b"ping").expect("sends");
    let mut poll =
        libc::pollfd { fd: outbound.wake_descriptor().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that outlives the call.
    assert_eq!(unsafe { libc::poll(&mut poll, 1, 2000) }, 1, "the eventfd is written at a completion");
    let mut out = Vec::new();
    outbound.harvest(&mut |_| true, &mut out);
    assert_eq!(out[0].result, Ok(4));
    assert_eq!(&buffer[..4], b"ping");
}

#[test]
fn probing_finds_what_it_tries() {
    let features = probe().expect("a ring");
    assert!(features.multishot_receive, "{features:?}");
}
