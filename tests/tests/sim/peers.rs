//! What peers do with a stream of requests: how it is cut, how the answers are read, how it ends.

use fastrand::Rng;
use std::time::Duration;
use sws_rings::script::{self, Ending, Fault, Options, Pace, Peer, PeerId};

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
    pub answers: Vec<u8>,
    pub leaving: Leaving,
}

/// Adds a peer that sends `stream`, cut at random, and is owed `answers`.
pub fn add(rng: &mut Rng, stream: &[u8], answers: Vec<u8>, leaving: Leaving) -> Expected {
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
    let later = end + Duration::from_micros(rng.u64(0..30_000));
    let peer = match leaving {
        Leaving::ByRequest => peer,
        Leaving::HalfClose => peer.half_closes_at(end),
        Leaving::Close => peer.closes_at(later),
        Leaving::Reset => peer.resets_at(later),
        Leaving::StopReading => peer.reads(Pace::Stop { after: rng.usize(0..=answers.len()) }),
    };
    Expected { id: script::with(|world| world.add_peer(peer)), answers, leaving }
}

/// The stream in pieces, with their times; and the time of the last.
fn cut(rng: &mut Rng, stream: &[u8], start: Duration) -> (Vec<(Duration, Vec<u8>)>, Duration) {
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
    /// Panics unless the peer got what it was owed.
    pub fn check(&self, seed: u64) {
        let (received, ending, interfered) = script::with(|world| {
            (world.received(self.id).to_vec(), world.ending(self.id), world.is_interfered(self.id))
        });
        let what = format!("seed {seed}: {:?} ({:?}, interfered {interfered})", self.id, self.leaving);
        assert_ne!(ending, Ending::Open, "{what} is still connected");
        let is_prefix = self.answers.starts_with(&received);
        assert!(is_prefix, "{what} got other answers: {}", differs(&self.answers, &received));
        if interfered {
            return;
        }
        let is_whole = received.len() == self.answers.len();
        match self.leaving {
            Leaving::ByRequest | Leaving::HalfClose => {
                assert!(
                    is_whole,
                    "{what} got {} of {} bytes, then {ending:?}",
                    received.len(),
                    self.answers.len()
                );
                assert_eq!(ending, Ending::Fin, "{what}");
            }
            Leaving::Close | Leaving::Reset | Leaving::StopReading => {}
        }
    }
}

fn differs(expected: &[u8], received: &[u8]) -> String {
    let at =
        expected.iter().zip(received).position(|(a, b)| a != b).unwrap_or(expected.len().min(received.len()));
    let part = |bytes: &[u8]| {
        let to = bytes.len().min(at + 40);
        String::from_utf8_lossy(&bytes[at.saturating_sub(40).min(to)..to]).into_owned()
    };
    format!("at byte {at}: expected {:?}, received {:?}", part(expected), part(received))
}
