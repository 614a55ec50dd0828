//! What peers do with a stream of requests: how it is cut, how the answers are read, how it ends.

use crate::answers::{self, Answer, Got};
use fastrand::Rng;
use std::time::Duration;
use sws_rings::script::{self, Ending, Fault, Options, Pace, Peer, PeerId};
use sws_runtime::{BufferConfig, Config, Limits, RingConfig, Stats};

/// The faults of a seed: none, all but broken connections, or all, at rates of its own.
pub fn options(rng: &mut Rng) -> Options {
    let (base, scale) = match rng.u8(0..6) {
        0 => (Options::default(), 1.0),
        1 | 2 => (Options::rough(), rng.f64() * 1.5),
        _ => (Options::hostile(), rng.f64() * 1.5),
    };
    let mut options = base.clone();
    for fault in Fault::ALL {
        options = options.with(fault, (base.rate(fault) * scale).min(0.8));
    }
    options.latency_max = Duration::from_micros(rng.u64(1..2000));
    options.slow_max = Duration::from_millis(rng.u64(1..50));
    options.send_buffer_bytes_max = rng.usize(4096..300_000);
    options.receive_buffer_bytes_max = rng.usize(1024..300_000);
    options
}

/// A worker with sizes of its own.
pub fn config(rng: &mut Rng, limits: Limits) -> Config {
    let count_max = 1 << rng.u8(2..8);
    let buffers = BufferConfig {
        count: rng.u16(1..=count_max),
        count_max,
        size: 64 * rng.u32(1..64),
        incremental: rng.bool(),
    };
    let limits = Limits {
        connections_max: rng.u32(1..16),
        quiet_after: Duration::from_millis(rng.u64(0..3_000)),
        ..limits
    };
    let ring = RingConfig {
        submission_entries: 1 << rng.u8(3..8),
        completion_entries: 1 << rng.u8(4..9),
        buffers: Some(buffers),
        ..RingConfig::default()
    };
    Config { limits, ring, ordinary_descriptors: rng.u8(0..5) == 0, ..Config::default() }
}

/// Peers that connect while the worker is being told to end. Nothing is owed to them.
pub fn add_latecomers(rng: &mut Rng) {
    for _ in 0..3 {
        let at = script::now() + Duration::from_micros(rng.u64(0..2_000));
        script::with(|world| world.add_peer(Peer::connecting_at(at)));
    }
}

/// Panics unless the worker has given back everything.
pub fn check_stats(seed: u64, stats: &Stats) {
    let left = (stats.connections, stats.fibers, stats.fiber_ops, stats.buffer_bytes);
    if left != (0, 0, 0, 0) {
        let (audit, trace) = script::with(|world| (world.audit(), world.trace()));
        panic!(
            "seed {seed}: connections, fibers, operations, buffer bytes {left:?} are left\n{audit}\n{trace}"
        );
    }
    let buffers = stats.receive_buffers;
    assert_eq!(
        (buffers.leases, buffers.in_kernel),
        (0, buffers.provided),
        "seed {seed}: receive buffers are held"
    );
}

/// How a peer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Its stream asks the server to close.
    ByRequest,
    /// Ends its side and reads on.
    HalfClose,
    /// Closes, perhaps with answers under way.
    Close,
    /// Resets.
    Reset,
    /// Stops reading and waits for the server to give up.
    StopReading,
}

impl Leaving {
    pub fn draw(rng: &mut Rng) -> Leaving {
        match rng.u8(0..12) {
            0..4 => Leaving::ByRequest,
            4..9 => Leaving::HalfClose,
            9 => Leaving::Close,
            10 => Leaving::Reset,
            _ => Leaving::StopReading,
        }
    }
}

/// One peer and what it is owed.
pub struct Expected {
    pub id: PeerId,
    pub answers: Vec<Answer>,
    pub leaving: Leaving,
}

/// Adds a peer that sends `stream`, cut at random, and is owed `answers`.
pub fn add(rng: &mut Rng, stream: &[u8], answers: Vec<Answer>, leaving: Leaving) -> Expected {
    let start_max = *rng.choice(&[500, 20_000, 200_000]).expect("not empty");
    let start = Duration::from_micros(rng.u64(0..start_max));
    let (chunks, end) = cut(rng, stream, start);
    let peer = Peer::connecting_at(start).sends(chunks);
    let peer = match rng.u8(0..4) {
        0 if leaving != Leaving::StopReading => {
            let bytes = rng.usize(500..20_000);
            peer.reads(Pace::Slow { bytes, every: Duration::from_micros(rng.u64(1..5_000)) })
        }
        _ => peer,
    };
    let len: usize = answers.iter().filter_map(|answer| answer.ways.first()).map(|way| way.len()).sum();
    let later = end + Duration::from_micros(rng.u64(0..30_000));
    let peer = match leaving {
        Leaving::ByRequest => peer,
        Leaving::HalfClose => peer.half_closes_at(end),
        Leaving::Close => peer.closes_at(later),
        Leaving::Reset => peer.resets_at(later),
        Leaving::StopReading => peer.reads(Pace::Stop { after: rng.usize(0..=len) }),
    };
    Expected { id: script::with(|world| world.add_peer(peer)), answers, leaving }
}

/// The stream in pieces, with their times; and the time of the last.
pub fn cut(rng: &mut Rng, stream: &[u8], start: Duration) -> (Vec<(Duration, Vec<u8>)>, Duration) {
    let piece_max = *rng.choice(&[1, 7, 100, 5_000, usize::MAX]).expect("not empty");
    let pause_max = *rng.choice(&[1, 100, 3_000, 400_000]).expect("not empty");
    let (mut rest, mut at, mut chunks) = (stream, start, Vec::new());
    while !rest.is_empty() {
        // One byte at a time is for the first few hundred only.
        let piece_max = if chunks.len() < 500 { piece_max } else { usize::MAX };
        let len = rng.usize(1..=rest.len().min(piece_max));
        chunks.push((at, rest[..len].to_vec()));
        rest = &rest[len..];
        at += Duration::from_micros(rng.u64(0..pause_max));
    }
    (chunks, at)
}

impl Expected {
    /// Panics unless the peer got what it was owed; `is_poor` if the worker had to refuse service.
    pub fn check(&self, seed: u64, is_poor: bool) {
        let (got, received) = self.check_begun(seed);
        let (ending, interfered) =
            script::with(|world| (world.ending(self.id), world.is_interfered(self.id)));
        let what = format!("seed {seed}: {:?} ({:?}, interfered {interfered})", self.id, self.leaving);
        assert_ne!(ending, Ending::Open, "{what} is still connected");
        if interfered || is_poor {
            return;
        }
        match self.leaving {
            Leaving::ByRequest | Leaving::HalfClose => {
                let trace = script::with(|world| world.trace());
                if got != Got::Whole {
                    let end = shown(&received[received.len().saturating_sub(300)..], &[]);
                    panic!(
                        "{what} got {} bytes, {got:?} of {} answers, then {ending:?}: {end}\n{trace}",
                        received.len(),
                        self.answers.len()
                    );
                }
                assert_eq!(ending, Ending::Fin, "{what}\n{trace}");
            }
            Leaving::Close | Leaving::Reset | Leaving::StopReading => {}
        }
    }

    /// Panics if the peer got anything else than the beginning of what it was owed.
    pub fn check_begun(&self, seed: u64) -> (Got, Vec<u8>) {
        let received = script::with(|world| world.received(self.id).to_vec());
        let got = answers::compare(&self.answers, &received);
        if let Got::Other { at, answer } = got {
            let ways = self.answers.get(answer).map_or(&[][..], |answer| &answer.ways[..]);
            let ways: Vec<String> = ways.iter().map(|way| shown(&way.head, &way.body)).collect();
            panic!(
                "seed {seed}: {:?} ({:?}) got something else at byte {at} of {}, answer {answer}:\n{}\nexpected\n{}",
                self.id,
                self.leaving,
                received.len(),
                shown(&received[at..], &[]),
                ways.join("\nor\n")
            );
        }
        (got, received)
    }
}

fn shown(head: &[u8], body: &[u8]) -> String {
    let bytes: Vec<u8> = head.iter().chain(body).take(400).copied().collect();
    format!("{:?}", String::from_utf8_lossy(&bytes))
}
